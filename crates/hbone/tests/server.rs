//! The accepting side against clients that stall, smuggle, flood or leave, and its own way to leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambit_hbone::{OpenError, ServeError, ServerSettings};
use ambit_transport::Mode;
use http::StatusCode;
use raw::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw,
    SETTINGS, WINDOW_UPDATE, connect, frame, headers, reset, send_if_open, settings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tunnel::{Server, echo, exchange, request, server};

/// The server's default behaviour behind a client spoken by hand; the flow echoes and counts what it got.
async fn opened() -> (Raw, Server, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (io, server) = server(tunnel::server_settings(), move |incoming| {
        count.fetch_add(1, Ordering::Relaxed);
        echo(incoming)
    });
    let mut raw = Raw { io };
    raw.open_as_client().await;
    (raw, server, asked)
}

const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn r8_a_slow_preface_is_cut() {
    for bytes in [&b""[..], &PREFACE[..10], PREFACE, &[PREFACE, &settings(&[(3, 1)])[..12]].concat()] {
        let (io, server) = server(tunnel::server_settings(), echo);
        let mut raw = Raw { io };
        let started = Instant::now();
        raw.send(bytes).await;
        let error = server.serving.await.unwrap().unwrap_err();
        assert!(matches!(error, ServeError::TimedOut(_)), "{error}");
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        // Its SETTINGS had gone out before it heard anything.
        assert!(raw.rest().await.iter().all(|frame| frame.kind == SETTINGS || frame.kind == WINDOW_UPDATE));
    }
}

async fn a_bad_preface_is_cut() {
    let early = [PREFACE, &connect(1, "10.0.0.2:80")].concat();
    for bytes in [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), vec![0x16, 3, 1, 2, 0, 1, 0, 1], early] {
        let (io, server) = server(tunnel::server_settings(), echo);
        let mut raw = Raw { io };
        raw.send(&bytes).await;
        let error = server.serving.await.unwrap().unwrap_err();
        assert!(matches!(error, ServeError::Protocol(_)), "{error}");
    }
}

async fn a6_only_a_plain_connect_with_a_target_reaches_the_flow() {
    let refused: &[&[(&str, &str)]] = &[
        &[(":method", "GET"), (":scheme", "http"), (":authority", "10.0.0.2:80"), (":path", "/")],
        &[(":method", "POST"), (":scheme", "https"), (":authority", "10.0.0.2:80"), (":path", "/")],
        &[(":method", "connect"), (":authority", "10.0.0.2:80")],
        &[(":method", "CONNECT")],
        &[(":method", "CONNECT"), (":authority", "")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), (":path", "/")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), (":scheme", "https")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), (":protocol", "websocket")],
        &[
            (":method", "CONNECT"),
            (":protocol", "connect-ip"),
            (":scheme", "https"),
            (":authority", "10.0.0.2:80"),
            (":path", "/"),
        ],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), (":authority", "10.0.0.3:80")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("content-length", "5")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("content-length", "0")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("transfer-encoding", "chunked")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("connection", "upgrade")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("host", "10.0.0.3:80")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("Baggage", "upper-case")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("baggage", "a\r\nb: c")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("baggage", "a\0")],
        &[("baggage", "first"), (":method", "CONNECT"), (":authority", "10.0.0.2:80")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), (":status", "200")],
        // A5: targets that no mesh peer names.
        &[(":method", "CONNECT"), (":authority", "10.0.0.2")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:0")],
        &[(":method", "CONNECT"), (":authority", "10.0.0.2:65536")],
        &[(":method", "CONNECT"), (":authority", "0.0.0.0:80")],
        &[(":method", "CONNECT"), (":authority", "[::]:80")],
        &[(":method", "CONNECT"), (":authority", "[fe80::1%eth0]:80")],
        &[(":method", "CONNECT"), (":authority", "user@10.0.0.2:80")],
        &[(":method", "CONNECT"), (":authority", "http://10.0.0.2:80/")],
    ];
    for list in refused {
        let (mut raw, _server, asked) = opened().await;
        raw.send(&headers(1, 0, list)).await;
        send_if_open(&mut raw.io, &frame(DATA, END_STREAM, 1, b"smuggled")).await;
        let answer = loop {
            let frame = raw.next().await.expect("neither answered nor reset");
            if [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind) {
                break frame;
            }
        };
        // RFC 7541 appendix A: entry 12 of the static table is ":status: 400".
        let bad_request =
            answer.kind == HEADERS && answer.payload[0] == 0x8c && answer.flags & END_STREAM != 0;
        let reset = answer.kind == RST_STREAM && answer.stream == 1;
        let closed = answer.kind == GOAWAY && answer.word(4) != 0;
        assert!(bad_request || reset || closed, "{list:?}: {answer:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 0, "{list:?} reached the flow");
    }
}

