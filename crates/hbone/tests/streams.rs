//! A carried connection behaves like TCP: ends, resets and back-pressure pass through, bytes arrive whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/tunnel.rs"]
mod tunnel;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use ambit_hbone::settings::Buffers;
use ambit_hbone::{ClientSettings, ServerSettings, Stream};
use ambit_transport::Abort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tunnel::{client, echo, exchange, request, server};

/// A tunnel and one stream in it, both ends in hand.
async fn pair() -> (Stream, Stream, tunnel::Client, tunnel::Server) {
    let (found, mut streams) = mpsc::unbounded_channel();
    let (client, server) = tunnel::tunnel(move |incoming| {
        let found = found.clone();
        async move {
            found.send(incoming.accept(None).unwrap()).unwrap();
        }
    })
    .await;
    let (near, _) = client.connection.open(request()).await.unwrap();
    let far = streams.recv().await.unwrap();
    (near, far, client, server)
}

async fn read_all(stream: &mut Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

async fn f16_the_client_may_end_first() {
    let (mut near, mut far, _client, _server) = pair().await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"question");
    far.write_all(b"answer, later").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut near).await, b"answer, later");
    assert_eq!(near.read(&mut [0; 1]).await.unwrap(), 0, "the end stays the end");
    near.shutdown().await.unwrap();
}

async fn f16_the_server_may_end_first() {
    let (mut near, mut far, _client, _server) = pair().await;
    far.write_all(b"banner").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut near).await, b"banner");
    near.write_all(b"still talking").await.unwrap();
    near.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"still talking");
}

