//! Whatever a peer sends, the process lives, the connection ends when the peer does, and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::time::Duration;

use ambit_hbone::client::connect;
use ambit_hbone::{Buffered, Engine};
use proptest::prelude::*;
use raw::{PREFACE, frame, send_if_open, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;
use tunnel::{PIPE, echo, request, server};

/// Frames that are nearly right: known kinds, few streams, blocks that often decode.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let block = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(raw::fields(&[(":method", "CONNECT"), (":authority", "10.0.0.2:80")])),
        Just(vec![0x88]),
        Just(vec![0; 4]),
        Just(vec![0; 8]),
    ];
    let flags = prop_oneof![Just(0u8), Just(1), Just(4), Just(5), any::<u8>()];
    let one = (0u8..11, flags, 0u32..8, block);
    prop::collection::vec(one, 0..30).prop_map(|frames| {
        let bytes =
            |(kind, flags, stream, payload): (u8, u8, u32, Vec<u8>)| frame(kind, flags, stream, &payload);
        frames.into_iter().flat_map(bytes).collect()
    })
}

/// Runs the test with each engine at both ends.
fn run<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for engine in [Engine::Own, Engine::Library] {
        tunnel::use_engines(engine, engine);
        run_once(test());
    }
}

fn run_once(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(3600), test).await.expect("it hangs") });
}

async fn serve_these(bytes: Vec<u8>) {
    let (mut io, server) = server(tunnel::server_settings(), echo);
    let (mut read, mut write) = tokio::io::split(&mut io);
    let sending = async {
        send_if_open(&mut write, &bytes).await;
        let _ = write.shutdown().await;
    };
    let mut answers = Vec::new();
    let (_, read) = tokio::join!(sending, read.read_to_end(&mut answers));
    read.unwrap();
    drop(io);
    // A result of any kind, but a result: no panic.
    let _ = server.serving.await.expect("the server panicked");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_server_outlives_any_frames(rest in frames()) {
        run(|| serve_these([PREFACE, &settings(&[]), &rest].concat()));
    }

    #[test]
    fn the_server_outlives_any_bytes(rest in prop::collection::vec(any::<u8>(), 0..300)) {
        run(|| serve_these(rest.clone()));
        run(|| serve_these([PREFACE, &settings(&[]), &rest].concat()));
    }

    #[test]
    fn the_client_outlives_any_frames(rest in frames()) {
        run(|| async {
            let (ours, mut theirs) = duplex(PIPE);
            let bytes = [settings(&[]), rest.clone()].concat();
            theirs.write_all(&bytes).await.unwrap();
            let Ok((connection, driver)) = connect(Buffered::new(ours), &tunnel::client_settings()).await else { return };
            let driving = tokio::spawn(driver);
            let opening = timeout(Duration::from_secs(1), connection.open(request())).await;
            drop((opening, connection, theirs));
            let _ = driving.await.expect("the client panicked");
        });
    }
}
