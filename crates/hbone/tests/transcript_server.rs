//! Conversations with foreign clients, as recorded from them: what we answer to each.

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

use ambit_hbone::Engine;
use engines::ENGINES;
use side::play_server;

async fn both(text: &str) {
    for engine in ENGINES {
        play_server(engine, text).await;
    }
}

/// Istio's ztunnel opens with the h2 crate's bytes: windows of 4 and 16 MiB, frames of 1 MiB, Huffman and the table.
const ZTUNNEL: &str = "
    > PREFACE
    > SETTINGS 2=0 4=4194304 5=1048576 6=16384
    < SETTINGS 3=200 4=262144 5=65536 6=16384
    < SETTINGS ACK
    < WINDOW_UPDATE 0 2031617
    > SETTINGS ACK
    > WINDOW_UPDATE 0 16711681
    > HEADERS 1 END_HEADERS 4287bdab4e9c17b7ff4189081702e05c571e03c040858c734c398b9deaf217a87495158c855ea1d258272d85fa416cee62157a874960f058ff408794f6781d92164f8f94f641fc840b81702e1b8d3a10ff3f40884d83216b1d85a93fa700166a395f14acb6ebb1b2d483706c90af89f9005015a7597160025038e8c608c6f8051bab001f
    * asked 1 10.0.0.2:8080 k8s.namespace.name=here,service.name=web
";

#[tokio::test(start_paused = true)]
async fn ztunnel_asks_twice_and_takes_the_second_back() {
    let rest = r#"
        * accept 1
        < HEADERS 1 END_HEADERS 88
        > DATA 1 "ping"
        > END 1
        * read 1 "ping"
        * eof 1
        # The same fields again, all from the table that both sides hold.
        > HEADERS 3 END_HEADERS c2c1c0bfbe
        * asked 3 10.0.0.2:8080 k8s.namespace.name=here,service.name=web
        > RST_STREAM 3 8
        * canceled 3
        * forget 3
        # Half-closed by the client, the answer goes on.
        * write 1 "pong"
        < DATA 1 "pong"
        * shut 1
        < END 1
        > GOAWAY 0 0
        * drop 1
        < CLOSED
        * done
    "#;
    both(&format!("{ZTUNNEL}{rest}")).await;
}

#[tokio::test(start_paused = true)]
async fn ztunnel_is_refused_and_asks_again() {
    let rest = r#"
        * refuse 1 401
        < HEADERS 1 END_HEADERS END_STREAM
        < RST_STREAM 1 0
        > HEADERS 3 END_HEADERS c2c1c0bfbe
        * asked 3 10.0.0.2:8080 k8s.namespace.name=here,service.name=web
        * refuse 3 503
        < HEADERS 3 END_HEADERS END_STREAM
        < RST_STREAM 3 0
        > HEADERS 5 END_HEADERS c2c1c0bfbe
        * asked 5 10.0.0.2:8080
        * accept 5
        < HEADERS 5 END_HEADERS 88
    "#;
    both(&format!("{ZTUNNEL}{rest}")).await;
}

#[tokio::test(start_paused = true)]
async fn ztunnel_sees_a_drain() {
    // First no number, so that what is under way still counts; then, behind a PING's answer, the last one. The library
    // says it at once; our engine takes what ztunnel's tasks had ready behind that answer, and says it at the end.
    let first = r#"
        * accept 1
        < HEADERS 1 END_HEADERS 88
        * drain
        < GOAWAY 2147483647 0
        < PINGED
        # What was sent before the farewell came is served.
        > HEADERS 3 END_HEADERS c2c1c0bfbe
        > PONG
    "#;
    let open = r#"
        * asked 3 10.0.0.2:8080
        * accept 3
        < HEADERS 3 END_HEADERS 88
        > DATA 3 "late"
        > END 3
        * read 3 "late"
        * eof 3
        * shut 3
        < END 3
        > END 1
        * write 1 "bye"
        * shut 1
        < DATA 1 "bye"
        < END 1
        * eof 1
        * drop 1
        * drop 3
    "#;
    let end = "
        < CLOSED
        * done
    ";
    play_server(Engine::Library, &format!("{ZTUNNEL}{first}< GOAWAY 3 0{open}{end}")).await;
    let late = r#"
        > HEADERS 5 END_HEADERS c2c1c0bfbe
        * asked 5 10.0.0.2:8080
        * refuse 5 503
        < HEADERS 5 END_HEADERS END_STREAM
        < RST_STREAM 5 0
        < GOAWAY 5 0
    "#;
    play_server(Engine::Own, &format!("{ZTUNNEL}{first}{open}{late}{end}")).await;
}

