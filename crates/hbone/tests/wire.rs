//! The bytes on the wire, written and read by hand, for both roles.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use ambit_hbone::client::connect;
use ambit_hbone::{Baggage, Buffered, ConnectRequest, Forwarded, TraceParent};
use raw::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, frame, headers, settings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::mpsc;
use tunnel::server;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

async fn the_servers_part() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let (io, _server) = server(tunnel::server_settings(), move |incoming| {
        let seen = seen.clone();
        async move {
            seen.send((incoming.authority().to_string(), incoming.baggage(), incoming.forwarded_host()))
                .unwrap();
            let baggage = Baggage { namespace: "there".into(), ..Baggage::default() };
            let mut stream = incoming.accept(baggage.encode()).unwrap();
            let mut question = [0; 4];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
            stream.write_all(b"pong").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let mut raw = Raw { io };
    raw.send(PREFACE).await;
    raw.send(&settings(&[])).await;

    let first = raw.next().await.unwrap();
    assert_eq!((first.kind, first.flags, first.stream), (SETTINGS, 0, 0));
    assert_eq!(
        first.settings(),
        [
            (MAX_CONCURRENT_STREAMS, 200),
            (INITIAL_WINDOW_SIZE, 256 * 1024),
            (MAX_FRAME_SIZE, 64 * 1024),
            (MAX_HEADER_LIST_SIZE, 16 * 1024),
        ]
    );
    let mut more = [raw.next().await.unwrap(), raw.next().await.unwrap()];
    more.sort_by_key(|frame| frame.kind);
    assert_eq!(more[0], Frame { kind: SETTINGS, flags: ACK, stream: 0, payload: vec![] });
    // RFC 9113 section 6.9.2: a connection starts with 65,535 and is raised to 2 MiB.
    assert_eq!((more[1].kind, more[1].stream, more[1].word(0)), (WINDOW_UPDATE, 0, 2 * 1024 * 1024 - 65_535));
    raw.send(&frame(SETTINGS, ACK, 0, &[])).await;

    raw.send(&headers(
        1,
        0,
        &[
            (":method", "CONNECT"),
            (":authority", "10.0.0.2:8080"),
            ("baggage", "k8s.namespace.name=here"),
            ("forwarded", "for=\"10.0.0.1:4711\";host=echo.default.svc"),
        ],
    ))
    .await;
    let (authority, baggage, host) = requests.recv().await.unwrap();
    assert_eq!(authority, "10.0.0.2:8080");
    assert_eq!(baggage.unwrap().namespace.as_ref(), "here");
    assert_eq!(host.as_deref(), Some("echo.default.svc"));

    let answer = raw.next().await.unwrap();
    assert_eq!((answer.kind, answer.flags, answer.stream), (HEADERS, END_HEADERS, 1));
    // RFC 7541 appendix A: entry 8 of the static table is ":status: 200".
    assert_eq!(answer.payload[0], 0x88);
    assert!(answer.payload.len() > 1, "the destination's baggage is missing");

    raw.send(&frame(DATA, END_STREAM, 1, b"ping")).await;
    let data = raw.next().await.unwrap();
    assert_eq!((data.kind, data.stream, data.payload.as_slice()), (DATA, 1, b"pong".as_slice()));
    let end = if data.flags == END_STREAM { data } else { raw.next().await.unwrap() };
    assert_eq!((end.kind, end.flags & END_STREAM), (DATA, END_STREAM));
}

async fn the_clients_part() {
    let (ours, theirs) = duplex(tunnel::PIPE);
    let mut raw = Raw { io: theirs };
    let connecting =
        tokio::spawn(async move { connect(Buffered::new(ours), &tunnel::client_settings()).await });

    let mut preface = [0; 24];
    raw.io.read_exact(&mut preface).await.unwrap();
    assert_eq!(preface, PREFACE);
    let first = raw.next().await.unwrap();
    assert_eq!((first.kind, first.flags, first.stream), (SETTINGS, 0, 0));
    let mut entries = first.settings();
    entries.retain(|(id, _)| *id != HEADER_TABLE_SIZE);
    assert_eq!(
        entries,
        [
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, 256 * 1024),
            (MAX_FRAME_SIZE, 64 * 1024),
            (MAX_HEADER_LIST_SIZE, 16 * 1024),
        ]
    );
    assert!(!connecting.is_finished(), "healthy before the peer's SETTINGS");
    raw.send(&settings(&[])).await;
    let (connection, driver) = connecting.await.unwrap().unwrap();
    tokio::spawn(driver);

    let request = ConnectRequest {
        baggage: Baggage { namespace: "here".into(), ..Baggage::default() }.encode(),
        forwarded: Forwarded { client: "10.0.0.1:4711".parse().unwrap(), host: None }.encode(),
        traceparent: TraceParent::random().encode(),
        ..ConnectRequest::new("[fd00::2]:8080".parse().unwrap())
    };
    let opening = tokio::spawn(async move { connection.open(request).await });
    let sent = raw.next_of(HEADERS).await;
    assert_eq!((sent.flags, sent.stream), (END_HEADERS, 1), "CONNECT must leave the stream open");
    let decoded = decode(&sent.payload).await;
    assert_eq!(decoded.method(), http::Method::CONNECT);
    assert_eq!(decoded.uri().to_string(), "[fd00::2]:8080");
    assert_eq!(decoded.headers()["baggage"], "k8s.namespace.name=here");
    assert_eq!(decoded.headers()["forwarded"], "for=\"10.0.0.1:4711\"");
    assert_eq!(decoded.headers()["traceparent"].len(), 55);
    assert_eq!(decoded.headers().len(), 3);

    // No DATA may come before the answer. PING is answered in order, so whatever was to come has come before it.
    raw.send(&frame(PING, 0, 0, b"anything")).await;
    let next = loop {
        let next = raw.next().await.unwrap();
        if next.kind != SETTINGS && next.kind != WINDOW_UPDATE {
            break next;
        }
    };
    assert_eq!((next.kind, next.flags), (PING, ACK));

    raw.send(&frame(HEADERS, END_HEADERS, 1, &[0x88])).await;
    let (mut stream, head) = opening.await.unwrap().unwrap();
    assert_eq!(head.baggage(), None);
    stream.write_all(b"bytes").await.unwrap();
    let data = raw.next_of(DATA).await;
    assert_eq!((data.stream, data.payload.as_slice()), (1, b"bytes".as_slice()));
    raw.send(&frame(DATA, 0, 1, b"back")).await;
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"back");

    stream.shutdown().await.unwrap();
    let end = raw.next_of(DATA).await;
    assert_eq!((end.flags, end.payload.len()), (END_STREAM, 0));
    drop(stream);
    let reset = raw.next_of(RST_STREAM).await;
    assert_eq!((reset.stream, reset.word(0)), (1, 8), "half-read and dropped: CANCEL");
    // Nobody holds the connection any more: it says so and goes.
    let farewell = raw.next_of(GOAWAY).await;
    assert_eq!(farewell.word(4), 0);
    assert_eq!(raw.next().await, None);
}

/// What a foreign HTTP/2 server makes of a header block; it refuses a CONNECT with `:scheme` or `:path`.
async fn decode(block: &[u8]) -> http::Request<()> {
    let (ours, theirs) = duplex(tunnel::PIPE);
    let mut raw = Raw { io: ours };
    raw.send(PREFACE).await;
    raw.send(&settings(&[])).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, block)).await;
    let mut connection = h2::server::handshake(theirs).await.unwrap();
    let (request, _respond) = connection.accept().await.unwrap().unwrap();
    request.map(|_| ())
}

tunnel::pairings! {
    the_servers_part,
    the_clients_part,
}
