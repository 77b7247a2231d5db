//! R1-R7 by count: what a peer can make either end take, keep or say before it is cut or stops being read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/flood.rs"]
mod flood;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/side.rs"]
mod side;
#[path = "support/transcript.rs"]
mod transcript;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engines::{ENGINES, Engine, server_settings};
use flood::{Ending, Flooded, flood};
use raw::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, Raw, WINDOW_UPDATE, connect, frame, headers,
    reset, settings,
};
use side::{DIALLED, SERVED, Side, client_up_to, server_up_to};
use tunnel::{PIPE, Server, server};

const PRIORITY: u8 = 2;
const PADDED: u8 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// Above what either engine takes of any flood before it answers it.
const TAKEN: usize = 1 << 20;

/// A server in which stream 1 is open and read by nobody, and a client alike.
async fn serving(engine: Engine) -> (Raw, Side) {
    server_up_to(engine, SERVED).await
}

async fn dialling(engine: Engine) -> (Raw, Side) {
    client_up_to(engine, DIALLED).await
}

/// A server whose flow echoes, and counts what it is asked.
async fn counting(engine: Engine) -> (Raw, Server, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (io, server) = server(server_settings(engine), move |incoming| {
        count.fetch_add(1, Ordering::Relaxed);
        tunnel::echo(incoming)
    });
    let mut raw = Raw { io };
    raw.open_as_client().await;
    (raw, server, asked)
}

fn odd(turn: usize) -> u32 {
    u32::try_from(turn).unwrap() * 2 + 3
}

#[track_caller]
fn assert_cut(engine: Engine, name: &str, flooded: &Flooded) {
    let Ending::Cut(Some(code)) = flooded.ending else { panic!("{engine:?}: {name}: {flooded:?}") };
    assert_ne!(code, 0, "{engine:?}: {name}");
    assert!(flooded.taken <= TAKEN, "{engine:?}: {name}: {flooded:?}");
}

#[tokio::test(start_paused = true)]
async fn r1_rapid_reset_reaches_the_flow_a_thousand_times_at_most() {
    for engine in ENGINES {
        let (raw, _server, asked) = counting(engine).await;
        let flooded = flood(raw, 50_000, true, |turn| {
            [connect(odd(turn), "10.0.0.2:80"), reset(odd(turn), 8)].concat()
        })
        .await;
        assert_cut(engine, "rapid reset", &flooded);
        assert_eq!(flooded.ending, Ending::Cut(Some(ENHANCE_YOUR_CALM)), "{engine:?}");
        assert!(asked.load(Ordering::Relaxed) <= 1_000, "{engine:?}: {asked:?}");
    }
}

type Next = fn(usize) -> Vec<u8>;

