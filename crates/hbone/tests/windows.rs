//! Flow control to the byte: what is sent into small, shrunk and empty windows, and what is announced to a peer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/side.rs"]
mod side;
#[path = "support/transcript.rs"]
mod transcript;
#[path = "support/tunnel.rs"]
mod tunnel;

use ambit_hbone::settings::Buffers;
use ambit_hbone::{Headroom, ServerSettings};
use engines::{ENGINES, server_settings};
use raw::{ACK, DATA, Frame, GOAWAY, HEADERS, PING, PREFACE, Raw, WINDOW_UPDATE, connect, frame, settings};
use side::{play_client, play_server};
use tokio::sync::mpsc;
use tunnel::server;

/// A client with windows of 10 bytes.
const NARROW: &str = "
    > PREFACE
    > SETTINGS 4=10
    < SETTINGS
    < SETTINGS ACK
    > SETTINGS ACK
    > HEADERS 1 END_HEADERS 020743 4f4e 4e45 4354 010b 3130 2e30 2e30 2e32 3a38 30
    * asked 1 10.0.0.2:80
    * accept 1
    < HEADERS 1 END_HEADERS 88
";

#[tokio::test(start_paused = true)]
async fn a_window_that_shrinks_below_nothing_must_be_refilled() {
    let rest = r#"
        * pour 1 "0123456789abcdefghijklmnop"
        < DATA 1 "0123456789"
        # Now 5 below nothing: 5 more bring it to nothing, and only the next opens it.
        > SETTINGS 4=5
        < SETTINGS ACK
        > WINDOW_UPDATE 1 5
        > PING nothing1
        < PING nothing1 ACK
        > WINDOW_UPDATE 1 3
        < DATA 1 "abc"
        > SETTINGS 4=6
        < SETTINGS ACK
        < DATA 1 "d"
        > PING nothing2
        < PING nothing2 ACK
        > WINDOW_UPDATE 1 100
        < DATA 1 "efghijklmnop"
        < END 1
    "#;
    for engine in ENGINES {
        play_server(engine, &format!("{NARROW}{rest}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_window_holds_back_bytes_and_no_end() {
    let end = r#"
        > SETTINGS 4=0
        < SETTINGS ACK
        # An end alone needs no window.
        * shut 1
        < END 1
    "#;
    for engine in ENGINES {
        play_server(engine, &format!("{NARROW}{end}")).await;
        play_client(
            engine,
            r#"
            > SETTINGS 4=0
            > SETTINGS ACK
            < SETTINGS
            < SETTINGS ACK
* up
            * open 1 10.0.0.2:80
            < HEADERS 1 END_HEADERS
            > HEADERS 1 END_HEADERS 88
            * opened 1
            * pour 1 "held back"
            > PING nothing!
            < PING nothing! ACK
            > WINDOW_UPDATE 1 4
            < DATA 1 "held"
            > SETTINGS 4=100
            < SETTINGS ACK
            < DATA 1 " back"
            < END 1
        "#,
        )
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_connections_window_is_shared() {
    // 65,535 bytes for all, whatever the streams' windows are.
    for engine in ENGINES {
        let settings_of = server_settings(engine);
        let (io, _server) = server(settings_of, |incoming| async move {
            let mut stream = incoming.accept(None).unwrap();
            drop(tokio::io::AsyncWriteExt::write_all(&mut stream, &[7; 50_000]).await);
            std::future::pending::<()>().await;
        });
        let mut raw = Raw { io };
        raw.send(&[PREFACE, &settings(&[(4, 1 << 20)]), &frame(raw::SETTINGS, ACK, 0, &[])].concat()).await;
        for stream in [1, 3, 5] {
            raw.send(&connect(stream, "10.0.0.2:80")).await;
        }
        assert_eq!(data_until(&mut raw, 65_535).await, 65_535, "{engine:?}");
        raw.send(&frame(PING, 0, 0, b"no more?")).await;
        loop {
            let next = raw.next().await.unwrap();
            assert_ne!(next.kind, DATA, "{engine:?}: beyond the connection's window");
            if next.kind == PING && next.flags == ACK {
                break;
            }
        }
        raw.send(&frame(WINDOW_UPDATE, 0, 0, &100_000u32.to_be_bytes())).await;
        assert_eq!(data_until(&mut raw, 150_000 - 65_535).await, 150_000 - 65_535, "{engine:?}");
    }
}

async fn data_until(raw: &mut Raw, wanted: usize) -> usize {
    let mut got = 0;
    while got < wanted {
        let next = raw.next().await.expect("the connection ended");
        if next.kind == DATA {
            got += next.payload.len();
        }
    }
    got
}

/// What is announced for the connection until the awaited frame.
async fn announced_until(raw: &mut Raw, awaited: impl Fn(&Frame) -> bool) -> usize {
    let mut announced = 0;
    loop {
        let next = raw.next().await.expect("the connection ended");
        if awaited(&next) {
            return announced;
        }
        assert_ne!(next.kind, GOAWAY);
        if next.kind == WINDOW_UPDATE {
            assert_eq!(next.stream, 0, "nobody reads");
            announced += next.word(0) as usize;
        }
    }
}

/// R7: two hundred streams that nobody reads hold what the budget allows and no more; one byte beyond is a fault.
#[tokio::test(start_paused = true)]
async fn r7_unread_streams_hold_the_budget() {
    const START: usize = 2 << 20;
    for engine in ENGINES {
        for purse in [0, 4 << 20] {
            let (keep, mut kept) = mpsc::unbounded_channel();
            let headroom = Headroom::new(purse);
            let buffers = Buffers { headroom: headroom.clone(), ..Buffers::default() };
            let settings = ServerSettings { buffers, ..server_settings(engine) };
            let (io, _server) = server(settings, move |incoming| {
                let keep = keep.clone();
                async move { drop(keep.send(incoming.accept(None).unwrap())) }
            });
            let mut raw = Raw { io };
            raw.open_as_client().await;
            let mut window = 65_535;
            for stream in (1..400).step_by(2) {
                raw.send(&connect(stream, "10.0.0.2:80")).await;
                window += announced_until(&mut raw, |frame| frame.kind == HEADERS).await;
            }
            let mut streams = Vec::new();
            while streams.len() < 200 {
                streams.push(kept.recv().await.unwrap());
            }
            // All that is announced is sent, 256 KiB a stream, until nothing more is.
            let mut sent = 0;
            loop {
                while sent < window {
                    let size = (window - sent).min(32 * 1024 - sent % (32 * 1024));
                    let stream = u32::try_from(sent / (256 * 1024)).unwrap() * 2 + 1;
                    raw.send(&frame(DATA, 0, stream, &vec![1; size])).await;
                    sent += size;
                }
                raw.send(&frame(PING, 0, 0, b"anymore?")).await;
                let pong = |frame: &Frame| frame.kind == PING && frame.flags == ACK;
                window += announced_until(&mut raw, pong).await;
                assert!(window <= START + purse, "{engine:?}: {window} bytes may come");
                if sent == window {
                    break;
                }
            }
            assert!(window >= START, "{engine:?}: {window} bytes may come");
            raw.send(&frame(DATA, 0, 399, b"x")).await;
            let cut = raw.next_of(GOAWAY).await;
            assert_eq!(cut.word(4), 3, "{engine:?}: FLOW_CONTROL_ERROR");
            drop(streams);
        }
    }
}
