//! The dialling side against peers that refuse, stall, restart or break the rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_hbone::client::connect;
use ambit_hbone::{Baggage, Buffered, H2Error, OpenError};
use http::StatusCode;
use raw::{ACK, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Raw, frame, goaway, settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio::time::Instant;
use tunnel::{PIPE, client, echo, exchange, request};

const MAX_CONCURRENT_STREAMS: u16 = 3;
const OK: &[u8] = &[0x88];

/// A client and a peer spoken by hand, which has sent these SETTINGS.
async fn against(entries: &[(u16, u32)]) -> (tunnel::Client, Raw) {
    let (ours, theirs) = duplex(PIPE);
    let mut raw = Raw { io: theirs };
    let (client, ()) = tokio::join!(client(ours, tunnel::client_settings()), raw.open_as_server(entries));
    (client, raw)
}

async fn a_peer_without_settings_is_not_healthy() {
    let (ours, _theirs) = duplex(PIPE);
    let started = Instant::now();
    let error = connect(Buffered::new(ours), &tunnel::client_settings()).await.unwrap_err();
    assert!(matches!(error, H2Error::TimedOut(_)), "{error}");
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

async fn half_of_the_settings_are_not_enough() {
    let (ours, theirs) = duplex(PIPE);
    let mut raw = Raw { io: theirs };
    let bytes = settings(&[(MAX_CONCURRENT_STREAMS, 10)]);
    raw.send(&bytes[..bytes.len() - 1]).await;
    let error = connect(Buffered::new(ours), &tunnel::client_settings()).await.unwrap_err();
    assert!(matches!(error, H2Error::TimedOut(_)), "{error}");
}

async fn a_peer_that_closes_or_speaks_something_else_is_told_apart() {
    let (ours, theirs) = duplex(PIPE);
    drop(theirs);
    let error = connect(Buffered::new(ours), &tunnel::client_settings()).await.unwrap_err();
    assert!(matches!(error, H2Error::Closed | H2Error::Io(_)), "{error}");

    for bytes in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), frame(PING, 0, 0, b"too soon")] {
        let (ours, theirs) = duplex(PIPE);
        Raw { io: theirs }.send(&bytes).await;
        let error = connect(Buffered::new(ours), &tunnel::client_settings()).await.unwrap_err();
        assert!(matches!(error, H2Error::Io(_) | H2Error::Protocol(_)), "{error}");
    }
}

/// What a TLS stream does when the peer refuses our certificate: writes work, the first read fails.
#[derive(Debug)]
struct RefusedByTls;

impl AsyncRead for RefusedByTls {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let alert = io::Error::new(io::ErrorKind::InvalidData, "received fatal alert: CertificateUnknown");
        Poll::Ready(Err(alert))
    }
}