async fn f17_a_reset_is_a_reset_in_both_directions() {
    let (mut near, mut far, _client, _server) = pair().await;
    far.write_all(b"last words").await.unwrap();
    let mut words = [0; 10];
    near.read_exact(&mut words).await.unwrap();
    near.abort();
    assert_eq!(far.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(far.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(far.shutdown().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(near.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(near.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);

    let (mut near, mut far, _client, _server) = pair().await;
    far.abort();
    assert_eq!(near.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

async fn a_drop_without_shutdown_is_a_reset_behind_what_had_left() {
    let (mut near, mut far, _client, _server) = pair().await;
    near.write_all(b"half a message").await.unwrap();
    // An answer shows that the bytes have left, and they wait unread on the other side.
    far.write_all(b"go").await.unwrap();
    near.read_exact(&mut [0; 2]).await.unwrap();
    while near.unsent() {
        tokio::task::yield_now().await;
    }
    drop(near);
    tokio::task::yield_now().await;
    let mut bytes = [0; 14];
    far.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"half a message");
    assert_eq!(far.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

async fn a_drop_after_shutdown_delivers_everything() {
    let (mut near, mut far, _client, _server) = pair().await;
    let sent = pattern(200_000);
    near.write_all(&sent).await.unwrap();
    near.shutdown().await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut near).await, b"");
    drop(near);
    assert_eq!(read_all(&mut far).await, sent);
}

async fn a_writer_that_waits_learns_of_the_reset() {
    let (mut near, mut far, _client, _server) = pair().await;
    let writing = tokio::spawn(async move { near.write_all(&pattern(4 << 20)).await });
    let mut some = [0; 1];
    far.read_exact(&mut some).await.unwrap();
    far.abort();
    assert_eq!(writing.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

async fn a_lost_tunnel_fails_its_streams() {
    let (mut near, far, client, server) = pair().await;
    client.driving.abort();
    assert_eq!(near.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(near.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
    drop(far);
    assert!(server.serving.await.unwrap().is_ok());
}

async fn unsent_bytes_are_known_until_they_have_left() {
    let (near, mut far, _client, _server) = pair().await;
    let mut near = near;
    assert!(!near.unsent());
    // More than the pipe and the library buffer, less than the window.
    near.write_all(&pattern(200_000)).await.unwrap();
    assert!(near.unsent());
    let mut bytes = vec![0; 200_000];
    far.read_exact(&mut bytes).await.unwrap();
    far.write_all(b"got it").await.unwrap();
    near.read_exact(&mut [0; 6]).await.unwrap();
    assert!(!near.unsent());
}

async fn small_windows_carry_large_transfers_whole() {
    let buffers =
        Buffers { stream_window: 1_000, connection_window: 3_000, send_buffer: 700, ..Buffers::default() };
    let settings = ServerSettings { buffers: buffers.clone(), ..tunnel::server_settings() };
    let (io, _server) = server(settings, echo);
    let client = client(io, ClientSettings { buffers, ..tunnel::client_settings() }).await;
    let sent = Arc::new(pattern(1 << 20));
    let transfers = (0..4).map(|_| {
        let sent = Arc::clone(&sent);
        let connection = &client.connection;
        async move {
            let (stream, _) = connection.open(request()).await.unwrap();
            let (mut read, mut write) = tokio::io::split(stream);
            let copy = Arc::clone(&sent);
            let writing = tokio::spawn(async move {
                write.write_all(&copy).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let mut received = Vec::new();
            read.read_to_end(&mut received).await.unwrap();
            writing.await.unwrap();
            assert!(received == *sent, "bytes were lost or changed");
        }
    });
    let mut transfers = transfers.map(Box::pin).collect::<Vec<_>>();
    // All four interleave in one connection.
    poll_fn(|cx| {
        transfers.retain_mut(|transfer| transfer.as_mut().poll(cx).is_pending());
        if transfers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn chunks_come_out_as_they_went_in() {
    let (mut near, mut far, _client, _server) = pair().await;
    let sent = pattern(3 << 20);
    let copy = sent.clone();
    let sending = tokio::spawn(async move {
        near.write_all(&copy).await.unwrap();
        near.shutdown().await.unwrap();
        near
    });
    let mut received = Vec::new();
    while let Some(chunk) = poll_fn(|cx| far.poll_chunk(cx)).await.unwrap() {
        received.extend_from_slice(&chunk);
    }
    assert!(received == sent, "bytes were lost or changed");
    drop(sending.await.unwrap());
}

async fn a_stream_that_is_not_read_stops_its_writer_and_nobody_else() {
    let (found, stalled) = oneshot::channel();
    let mut found = Some(found);
    let (client, _server) = tunnel::tunnel(move |incoming| {
        let first = found.take();
        async move {
            match first {
                Some(found) => found.send(incoming.accept(None).unwrap()).unwrap(),
                None => echo(incoming).await,
            }
        }
    })
    .await;
    let (mut stuck, _) = client.connection.open(request()).await.unwrap();
    let mut stalled = stalled.await.unwrap();
    let accepted = Arc::new(Mutex::new(0));
    let count = Arc::clone(&accepted);
    let writing = tokio::spawn(async move {
        let piece = [7; 16 * 1024];
        for _ in 0..128 {
            stuck.write_all(&piece).await.unwrap();
            *count.lock().unwrap() += piece.len();
        }
        stuck.shutdown().await.unwrap();
        stuck
    });
    // Other streams carry far more than every window meanwhile.
    for _ in 0..4 {
        let (stream, _) = client.connection.open(request()).await.unwrap();
        let sent = pattern(1 << 20);
        let (mut read, mut write) = tokio::io::split(stream);
        let copy = sent.clone();
        let sending = tokio::spawn(async move {
            write.write_all(&copy).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        sending.await.unwrap();
        assert!(received == sent);
    }
    let so_far = *accepted.lock().unwrap();
    let most = 256 * 1024 + 256 * 1024;
    assert!(so_far <= most, "{so_far} bytes accepted for a stream that nobody reads");
    // F18: when the reader comes back, nothing has been lost.
    let received = read_all(&mut stalled).await;
    assert!(received.len() == 128 * 16 * 1024 && received.iter().all(|byte| *byte == 7));
    drop(writing.await.unwrap());
}

/// Every second stream is accepted and not read, the others echo.
async fn half_stalled() -> (tunnel::Client, tunnel::Server, mpsc::UnboundedReceiver<Stream>) {
    let (found, stalled) = mpsc::unbounded_channel();
    let mut number = 0;
    let (client, server) = tunnel::tunnel(move |incoming| {
        number += 1;
        let found = (number % 2 == 1).then(|| found.clone());
        async move {
            match found {
                Some(found) => found.send(incoming.accept(None).unwrap()).unwrap(),
                None => echo(incoming).await,
            }
        }
    })
    .await;
    (client, server, stalled)
}

async fn many_streams_that_are_not_read_do_not_starve_the_rest() {
    let (client, _server, mut stalled) = half_stalled().await;
    let mut held = Vec::new();
    // Forty windows of 256 KiB, five times the connection window that the tunnel starts with.
    for _ in 0..40 {
        let (mut stuck, _) = client.connection.open(request()).await.unwrap();
        stuck.write_all(&[7; 256 * 1024]).await.unwrap();
        held.push((stuck, stalled.recv().await.unwrap()));
        let (other, _) = client.connection.open(request()).await.unwrap();
        let sent = pattern(100_000);
        assert!(exchange(other, &sent).await == sent);
    }
    for (mut near, mut far) in held {
        near.shutdown().await.unwrap();
        assert_eq!(read_all(&mut far).await.len(), 256 * 1024);
    }
}

async fn f18_short_lines_for_a_stalled_reader_do_not_cut_the_tunnel() {
    let (client, _server, mut stalled) = half_stalled().await;
    let (mut chatty, _) = client.connection.open(request()).await.unwrap();
    let mut far = stalled.recv().await.unwrap();
    // Each line leaves in a frame of its own.
    for _ in 0..20_000 {
        chatty.write_all(b"a line\n").await.unwrap();
        while chatty.unsent() {
            tokio::task::yield_now().await;
        }
    }
    let (other, _) = client.connection.open(request()).await.unwrap();
    assert_eq!(exchange(other, b"unhurt").await, b"unhurt");
    chatty.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"a line\n".repeat(20_000));
}

async fn two_hundred_streams_of_two_tunnels_keep_their_bytes_apart() {
    let (first, _one) = tunnel::tunnel(echo).await;
    let (second, _two) = tunnel::tunnel(echo).await;
    let mut running = tokio::task::JoinSet::new();
    for number in 0..200u32 {
        let connection = if number % 2 == 0 { &first.connection } else { &second.connection };
        let (stream, _) = connection.open(request()).await.unwrap();
        running.spawn(async move {
            let sent = number.to_be_bytes().repeat(500);
            assert_eq!(exchange(stream, &sent).await, sent);
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    assert_eq!((first.connection.streams(), second.connection.streams()), (0, 0));
}

tunnel::pairings! {
    f16_the_client_may_end_first,
    f16_the_server_may_end_first,
    f17_a_reset_is_a_reset_in_both_directions,
    a_drop_without_shutdown_is_a_reset_behind_what_had_left,
    a_drop_after_shutdown_delivers_everything,
    a_writer_that_waits_learns_of_the_reset,
    a_lost_tunnel_fails_its_streams,
    unsent_bytes_are_known_until_they_have_left,
    small_windows_carry_large_transfers_whole,
    chunks_come_out_as_they_went_in,
    a_stream_that_is_not_read_stops_its_writer_and_nobody_else,
    many_streams_that_are_not_read_do_not_starve_the_rest,
    f18_short_lines_for_a_stalled_reader_do_not_cut_the_tunnel,
    two_hundred_streams_of_two_tunnels_keep_their_bytes_apart,
}
