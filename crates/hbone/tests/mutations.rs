//! Recorded conversations, damaged at random: nobody panics, nothing is said without bound, and both ends end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::time::Duration;

use engines::{ENGINES, Engine, carrier, client_settings, server_settings};
use proptest::prelude::*;
use raw::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame, settings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;
use tunnel::{PIPE, echo, request, server};

/// Where a frame is damaged.
#[derive(Debug, Clone)]
enum Damage {
    Flip { at: prop::sample::Index, bit: u8 },
    Set { at: prop::sample::Index, byte: u8 },
    Cut { at: prop::sample::Index },
    Insert { at: prop::sample::Index, bytes: Vec<u8> },
    DropFrame(prop::sample::Index),
    Repeat(prop::sample::Index, u8),
    Swap(prop::sample::Index, prop::sample::Index),
    Stream { at: prop::sample::Index, stream: u8 },
    Flags { at: prop::sample::Index, flags: u8 },
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<prop::sample::Index>;
    let one = prop_oneof![
        (at(), 0u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set { at, byte }),
        at().prop_map(|at| Damage::Cut { at }),
        (at(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        at().prop_map(Damage::DropFrame),
        (at(), 1u8..200).prop_map(|(at, times)| Damage::Repeat(at, times)),
        (at(), at()).prop_map(|(one, other)| Damage::Swap(one, other)),
        (at(), 0u8..8).prop_map(|(at, stream)| Damage::Stream { at, stream }),
        (at(), any::<u8>()).prop_map(|(at, flags)| Damage::Flags { at, flags }),
    ];
    prop::collection::vec(one, 0..6)
}

fn damaged(mut frames: Vec<Vec<u8>>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if frames.is_empty() {
            break;
        }
        let count = frames.len();
        match damage {
            Damage::DropFrame(at) => drop(frames.remove(at.index(count))),
            Damage::Repeat(at, times) => {
                let repeated = frames[at.index(count)].repeat(usize::from(*times));
                frames[at.index(count)] = repeated;
            }
            Damage::Swap(one, other) => frames.swap(one.index(count), other.index(count)),
            Damage::Stream { at, stream } => set(&mut frames[at.index(count)], 8, *stream),
            Damage::Flags { at, flags } => set(&mut frames[at.index(count)], 4, *flags),
            Damage::Flip { .. } | Damage::Set { .. } | Damage::Cut { .. } | Damage::Insert { .. } => {}
        }
    }
    let mut bytes = frames.concat();
    for damage in damages.iter().filter(|_| !frames.is_empty()) {
        let count = bytes.len().max(1);
        match damage {
            Damage::Flip { at, bit } => {
                bytes.get_mut(at.index(count)).into_iter().for_each(|byte| *byte ^= 1 << bit)
            }
            Damage::Set { at, byte } => set(&mut bytes, at.index(count), *byte),
            Damage::Cut { at } => bytes.truncate(at.index(count)),
            Damage::Insert { at, bytes: more } => {
                let at = at.index(count).min(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            _ => {}
        }
    }
    bytes
}

fn set(bytes: &mut [u8], at: usize, to: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = to;
    }
}

fn hex(digits: &str) -> Vec<u8> {
    let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(octet).collect()
}

/// As recorded from Istio's ztunnel (the h2 crate).
const ASK: &str = "4287bdab4e9c17b7ff4189081702e05c571e03c040858c734c398b9deaf217a87495158c855ea1d258272d85fa416cee62157a874960f058ff408794f6781d92164f8f94f641fc840b81702e1b8d3a10ff3f40884d83216b1d85a93fa700166a395f14acb6ebb1b2d483706c90af89f9005015a7597160025038e8c608c6f8051bab001f";
const ANSWER: &str = "8840858c734c398b9deaf217a87495158c855ea1d25813396c2fd20b677310abd43a4b0491ff";

fn a_clients() -> Vec<Vec<u8>> {
    vec![
        PREFACE.to_vec(),
        settings(&[(2, 0), (4, 4 << 20), (5, 1 << 20), (6, 16 << 10)]),
        frame(SETTINGS, ACK, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &0x00ff_0001_u32.to_be_bytes()),
        frame(HEADERS, END_HEADERS, 1, &hex(ASK)),
        frame(DATA, 0, 1, b"ping"),
        frame(HEADERS, END_HEADERS, 3, &hex("c2c1c0bfbe")),
        frame(WINDOW_UPDATE, 0, 3, &1000u32.to_be_bytes()),
        frame(DATA, END_STREAM, 3, &[7; 3_000]),
        raw::reset(3, 8),
        frame(DATA, 8, 1, &[2, b'x', 0, 0]),
        frame(DATA, END_STREAM, 1, &[]),
        frame(PING, 0, 0, b"anything"),
        frame(HEADERS, 0, 5, &hex("c2c1c0")),
        frame(9, END_HEADERS, 5, &hex("bfbe")),
        raw::goaway(0, 0),
    ]
}

fn a_servers() -> Vec<Vec<u8>> {
    vec![
        settings(&[(3, 200), (4, 4 << 20), (5, 1 << 20), (6, 64 << 10)]),
        frame(SETTINGS, ACK, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &0x00ff_0001_u32.to_be_bytes()),
        frame(HEADERS, END_HEADERS, 1, &hex(ANSWER)),
        frame(DATA, 0, 1, b"pong"),
        frame(HEADERS, END_HEADERS, 3, &hex("88be")),
        frame(DATA, 0, 3, &[7; 3_000]),
        raw::reset(3, 8),
        frame(PING, 0, 0, b"anything"),
        frame(HEADERS, END_HEADERS | END_STREAM, 5, &hex("48826801")),
        frame(DATA, END_STREAM, 1, &[]),
        raw::goaway(5, 0),
    ]
}

/// Between two pieces of a conversation.
const PAUSE: Duration = Duration::from_millis(20);

fn run(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(3_600), test).await.expect("it hangs") });
}