async fn a_malformed_request_leaves_the_tunnel_usable() {
    let (mut raw, server, asked) = opened().await;
    raw.send(&connect(1, "10.0.0.2:0")).await;
    assert_eq!(raw.next_of(HEADERS).await.payload[0], 0x8c);
    raw.send(&connect(3, "10.0.0.2:80")).await;
    let answer = raw.next_of(HEADERS).await;
    assert_eq!((answer.stream, answer.payload.as_slice()), (3, &[0x88][..]));
    raw.send(&frame(DATA, END_STREAM, 3, b"hello")).await;
    assert_eq!(raw.next_of(DATA).await.payload, b"hello");
    drop(raw);
    let served = server.serving.await.unwrap().unwrap();
    assert_eq!((served.requests, served.malformed, asked.load(Ordering::Relaxed)), (1, 1, 1));
}

async fn a6_bytes_before_the_answer_go_nowhere() {
    let go = Arc::new(Notify::new());
    let arrived = Arc::new(Notify::new());
    let (gate, note) = (Arc::clone(&go), Arc::clone(&arrived));
    let (io, _server) = server(tunnel::server_settings(), move |incoming| {
        let (gate, note) = (Arc::clone(&gate), Arc::clone(&note));
        async move {
            note.notify_one();
            gate.notified().await;
            // Refused: there never was a stream to read from.
            incoming.refuse(StatusCode::UNAUTHORIZED, "").unwrap();
        }
    });
    let mut raw = Raw { io };
    raw.open_as_client().await;
    raw.send(&connect(1, "10.0.0.2:80")).await;
    arrived.notified().await;
    // The stream's whole window, and no WINDOW_UPDATE invites more.
    for _ in 0..16 {
        raw.send(&frame(DATA, 0, 1, &[b'e'; 16 * 1024])).await;
    }
    raw.send(&frame(PING, 0, 0, b"in order")).await;
    loop {
        let next = raw.next().await.unwrap();
        assert!(!(next.kind == WINDOW_UPDATE && next.stream == 1), "early bytes were consumed");
        if next.kind == PING && next.flags == ACK {
            break;
        }
    }
    go.notify_one();
    let answer = raw.next_of(HEADERS).await;
    assert_eq!(answer.flags & END_STREAM, END_STREAM);
    let reset = raw.next_of(RST_STREAM).await;
    assert_eq!(reset.stream, 1);
}

async fn early_bytes_are_kept_for_an_accepted_stream() {
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let (io, _server) = server(tunnel::server_settings(), move |incoming| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            echo(incoming).await;
        }
    });
    let mut raw = Raw { io };
    raw.open_as_client().await;
    raw.send(&connect(1, "10.0.0.2:80")).await;
    raw.send(&frame(DATA, END_STREAM, 1, b"optimist")).await;
    go.notify_one();
    raw.next_of(HEADERS).await;
    assert_eq!(raw.next_of(DATA).await.payload, b"optimist");
}

