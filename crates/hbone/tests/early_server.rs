//! First bytes before the answer, from the accepting side: offered when asked to, kept back until the 200, and dropped
//! with a refusal at nobody's cost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use ambit_hbone::{Engine, Incoming, ServerSettings};
use ambit_transport::Mode;
use http::StatusCode;
use raw::{
    ACK, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
    connect, frame, reset,
};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tunnel::{Server, server};

/// Our setting, as the documents have it.
const EARLY: (u16, u32) = (0xf0b1, 1);

/// A server, its client spoken by hand, and what it was asked.
async fn opened(
    settings: ServerSettings,
) -> (Raw, Server, mpsc::UnboundedReceiver<Incoming>, Vec<(u16, u32)>) {
    let (ask, asked) = mpsc::unbounded_channel();
    let (io, server) = server(settings, move |incoming| {
        let ask = ask.clone();
        async move { drop(ask.send(incoming)) }
    });
    let mut raw = Raw { io };
    raw.send(&[PREFACE, &raw::settings(&[])].concat()).await;
    let said = raw.next_of(SETTINGS).await.settings();
    raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
    (raw, server, asked, said)
}

fn early() -> ServerSettings {
    ServerSettings { early_bytes: true, ..ServerSettings::default() }
}

/// What has been sent by now.
async fn until_pong(raw: &mut Raw) -> Vec<Frame> {
    raw.send(&frame(PING, 0, 0, b"anything")).await;
    let mut frames = Vec::new();
    loop {
        let next = raw.next().await.expect("the connection ended");
        if next.kind == PING {
            return frames;
        }
        frames.push(next);
    }
}

#[tokio::test(start_paused = true)]
async fn they_are_offered_when_the_settings_say_so() {
    let library = ServerSettings { engine: Engine::Library, ..early() };
    for (settings, offered) in [(early(), true), (ServerSettings::default(), false), (library, false)] {
        let (_raw, _server, _asked, said) = opened(settings).await;
        assert_eq!(said.contains(&EARLY), offered, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn they_and_the_end_wait_for_the_answer() {
    let (mut raw, _server, mut asked, _) = opened(early()).await;
    raw.send(&connect(1, "10.0.0.2:80")).await;
    raw.send(&frame(DATA, 0, 1, b"first")).await;
    raw.send(&frame(DATA, END_STREAM, 1, b" and last")).await;
    let incoming = asked.recv().await.unwrap();
    let early = until_pong(&mut raw).await;
    assert!(early.iter().all(|frame| frame.stream == 0), "an answer that nobody gave: {early:?}");
    let mut stream = incoming.accept(None).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"first and last");
}

#[tokio::test(start_paused = true)]
async fn who_takes_the_request_back_takes_them_back() {
    let (mut raw, _server, mut asked, _) = opened(early()).await;
    raw.send(&connect(1, "10.0.0.2:80")).await;
    raw.send(&frame(DATA, 0, 1, b"first")).await;
    let mut incoming = asked.recv().await.unwrap();
    raw.send(&reset(1, 8)).await;
    incoming.canceled().await;
    assert!(incoming.accept(None).is_err());
}

/// Ten times what the connection's window holds comes with requests that are refused: all at once, so that much of it
/// arrives behind the refusal.
#[tokio::test(start_paused = true)]
async fn refused_they_cost_the_other_streams_nothing() {
    let (mut raw, server, mut asked, _) = opened(early()).await;
    let piece = vec![7; 16 * 1024];
    let (mut sent, mut returned) = (0u32, 65_535u32);
    let mut stream = 1;
    for _ in 0..14 {
        let mut refusals = Vec::new();
        for _ in 0..100 {
            raw.send(&connect(stream, "10.0.0.2:80")).await;
            refusals.push(stream);
            let incoming = asked.recv().await.unwrap();
            if stream % 4 == 1 {
                incoming.refuse(StatusCode::UNAUTHORIZED, "").unwrap();
                raw.send(&frame(DATA, 0, stream, &piece)).await;
            } else {
                raw.send(&frame(DATA, 0, stream, &piece)).await;
                incoming.refuse(StatusCode::UNAUTHORIZED, "").unwrap();
            }
            sent += 16 * 1024;
            stream += 2;
            for frame in until_pong(&mut raw).await {
                match frame.kind {
                    WINDOW_UPDATE if frame.stream == 0 => returned += frame.word(0),
                    HEADERS => assert!(refusals.contains(&frame.stream) && frame.flags & END_STREAM != 0),
                    RST_STREAM => assert_eq!(frame.word(0), 0, "a violation: {frame:?}"),
                    SETTINGS | WINDOW_UPDATE => {}
                    _ => panic!("{frame:?}"),
                }
            }
            assert!(returned - sent >= 1 << 20, "{sent} bytes sent, {returned} allowed");
        }
    }
    raw.send(&connect(stream, "10.0.0.2:80")).await;
    asked.recv().await.unwrap().accept(None).unwrap();
    assert!(!server.serving.is_finished());
}

/// The client may know that nothing came of what it asked, so that it can ask another.
#[tokio::test(start_paused = true)]
async fn a_cut_says_which_requests_were_never_answered() {
    let (mut raw, server, mut asked, _) = opened(early()).await;
    for stream in [1, 3] {
        raw.send(&connect(stream, "10.0.0.2:80")).await;
    }
    raw.send(&frame(DATA, 0, 3, b"first")).await;
    let accepted = asked.recv().await.unwrap().accept(None).unwrap();
    let unanswered = asked.recv().await.unwrap();
    until_pong(&mut raw).await;
    server.drain.drain(Mode::Immediate);
    let frames = raw.rest().await;
    let resets: Vec<(u32, u32)> = frames
        .iter()
        .filter(|frame| frame.kind == RST_STREAM)
        .map(|frame| (frame.stream, frame.word(0)))
        .collect();
    assert_eq!(resets, [(3, 7)], "REFUSED_STREAM for the second: {frames:?}");
    assert!(frames.iter().any(|frame| frame.kind == GOAWAY));
    assert!(unanswered.accept(None).is_err());
    drop(accepted);
}