/// What an end may say: its opening, an answer of the same size to whatever came, an echo, and a farewell.
fn bound(heard: usize) -> usize {
    1_024 + 4 * heard
}

/// Says the bytes piece by piece, as if in a conversation, then ends; gives what came back until the end.
async fn say(io: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(io);
    let saying = async {
        // The first piece of a server is its opening: SETTINGS, their acknowledgement and a window.
        for piece in bytes.chunks(55.max(bytes.len() / 40)) {
            if !matches!(timeout(PAUSE, write.write_all(piece)).await, Ok(Ok(()))) {
                break;
            }
            // Paused time: it passes when everybody has done all there is to do.
            tokio::time::sleep(PAUSE).await;
        }
        drop(write.shutdown().await);
    };
    let mut said = Vec::new();
    let (_, read) = tokio::join!(saying, read.read_to_end(&mut said));
    read.unwrap();
    said
}

/// Gives what the server said.
async fn serve_these(engine: Engine, bytes: &[u8]) -> Vec<u8> {
    let (io, server) = server(server_settings(engine), echo);
    let said = say(io, bytes).await;
    assert!(said.len() <= bound(bytes.len()), "{engine:?} said {} for {} bytes", said.len(), bytes.len());
    let _ = server.serving.await.expect("the server panicked");
    said
}

/// Gives what the client said.
async fn dial_these(engine: Engine, bytes: &[u8]) -> Vec<u8> {
    let (ours, theirs) = duplex(PIPE);
    let dialling = tokio::spawn(async move {
        let connected = ambit_hbone::client::connect(carrier(ours), &client_settings(engine)).await;
        let Ok((connection, driver)) = connected else { return };
        let driving = tokio::spawn(driver);
        let talk = |text: &'static [u8]| {
            let opening = connection.open(request());
            async move {
                let Ok((mut stream, _)) = opening.await else { return };
                drop(stream.write_all(text).await);
                drop(stream.shutdown().await);
                drop(stream.read_to_end(&mut Vec::new()).await);
            }
        };
        tokio::join!(talk(b"one"), talk(b"two"), talk(b"three"));
        drop(connection);
        let _ = driving.await.expect("the client panicked");
    });
    let said = say(theirs, bytes).await;
    assert!(said.len() <= bound(bytes.len()), "{engine:?} said {} for {} bytes", said.len(), bytes.len());
    dialling.await.unwrap();
    said
}

#[test]
fn undamaged_they_are_conversations() {
    let has = |said: &[u8], text: &[u8]| said.windows(text.len()).any(|window| window == text);
    for engine in ENGINES {
        run(async {
            let said = serve_these(engine, &a_clients().concat()).await;
            assert!(has(&said, b"ping"), "{engine:?}");
            let said = dial_these(engine, &a_servers().concat()).await;
            assert!(has(&said, PREFACE) && has(&said, b"one"), "{engine:?}");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_server_ends_with_any_damaged_client(damages in damages()) {
        let bytes = damaged(a_clients(), &damages);
        for engine in ENGINES {
            run(async { drop(serve_these(engine, &bytes).await) });
        }
    }

    #[test]
    fn a_client_ends_with_any_damaged_server(damages in damages()) {
        let bytes = damaged(a_servers(), &damages);
        for engine in ENGINES {
            run(async { drop(dial_these(engine, &bytes).await) });
        }
    }
}