impl AsyncWrite for RefusedByTls {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn a_refused_certificate_is_named() {
    let error = connect(Buffered::new(RefusedByTls), &tunnel::client_settings()).await.unwrap_err();
    assert!(matches!(error, H2Error::TlsRefused(_)), "{error}");
    assert!(error.to_string().contains("CertificateUnknown"), "{error}");
}

async fn a_refusal_carries_its_status_and_reason() {
    for (status, details) in [(401, ""), (503, "no route to 10.0.0.2"), (204, ""), (400, "a\"b\\c")] {
        let (client, _server) = tunnel::tunnel(move |incoming| async move {
            incoming.refuse(StatusCode::from_u16(status).unwrap(), details).unwrap();
        })
        .await;
        let error = client.connection.open(request()).await.unwrap_err();
        let OpenError::Refused { status: refused, details: words } = &error else { panic!("{error}") };
        assert_eq!(*refused, status);
        let expected = match details {
            "" => None,
            "a\"b\\c" => Some("ambit; details=\"abc\"".to_owned()),
            details => Some(format!("ambit; details=\"{details}\"")),
        };
        assert_eq!(*words, expected);
        assert!(!error.not_processed());
    }
}

async fn the_answer_names_the_destination() {
    let there = Baggage { workload: "echo".into(), ..Baggage::default() };
    let sent = there.encode();
    let (client, _server) = tunnel::tunnel(move |incoming| {
        let sent = sent.clone();
        async move { drop(incoming.accept(sent)) }
    })
    .await;
    let (_stream, head) = client.connection.open(request()).await.unwrap();
    assert_eq!(head.baggage(), Some(there));
}

async fn the_smaller_stream_limit_counts() {
    let (client, _raw) = against(&[(MAX_CONCURRENT_STREAMS, 2)]).await;
    assert_eq!(client.connection.stream_limit(), 2);
    let (many, _raw) = against(&[(MAX_CONCURRENT_STREAMS, 1000)]).await;
    assert_eq!(many.connection.stream_limit(), 100);
    let (silent, _raw) = against(&[]).await;
    assert_eq!(silent.connection.stream_limit(), 100);

    let connection = &client.connection;
    let mut first = Box::pin(connection.open(request()));
    let mut second = Box::pin(connection.open(request()));
    let noop = &mut Context::from_waker(std::task::Waker::noop());
    assert!(first.as_mut().poll(noop).is_pending() && second.as_mut().poll(noop).is_pending());
    assert!(matches!(connection.open(request()).await, Err(OpenError::Full)));
    drop(second);
    assert_eq!(connection.streams(), 1, "a request that was taken back gives its place back");
}

async fn goaway_stops_new_streams_and_leaves_open_ones() {
    let (client, mut raw) = against(&[]).await;
    let opening = async {
        raw.next_of(HEADERS).await;
        raw.send(&frame(HEADERS, END_HEADERS, 1, OK)).await;
    };
    let (opened, ()) = tokio::join!(client.connection.open(request()), opening);
    let (mut stream, _) = opened.unwrap();

    raw.send(&goaway(1, 0)).await;
    raw.send(&frame(raw::DATA, 0, 1, b"still here")).await;
    let mut words = [0; 10];
    stream.read_exact(&mut words).await.unwrap();
    assert!(client.connection.is_closed());
    let error = client.connection.open(request()).await.unwrap_err();
    assert!(error.not_processed(), "{error}");

    stream.write_all(b"so am I").await.unwrap();
    assert_eq!(raw.next_of(raw::DATA).await.payload, b"so am I");
    raw.send(&frame(raw::DATA, END_STREAM, 1, b"")).await;
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    drop(stream);
    client.driving.await.unwrap().unwrap();
}

async fn what_the_peer_did_not_process_is_told_apart() {
    // Above the last stream of a GOAWAY.
    let (client, mut raw) = against(&[]).await;
    let answering = async {
        raw.next_of(HEADERS).await;
        raw.send(&goaway(0, 0)).await;
    };
    let (opened, ()) = tokio::join!(client.connection.open(request()), answering);
    assert!(matches!(opened, Err(OpenError::NotProcessed(_))), "{opened:?}");

    // REFUSED_STREAM is 7 and CANCEL 8; only the first says that nothing was done.
    for (code, not_processed) in [(7, true), (8, false), (2, false)] {
        let (client, mut raw) = against(&[]).await;
        let answering = async {
            raw.next_of(HEADERS).await;
            raw.send(&raw::reset(1, code)).await;
        };
        let (opened, ()) = tokio::join!(client.connection.open(request()), answering);
        let error = opened.unwrap_err();
        assert_eq!(error.not_processed(), not_processed, "{error}");
        assert!(!client.connection.is_closed(), "a reset concerns one stream");
    }

    // The connection goes away under the request.
    let (client, mut raw) = against(&[]).await;
    let answering = async {
        raw.next_of(HEADERS).await;
        drop(raw);
    };
    let (opened, ()) = tokio::join!(client.connection.open(request()), answering);
    assert!(matches!(opened, Err(OpenError::Lost(_))), "{opened:?}");
    assert!(client.connection.is_closed());
}

async fn a_request_given_up_is_taken_back() {
    let (client, mut raw) = against(&[]).await;
    let mut opening = Box::pin(client.connection.open(request()));
    tokio::select! {
        _ = &mut opening => panic!("nobody has answered"),
        _ = raw.next_of(HEADERS) => {}
    }
    drop(opening);
    let reset = raw.next_of(RST_STREAM).await;
    assert_eq!((reset.stream, reset.word(0)), (1, 8));
    assert_eq!(client.connection.streams(), 0);
}

async fn f15_a_silent_peer_is_asked_and_given_up() {
    let (client, mut raw) = against(&[]).await;
    let opening = async {
        raw.next_of(HEADERS).await;
        raw.send(&frame(HEADERS, END_HEADERS, 1, OK)).await;
    };
    let (opened, ()) = tokio::join!(client.connection.open(request()), opening);
    let (mut stream, _) = opened.unwrap();
    let started = Instant::now();

    // Asked after 10 s of silence; an answer buys another 10 s.
    let ping = raw.next_of(PING).await;
    assert_eq!(started.elapsed().as_secs(), 10);
    raw.send(&frame(PING, ACK, 0, &ping.payload)).await;
    raw.next_of(PING).await;
    assert_eq!(started.elapsed().as_secs(), 20);
    // No answer this time, but any byte is a sign of life; silence counts from there, and the question still stands.
    tokio::time::advance(Duration::from_secs(15)).await;
    raw.send(&frame(raw::DATA, 0, 1, b"x")).await;
    stream.read_exact(&mut [0; 1]).await.unwrap();

    let error = client.driving.await.unwrap().unwrap_err();
    assert!(matches!(error, H2Error::Silent(_)), "{error}");
    assert_eq!(started.elapsed().as_secs(), 35 + 10 + 20);
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert!(client.connection.is_closed());
}

async fn nobody_is_asked_while_data_flows_or_nothing_is_open() {
    let (client, mut raw) = against(&[]).await;
    let started = Instant::now();
    tokio::time::timeout(Duration::from_secs(3600), raw.next_of(PING)).await.expect_err("asked while idle");

    let opening = async {
        raw.next_of(HEADERS).await;
        raw.send(&frame(HEADERS, END_HEADERS, 1, OK)).await;
    };
    let (opened, ()) = tokio::join!(client.connection.open(request()), opening);
    let (mut stream, _) = opened.unwrap();
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(5)).await;
        raw.send(&frame(raw::DATA, 0, 1, b"x")).await;
        stream.read_exact(&mut [0; 1]).await.unwrap();
    }
    assert!(started.elapsed() >= Duration::from_secs(3600 + 500));
    drop(stream);
    loop {
        let next = raw.next().await.unwrap();
        assert_ne!(next.kind, PING, "asked while data flowed");
        if next.kind == RST_STREAM {
            break;
        }
    }
}