/// Each makes the server send a reset or a refusal of its own.
const PROVOCATIONS: &[(&str, Next)] = &[
    ("a window of nothing", |turn| {
        [connect(odd(turn), "10.0.0.2:80"), frame(WINDOW_UPDATE, 0, odd(turn), &[0; 4])].concat()
    }),
    ("a window too large", |turn| {
        let update = frame(WINDOW_UPDATE, 0, odd(turn), &0x7fff_ffff_u32.to_be_bytes());
        [connect(odd(turn), "10.0.0.2:80"), update].concat()
    }),
    ("a malformed request", |turn| {
        headers(odd(turn), 0, &[(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("Upper", "case")])
    }),
    ("DATA behind the end", |turn| {
        let ask = headers(odd(turn), END_STREAM, &[(":method", "CONNECT"), (":authority", "10.0.0.2:80")]);
        [ask, frame(DATA, 0, odd(turn), b"x")].concat()
    }),
];

#[tokio::test(start_paused = true)]
async fn r2_resets_that_the_server_is_made_to_send_are_bounded() {
    for engine in ENGINES {
        for (name, next) in PROVOCATIONS {
            let (raw, _side) = serving(engine).await;
            let flooded = flood(raw, 50_000, true, next).await;
            assert_cut(engine, name, &flooded);
            assert!(flooded.said <= 64 * 1024, "{engine:?}: {name}: {flooded:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r3_blocks_without_end_are_cut() {
    const BLOCKS: &[(&str, Next)] = &[
        ("small fields", |turn| match turn {
            0 => frame(HEADERS, 0, 3, &raw::fields(&[(":status", "200")])),
            _ => frame(CONTINUATION, 0, 3, &raw::fields(&[("x", "y")])),
        }),
        ("nothing", |turn| frame(if turn == 0 { HEADERS } else { CONTINUATION }, 0, 3, &[])),
        ("large frames", |turn| frame(if turn == 0 { HEADERS } else { CONTINUATION }, 0, 3, &[0x82; 16_000])),
    ];
    for engine in ENGINES {
        for (name, next) in BLOCKS {
            let (raw, _side) = serving(engine).await;
            let flooded = flood(raw, 100_000, true, next).await;
            assert_cut(engine, name, &flooded);
            let (raw, _side) = dialling(engine).await;
            let flooded = flood(raw, 100_000, true, next).await;
            assert_cut(engine, name, &flooded);
        }
    }
}

/// A field of 3,900 bytes into the table, then 15,000 references to it: 59 MB in one frame.
fn bomb() -> Vec<u8> {
    let mut block = raw::fields(&[(":method", "CONNECT"), (":authority", "10.0.0.2:80")]);
    block.extend([0x40, 1, b'c', 0x7f, 0xbd, 0x1d]);
    block.extend([b'c'; 3_900]);
    block.extend([0x80 | 62; 12_000]);
    block
}

#[tokio::test(start_paused = true)]
async fn r4_a_header_bomb_is_refused_and_costs_no_more_than_its_bytes() {
    for engine in ENGINES {
        let (raw, _server, asked) = counting(engine).await;
        let flooded =
            flood(raw, 100, true, |turn| frame(HEADERS, END_HEADERS | END_STREAM, odd(turn), &bomb())).await;
        assert_eq!(asked.load(Ordering::Relaxed), 0, "{engine:?}: {flooded:?}");
        assert!(flooded.said <= 64 * 1024, "{engine:?}: {flooded:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn r5_data_without_bytes_is_cut() {
    const EMPTY: &[(&str, Next)] =
        &[("empty", |_| frame(DATA, 0, 1, b"")), ("padding alone", |_| frame(DATA, PADDED, 1, &[2, 0, 0]))];
    for engine in ENGINES {
        for (name, next) in EMPTY {
            for (raw, _side) in [serving(engine).await, dialling(engine).await] {
                let flooded = flood(raw, 1_000_000, true, next).await;
                let Ending::Cut(Some(code)) = flooded.ending else {
                    panic!("{engine:?}: {name}: {flooded:?}")
                };
                assert_ne!(code, 0, "{engine:?}: {name}");
            }
        }
    }
}

/// Answers that the peer does not read are not piled up: the peer is no longer read either, or cut.
#[tokio::test(start_paused = true)]
async fn r6_unread_answers_end_the_reading() {
    const ANSWERED: &[(&str, Next)] = &[
        ("PING", |_| frame(PING, 0, 0, b"flooding")),
        ("SETTINGS", |_| settings(&[(3, 100)])),
        ("empty SETTINGS", |_| settings(&[])),
    ];
    for engine in ENGINES {
        for (name, next) in ANSWERED {
            for (raw, _side) in [serving(engine).await, dialling(engine).await] {
                let flooded = flood(raw, 1_000_000, false, next).await;
                assert!(flooded.taken <= TAKEN, "{engine:?}: {name}: {flooded:?}");
                assert_ne!(flooded.ending, Ending::AllTaken, "{engine:?}: {name}");
            }
        }
        for (name, next) in PROVOCATIONS {
            let (raw, _side) = serving(engine).await;
            let flooded = flood(raw, 1_000_000, false, next).await;
            assert!(flooded.taken <= TAKEN, "{engine:?}: {name}: {flooded:?}");
            assert_ne!(flooded.ending, Ending::AllTaken, "{engine:?}: {name}");
        }
    }
}

/// Frames that ask for no answer get none, and the connection is cut or goes on.
#[tokio::test(start_paused = true)]
async fn r6_frames_that_need_no_answer_get_none() {
    const SILENT: &[(&str, Next)] = &[
        ("PRIORITY", |turn| frame(PRIORITY, 0, odd(turn % 1000), &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("a stream's WINDOW_UPDATE", |_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("unknown frames", |_| frame(0xfa, 0, 0, b"anything")),
        ("PING answers", |_| frame(PING, 1, 0, b"anything")),
    ];
    for engine in ENGINES {
        for (name, next) in SILENT {
            for (raw, _side) in [serving(engine).await, dialling(engine).await] {
                let flooded = flood(raw, 100_000, true, next).await;
                assert!(flooded.said <= 256, "{engine:?}: {name}: {flooded:?}");
                assert_ne!(flooded.ending, Ending::Stalled, "{engine:?}: {name}");
            }
        }
    }
}

/// Interim answers without end (a client's peer).
#[tokio::test(start_paused = true)]
async fn r6_interim_answers_keep_nothing() {
    for engine in ENGINES {
        let (raw, _side) = dialling(engine).await;
        let flooded =
            flood(raw, 20_000, true, |_| headers(3, 0, &[(":status", "100"), ("link", "anything")])).await;
        assert!(flooded.said <= 64 * 1024, "{engine:?}: {flooded:?}");
        assert_ne!(flooded.ending, Ending::Stalled, "{engine:?}");
    }
}

/// A peer that takes nothing from us can make us keep one pipe and one send buffer a stream.
#[tokio::test(start_paused = true)]
async fn r7_what_is_not_read_is_not_kept_without_bound() {
    for engine in ENGINES {
        for (raw, mut side) in [serving(engine).await, dialling(engine).await] {
            let most = 256 * 1024 + PIPE + 65_535 + 16 * 1024;
            let accepted = side.write_until_stuck(1, 4 << 20).await;
            assert!(accepted <= most, "{engine:?}: {accepted} bytes");
            drop(raw);
        }
    }
}
