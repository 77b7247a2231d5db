//! The last bytes of a tunnel: it is closed right behind them, and its peer goes on speaking while it reads them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/net.rs"]
mod net;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::net::SocketAddr;

use ambit_hbone::client::connect;
use ambit_hbone::{Buffered, Incoming, serve};
use ambit_transport::drain;
use net::{Net, Next, key};
use raw::{
    ACK, DATA, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame, goaway, headers,
    read_frame, send_if_open, settings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tunnel::{client_settings, request, server, server_settings};

/// More than the reader's buffer takes, and less than the writer's.
const TAIL: usize = 160 * 1024;
const WIDE: u32 = 1 << 24;

/// A connection between kernel buffers of which the near one is large and the far one small.
async fn connection() -> (TcpStream, TcpStream) {
    let listening = TcpSocket::new_v4().unwrap();
    listening.set_send_buffer_size(1 << 20).unwrap();
    listening.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener: TcpListener = listening.listen(1).unwrap();
    let dialling = TcpSocket::new_v4().unwrap();
    dialling.set_recv_buffer_size(4096).unwrap();
    let far = dialling.connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, far)
}

/// Reads a stream to its end, and says something for each frame that came.
async fn read_and_speak(far: &mut TcpStream) -> usize {
    let mut bytes = 0;
    loop {
        let frame_read = read_frame(far).await.expect("the tunnel ended before its last stream");
        if frame_read.kind == DATA {
            bytes += frame_read.payload.len();
            if frame_read.flags & END_STREAM != 0 {
                return bytes;
            }
        }
        send_if_open(far, &frame(PING, 0, 0, b"speaking")).await;
    }
}

/// Lets the other tasks do what they can.
async fn others() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

async fn answer(incoming: Incoming) {
    let mut stream = incoming.accept(None).unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    stream.write_all(&[7; TAIL]).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_reads_all_of_an_answer_that_the_server_closes_behind() {
    let (near, mut far) = connection().await;
    let (_drain, watch) = drain::channel();
    let serving =
        tokio::spawn(async move { serve(Buffered::new(near), &server_settings(), watch, answer).await });
    far.write_all(PREFACE).await.unwrap();
    far.write_all(&settings(&[(4, WIDE), (5, 16_384)])).await.unwrap();
    far.write_all(&frame(WINDOW_UPDATE, 0, 0, &WIDE.to_be_bytes())).await.unwrap();
    far.write_all(&raw::connect(1, "10.0.0.2:8080")).await.unwrap();
    far.write_all(&frame(DATA, END_STREAM, 1, &[])).await.unwrap();
    // Nothing follows, so the server closes behind the answer.
    far.write_all(&goaway(0, 0)).await.unwrap();
    others().await;
    assert_eq!(read_and_speak(&mut far).await, TAIL);
    drop(far);
    assert_eq!(serving.await.unwrap().unwrap().requests, 1);
}

#[tokio::test]
async fn a_server_reads_all_of_a_stream_that_the_client_closes_behind() {
    let (near, mut far) = connection().await;
    let opening = tokio::spawn(async move { connect(Buffered::new(near), &client_settings()).await });
    let mut preface = [0; 24];
    far.read_exact(&mut preface).await.unwrap();
    far.write_all(&settings(&[(4, WIDE), (5, 16_384)])).await.unwrap();
    far.write_all(&frame(SETTINGS, ACK, 0, &[])).await.unwrap();
    far.write_all(&frame(WINDOW_UPDATE, 0, 0, &WIDE.to_be_bytes())).await.unwrap();
    let (connection, driver) = opening.await.unwrap().unwrap();
    let driving = tokio::spawn(driver);
    let sending = tokio::spawn(async move {
        let (mut stream, _) = connection.open(request()).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        stream.write_all(&[7; TAIL]).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    while read_frame(&mut far).await.unwrap().kind != HEADERS {}
    far.write_all(&headers(1, END_STREAM, &[(":status", "200")])).await.unwrap();
    sending.await.unwrap();
    others().await;
    assert_eq!(read_and_speak(&mut far).await, TAIL);
    drop(far);
    driving.await.unwrap().unwrap();
}

/// The server ends first; what the client sends after that is not cut off by the end of the process.
async fn finishing_waits_for_what_a_stream_left_in_its_tunnel() {
    static LAST: [u8; 40_000] = [7; 40_000];
    let net = Net::new();
    let (arrived, last) = oneshot::channel();
    let mut arrived = Some(arrived);
    let (io, _server) = server(server_settings(), move |incoming| {
        let arrived = arrived.take().unwrap();
        async move {
            let mut stream = incoming.accept(None).unwrap();
            stream.shutdown().await.unwrap();
            let mut bytes = Vec::new();
            let ended = stream.read_to_end(&mut bytes).await;
            arrived.send((bytes, ended.is_ok())).unwrap();
        }
    });
    net.plan(Next::Pipe(io));
    let pool = net.pool();
    let (mut stream, _) = pool.open(&key("a"), request()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    stream.write_all(&LAST).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    pool.finish().await;
    drop(pool);
    let (bytes, well) = last.await.unwrap();
    assert!(well && bytes == LAST, "{} of {} bytes, ended well: {well}", bytes.len(), LAST.len());
}

tunnel::pairings! {
    finishing_waits_for_what_a_stream_left_in_its_tunnel,
}