async fn a_client_that_no_longer_waits_is_noticed() {
    let (note, mut noticed) = mpsc::unbounded_channel();
    let (io, _server) = server(tunnel::server_settings(), move |mut incoming| {
        let note = note.clone();
        async move {
            note.send("asked").unwrap();
            incoming.canceled().await;
            note.send("canceled").unwrap();
            assert!(incoming.accept(None).is_err());
            note.send("gone").unwrap();
        }
    });
    let mut raw = Raw { io };
    raw.open_as_client().await;
    raw.send(&connect(1, "10.0.0.2:80")).await;
    assert_eq!(noticed.recv().await, Some("asked"));
    raw.send(&reset(1, CANCEL)).await;
    assert_eq!(noticed.recv().await, Some("canceled"));
    assert_eq!(noticed.recv().await, Some("gone"));
    // The same when the whole connection goes.
    raw.send(&connect(3, "10.0.0.2:80")).await;
    assert_eq!(noticed.recv().await, Some("asked"));
    drop(raw);
    assert_eq!(noticed.recv().await, Some("canceled"));
}

async fn r1_a_flood_in_one_burst_is_cut() {
    let (mut raw, server, asked) = opened().await;
    let mut burst = Vec::new();
    for stream in (1..100_000).step_by(2) {
        burst.extend(connect(stream, "10.0.0.2:80"));
        burst.extend(reset(stream, CANCEL));
    }
    let (mut read, mut write) = tokio::io::split(raw.io);
    let sending = tokio::spawn(async move { send_if_open(&mut write, &burst).await });
    let mut last = None;
    while let Some(frame) = raw::read_frame(&mut read).await {
        if frame.kind == GOAWAY {
            last = Some(frame);
        }
    }
    assert_eq!(last.unwrap().word(4), ENHANCE_YOUR_CALM);
    drop(read);
    assert!(server.serving.await.unwrap().is_err());
    assert!(!sending.await.unwrap(), "50,000 requests were swallowed");
    assert!(asked.load(Ordering::Relaxed) < 1_000, "{asked:?}");
    raw = opened().await.0;
    drop(raw);
}

async fn r1_a_flood_drop_by_drop_is_cut() {
    let (note, mut noticed) = mpsc::unbounded_channel();
    let (io, server) = server(tunnel::server_settings(), move |mut incoming| {
        note.send(()).unwrap();
        async move { incoming.canceled().await }
    });
    let mut raw = Raw { io };
    raw.open_as_client().await;
    let mut asked = 0;
    for stream in (1..10_000).step_by(2) {
        let open = send_if_open(&mut raw.io, &connect(stream, "10.0.0.2:80")).await;
        if !open || noticed.recv().await.is_none() {
            break;
        }
        asked += 1;
        if !send_if_open(&mut raw.io, &reset(stream, CANCEL)).await {
            break;
        }
    }
    let error = server.serving.await.unwrap().unwrap_err();
    assert!(matches!(error, ServeError::Flood { .. }), "{error}");
    assert!(asked <= 1010, "{asked} requests before the cut");
    let frames = raw.rest().await;
    assert!(
        frames.iter().any(|frame| frame.kind == GOAWAY && frame.word(4) == ENHANCE_YOUR_CALM),
        "{frames:?}"
    );
}

async fn r1_futures_that_outlive_their_streams_are_bounded() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let settings = ServerSettings { max_streams: 5, ..tunnel::server_settings() };
    let (io, server) = server(settings, move |incoming| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            // A dial that never ends.
            std::future::pending::<()>().await;
            drop(incoming);
        }
    });
    let mut raw = Raw { io };
    raw.open_as_client().await;
    for stream in (1..1_000).step_by(2) {
        let both = [connect(stream, "10.0.0.2:80"), reset(stream, CANCEL)].concat();
        if !send_if_open(&mut raw.io, &both).await {
            break;
        }
        tokio::task::yield_now().await;
    }
    let frames = raw.rest().await;
    assert!(
        frames.iter().any(|frame| frame.kind == GOAWAY && frame.word(4) == ENHANCE_YOUR_CALM),
        "{frames:?}"
    );
    assert!(asked.load(Ordering::Relaxed) <= 10, "{asked:?}");
    server.serving.abort();
}