async fn a_dropped_handle_lets_open_streams_finish() {
    let (client, server) = tunnel::tunnel(echo).await;
    let (stream, _) = client.connection.open(request()).await.unwrap();
    drop(client.connection);
    assert_eq!(exchange(stream, b"goes on").await, b"goes on");
    client.driving.await.unwrap().unwrap();
    assert_eq!(server.serving.await.unwrap().unwrap().requests, 1);
}

async fn the_peers_goaway_is_answered_by_an_end() {
    let (client, mut raw) = against(&[]).await;
    raw.send(&goaway(0, 0)).await;
    client.driving.await.unwrap().unwrap();
    assert!(client.connection.is_closed());
    let frames = raw.rest().await;
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY), "{frames:?}");
}

async fn a_tunnel_runs_in_a_stream_of_another() {
    // Double HBONE: a gateway carries the outer stream, whose bytes are a tunnel of their own.
    let (outer, _gateway) = tunnel::tunnel(|incoming| async move {
        let stream = incoming.accept(None).unwrap();
        let (_drain, watch) = ambit_transport::drain::channel();
        let _ = ambit_hbone::serve(Buffered::new(stream), &tunnel::server_settings(), watch, echo).await;
    })
    .await;
    let (stream, _) = outer.connection.open(request()).await.unwrap();
    let (inner, driver) = connect(Buffered::new(stream), &tunnel::client_settings()).await.unwrap();
    let driving = tokio::spawn(driver);
    let (stream, _) = inner.open(request()).await.unwrap();
    assert_eq!(exchange(stream, &[7; 300_000][..200_000]).await.len(), 200_000);
    drop(inner);
    driving.await.unwrap().unwrap();
}

tunnel::pairings! {
    a_peer_that_closes_or_speaks_something_else_is_told_apart,
    a_refused_certificate_is_named,
    a_refusal_carries_its_status_and_reason,
    the_answer_names_the_destination,
    the_smaller_stream_limit_counts,
    what_the_peer_did_not_process_is_told_apart,
    a_request_given_up_is_taken_back,
    a_dropped_handle_lets_open_streams_finish,
    a_tunnel_runs_in_a_stream_of_another,
}

tunnel::pairings_in_paused_time! {
    the_peers_goaway_is_answered_by_an_end,
    goaway_stops_new_streams_and_leaves_open_ones,
    a_peer_without_settings_is_not_healthy,
    half_of_the_settings_are_not_enough,
    f15_a_silent_peer_is_asked_and_given_up,
    nobody_is_asked_while_data_flows_or_nothing_is_open,
}