/// A connection that the kernel accepted just before the drain: its first request is on its way.
#[tokio::test(start_paused = true)]
async fn a_newcomer_is_served_before_it_is_sent_away() {
    let (opening, asked) = ZTUNNEL.split_at(ZTUNNEL.find("> HEADERS").unwrap());
    let rest = r#"
        * accept 1
        < HEADERS 1 END_HEADERS 88
        < GOAWAY 2147483647 0
        < PINGED
        > END 1
        * eof 1
        * shut 1
        < END 1
        * drop 1
        > PONG
        < GOAWAY 1 0
        < CLOSED
        * done
    "#;
    both(&format!("{opening}* drain\n{asked}{rest}")).await;
}

#[tokio::test(start_paused = true)]
async fn ztunnel_resets_and_is_reset() {
    let rest = r#"
        * accept 1
        < HEADERS 1 END_HEADERS 88
        > DATA 1 "half a mess"
        * read 1 "half a mess"
        > RST_STREAM 1 8
        * broken 1
        * drop 1
        > HEADERS 3 END_HEADERS c2c1c0bfbe
        * asked 3 10.0.0.2:8080
        * accept 3
        < HEADERS 3 END_HEADERS 88
        > DATA 3 "more than we read"
        * read 3 "more"
        * abort 3
        < RST_STREAM 3 8
        * drop 3
        # Frames that were under way when our reset left are no offence.
        > DATA 3 "still on its way"
        > WINDOW_UPDATE 3 100
        > END 3
        > RST_STREAM 3 8
        > PING still-up
        < PING still-up ACK
    "#;
    both(&format!("{ZTUNNEL}{rest}")).await;
}

/// A waypoint: Envoy 1.40 with its defaults. It knows SETTINGS that we do not (8, extended CONNECT).
const ENVOY: &str = "
    > PREFACE
    > SETTINGS 2=0 1=4096 8=0 3=1024 4=16777216
    > WINDOW_UPDATE 0 25100289
    > HEADERS 1 END_HEADERS 4207434f4e4e4543544189081702e05c571e03c040858c734c398b9deaf217a87495158c855ea1d258272d85fa416cee62157a874960f058ff
    < SETTINGS 3=200 4=262144 5=65536 6=16384
    < SETTINGS ACK
    < WINDOW_UPDATE 0 2031617
    > SETTINGS ACK
    * asked 1 10.0.0.2:8080 k8s.namespace.name=here,service.name=web
    * accept 1
    < HEADERS 1 END_HEADERS 88
";

#[tokio::test(start_paused = true)]
async fn envoy_talks_and_half_closes() {
    let rest = r#"
        > DATA 1 "ping"
        * read 1 "ping"
        * write 1 "pong"
        < DATA 1 "pong"
        > END 1
        * eof 1
        * write 1 "and more"
        < DATA 1 "and more"
        * shut 1
        < END 1
        > HEADERS 3 END_HEADERS c0bfbe
        * asked 3 10.0.0.2:8080 k8s.namespace.name=here,service.name=web
        * accept 3
        < HEADERS 3 END_HEADERS 88
        # Its application has reset its connection: Envoy says INTERNAL_ERROR.
        > RST_STREAM 3 2
        * broken 3
        > PING still-up
        < PING still-up ACK
    "#;
    both(&format!("{ENVOY}{rest}")).await;
}

#[tokio::test(start_paused = true)]
async fn nghttp2_talks_resets_and_leaves() {
    both(
        r#"
        > PREFACE
        > SETTINGS 3=100 4=65535
        < SETTINGS 3=200 4=262144 5=65536 6=16384
        < SETTINGS ACK
        < WINDOW_UPDATE 0 2031617
        > SETTINGS ACK
        > HEADERS 1 END_HEADERS 4207434f4e4e4543544189081702e05c571e03c040858c734c398b9deaf217a87495158c855ea1d258272d85fa416cee62157a874960f058ff408794f6781d92164f8f94f641fc840b81702e1b8d3a10ff3f
        * asked 1 10.0.0.2:8080 k8s.namespace.name=here,service.name=web
        * accept 1
        < HEADERS 1 END_HEADERS 88
        > HEADERS 3 END_HEADERS c1c0bfbe
        * asked 3 10.0.0.2:8080 k8s.namespace.name=here,service.name=web
        > RST_STREAM 3 8
        * canceled 3
        * forget 3
        > DATA 1 "ping"
        * read 1 "ping"
        > END 1
        * eof 1
        * shut 1
        < END 1
        * drop 1
        > GOAWAY 0 0
        < CLOSED
        * done
    "#,
    )
    .await;
}