/// What must end in a GOAWAY with an error: frames that are sent until the server closes.
async fn cut_after(most: usize, mut next: impl FnMut(usize) -> Vec<u8>) {
    let (mut raw, server, _asked) = opened().await;
    raw.send(&connect(1, "10.0.0.2:80")).await;
    let (mut read, mut write) = tokio::io::split(raw.io);
    let reading = tokio::spawn(async move {
        let mut last = None;
        while let Some(frame) = raw::read_frame(&mut read).await {
            if frame.kind == GOAWAY {
                last = Some(frame);
            }
        }
        last
    });
    let mut sent = 0;
    while sent < most && send_if_open(&mut write, &next(sent)).await {
        sent += 1;
    }
    assert!(sent < most, "{sent} frames and still open");
    assert!(server.serving.await.unwrap().is_err());
    assert_ne!(reading.await.unwrap().expect("no GOAWAY").word(4), 0);
}

async fn r2_resets_that_the_server_is_made_to_send_are_bounded() {
    cut_after(10_000, |turn| {
        let stream = u32::try_from(turn).unwrap() * 2 + 3;
        // WINDOW_UPDATE of 0 is a stream error (RFC 9113 section 6.9).
        [connect(stream, "10.0.0.2:80"), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    })
    .await;
}

async fn r3_endless_continuations_are_cut() {
    cut_after(10_000, |turn| match turn {
        0 => frame(HEADERS, 0, 3, &raw::fields(&[(":method", "CONNECT")])),
        _ => frame(CONTINUATION, 0, 3, &raw::fields(&[("x", "y")])),
    })
    .await;
}

async fn r4_a_header_list_that_swells_in_decoding_is_refused() {
    let (mut raw, _server, asked) = opened().await;
    let mut block = raw::fields(&[(":method", "CONNECT"), (":authority", "10.0.0.2:80")]);
    // One cookie of 100 bytes into the dynamic table, then 400 references to it: 40 KB decoded from 600 bytes.
    block.extend([0x40, 6]);
    block.extend(b"cookie");
    block.push(100);
    block.extend([b'c'; 100]);
    block.extend([0x80 | 62; 400]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &block)).await;
    let answer = loop {
        let next = raw.next().await.unwrap();
        if next.kind == HEADERS || next.kind == RST_STREAM || next.kind == GOAWAY {
            break next;
        }
    };
    assert!(answer.payload[0] != 0x88, "{answer:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

async fn r5_empty_data_without_end_is_cut() {
    cut_after(1_000_000, |_| frame(DATA, 0, 1, b"")).await;
}

async fn r6_floods_that_must_be_answered_stop_when_the_answers_are_not_read() {
    for flood in [frame(PING, 0, 0, b"flooding"), settings(&[(3, 100)])] {
        let (mut raw, _server, _asked) = opened().await;
        let mut sent = 0;
        // In paused time, blocked for so long is blocked for good.
        while let Ok(written) = timeout(Duration::from_secs(20), raw.io.write_all(&flood)).await {
            written.unwrap();
            sent += flood.len();
            assert!(sent < 1 << 20, "the server takes without end");
        }
    }
}

async fn more_streams_than_allowed_are_refused_unprocessed() {
    let settings = ServerSettings { max_streams: 3, ..tunnel::server_settings() };
    let (io, _server) = server(settings, echo);
    let mut raw = Raw { io };
    raw.open_as_client().await;
    for stream in [1, 3, 5, 7] {
        raw.send(&connect(stream, "10.0.0.2:80")).await;
    }
    let refused = raw.next_of(RST_STREAM).await;
    assert_eq!((refused.stream, refused.word(0)), (7, 7), "REFUSED_STREAM for the fourth");
}

async fn drain_says_goaway_and_lets_streams_finish() {
    let (client, server) = tunnel::tunnel(echo).await;
    let (mut stream, _) = client.connection.open(request()).await.unwrap();
    stream.write_all(b"before").await.unwrap();
    stream.read_exact(&mut [0; 6]).await.unwrap();
    server.drain.drain(Mode::Graceful);
    tokio::time::advance(Duration::from_secs(1)).await;
    while !client.connection.is_closed() {
        tokio::task::yield_now().await;
    }
    let error = client.connection.open(request()).await.unwrap_err();
    assert!(matches!(error, OpenError::Closed), "{error}");
    assert!(!server.serving.is_finished());
    assert_eq!(exchange(stream, b"after").await, b"after");
    assert_eq!(server.serving.await.unwrap().unwrap().requests, 1);
    client.driving.await.unwrap().unwrap();
}

async fn an_immediate_drain_cuts_open_streams() {
    let (client, server) = tunnel::tunnel(echo).await;
    let (mut stream, _) = client.connection.open(request()).await.unwrap();
    server.drain.drain(Mode::Graceful);
    tokio::task::yield_now().await;
    server.drain.drain(Mode::Immediate);
    server.serving.await.unwrap().unwrap();
    assert!(stream.read(&mut [0; 1]).await.is_err(), "a cut stream must not look complete");
}

async fn an_immediate_drain_does_not_wait_for_a_client_that_does_not_read() {
    let (mut raw, server, _asked) = opened().await;
    // Fills the pipe towards us with echoes that we do not read.
    raw.send(&connect(1, "10.0.0.2:80")).await;
    for _ in 0..6 {
        raw.send(&frame(DATA, 0, 1, &[b'x'; 16 * 1024])).await;
    }
    let started = Instant::now();
    server.drain.drain(Mode::Immediate);
    server.serving.await.unwrap().unwrap();
    assert!(started.elapsed() <= Duration::from_secs(1));
}

async fn an_idle_connection_is_closed_in_time_and_in_order() {
    let (client, server) = tunnel::tunnel(echo).await;
    let (stream, _) = client.connection.open(request()).await.unwrap();
    tokio::time::advance(Duration::from_secs(400)).await;
    assert_eq!(exchange(stream, b"one").await, b"one");
    let started = Instant::now();
    server.serving.await.unwrap().unwrap();
    assert_eq!(started.elapsed().as_secs(), 600);
    client.driving.await.unwrap().unwrap();
}

async fn f15_a_client_that_vanished_is_given_up() {
    // With a stream open: asked after 10 s, given up 20 s later.
    let (mut raw, server, _asked) = opened().await;
    raw.send(&connect(1, "10.0.0.2:80")).await;
    raw.next_of(HEADERS).await;
    let started = Instant::now();
    raw.next_of(PING).await;
    assert_eq!(started.elapsed().as_secs(), 10);
    let error = server.serving.await.unwrap().unwrap_err();
    assert!(matches!(error, ServeError::Silent(_)), "{error}");
    assert_eq!(started.elapsed().as_secs(), 30);
    // Without any, a drain that the client does not take part in ends as well.
    let (_raw, server, _asked) = opened().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let started = Instant::now();
    server.drain.drain(Mode::Graceful);
    let error = server.serving.await.unwrap().unwrap_err();
    assert!(matches!(error, ServeError::Silent(_)), "{error}");
    assert_eq!(started.elapsed().as_secs(), 30);
}

tunnel::pairings! {
    a_bad_preface_is_cut,
    a6_only_a_plain_connect_with_a_target_reaches_the_flow,
    a_malformed_request_leaves_the_tunnel_usable,
    a6_bytes_before_the_answer_go_nowhere,
    early_bytes_are_kept_for_an_accepted_stream,
    a_client_that_no_longer_waits_is_noticed,
    r1_a_flood_in_one_burst_is_cut,
    r1_futures_that_outlive_their_streams_are_bounded,
    r2_resets_that_the_server_is_made_to_send_are_bounded,
    r3_endless_continuations_are_cut,
    r4_a_header_list_that_swells_in_decoding_is_refused,
    r5_empty_data_without_end_is_cut,
    more_streams_than_allowed_are_refused_unprocessed,
    an_immediate_drain_cuts_open_streams,
}

tunnel::pairings_in_paused_time! {
    r8_a_slow_preface_is_cut,
    drain_says_goaway_and_lets_streams_finish,
    r1_a_flood_drop_by_drop_is_cut,
    r6_floods_that_must_be_answered_stop_when_the_answers_are_not_read,
    an_immediate_drain_does_not_wait_for_a_client_that_does_not_read,
    an_idle_connection_is_closed_in_time_and_in_order,
    f15_a_client_that_vanished_is_given_up,
}
