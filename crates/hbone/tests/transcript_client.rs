//! Conversations with foreign servers, as recorded from them: what we say to each.

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

use engines::ENGINES;
use side::play_client;

async fn both(text: &str) {
    for engine in ENGINES {
        play_client(engine, text).await;
    }
}

/// Istio's ztunnel: the h2 crate's bytes.
const ZTUNNEL: &str = "
    < SETTINGS 2=0 4=262144 5=65536 6=16384
    < WINDOW_UPDATE 0 2031617
    > SETTINGS 3=200 4=4194304 5=1048576 6=65536
    > SETTINGS ACK
    > WINDOW_UPDATE 0 16711681
    < SETTINGS ACK
* up
    * open 1 10.0.0.2:8080
    < HEADERS 1 END_HEADERS
";
/// Its answer: 200 with baggage, Huffman and both fields into the table.
const ZTUNNEL_ANSWER: &str = "
    > HEADERS 1 END_HEADERS 8840858c734c398b9deaf217a87495158c855ea1d25813396c2fd20b677310abd43a4b0491ff
    * opened 1
";

#[tokio::test(start_paused = true)]
async fn ztunnel_answers_and_half_closes() {
    let rest = r#"
        > DATA 1 "pong"
        > END 1
        * read 1 "pong"
        * eof 1
        # Half-closed by the server, the request goes on.
        * write 1 "ping"
        < DATA 1 "ping"
        * shut 1
        < END 1
        * drop 1
        * open 3 10.0.0.2:8080
        < HEADERS 3 END_HEADERS
        > HEADERS 3 END_HEADERS 88be
        * opened 3
        * write 3 "half a"
        < DATA 3 "half a"
        > RST_STREAM 3 8
        * broken 3
        * drop 3
        * let-go
        < GOAWAY 0 0
        < CLOSED
        * done
    "#;
    both(&format!("{ZTUNNEL}{ZTUNNEL_ANSWER}{rest}")).await;
}

#[tokio::test(start_paused = true)]
async fn ztunnel_refuses() {
    let rest = r#"
        > HEADERS 1 END_HEADERS END_STREAM 48826801
        * refused 1 "status 401"
        < RST_STREAM 1 8
        * open 3 10.0.0.2:8080
        < HEADERS 3 END_HEADERS
        * give-up 3
        < RST_STREAM 3 8
        # Its answer was under way.
        > HEADERS 3 END_HEADERS 88
        > DATA 3 "banner"
        * open 5 10.0.0.2:8080
        < HEADERS 5 END_HEADERS
        > HEADERS 5 END_HEADERS 88
        * opened 5
    "#;
    both(&format!("{ZTUNNEL}{rest}")).await;
}

#[tokio::test(start_paused = true)]
async fn ztunnel_drains() {
    let rest = r#"
        * open 3 10.0.0.2:8080
        < HEADERS 3 END_HEADERS
        > GOAWAY 2147483647 0
        > PING theirs-!
        < PING theirs-! ACK
        * retired
        > GOAWAY 1 0
        * refused 3 "try again"
        > DATA 1 "last words"
        * read 1 "last words"
        * write 1 "ours"
        < DATA 1 "ours"
        * shut 1
        < END 1
        > END 1
        * eof 1
        * drop 1
        < GOAWAY 0 0
        < CLOSED
        * done
    "#;
    both(&format!("{ZTUNNEL}{ZTUNNEL_ANSWER}{rest}")).await;
}

/// A waypoint: Envoy 1.40. Its HEADERS carry date, server and x-envoy-upstream-service-time.
const ENVOY: &str = "
    < SETTINGS 2=0 4=262144 5=65536 6=16384
    > SETTINGS 1=4096 8=1 3=100 4=16777216
    > SETTINGS ACK
    > WINDOW_UPDATE 0 25100289
    < SETTINGS ACK
* up
    * open 1 10.0.0.2:8080
    < HEADERS 1 END_HEADERS
    > HEADERS 1 END_HEADERS 886196dd6d5f4a084a693f75040138a059b8072e05953168df76842d5dcfeb
    * opened 1
    * write 1 \"ping\"
    < DATA 1 \"ping\"
";

#[tokio::test(start_paused = true)]
async fn envoy_ends_both_ways_at_its_applications_end() {
    let rest = r#"
        > DATA 1 "pong"
        > END 1
        > RST_STREAM 1 0
        * read 1 "pong"
        # NO_ERROR behind the end says that the rest is not wanted: an end, not a failure (RFC 9113 section 8.1).
        * eof 1
        * drop 1
        * open 3 10.0.0.2:8080
        < HEADERS 3 END_HEADERS
        > HEADERS 3 END_HEADERS 886196dd6d5f4a084a693f75040138a059b8072e05d53168dfbf
        * opened 3
        # Its application has reset its connection: Envoy says CONNECT_ERROR.
        > RST_STREAM 3 10
        * broken 3
    "#;
    both(&format!("{ENVOY}{rest}")).await;
}

#[tokio::test(start_paused = true)]
async fn envoy_answers_503_with_a_body() {
    let rest = r#"
        * open 3 10.0.0.2:8080
        < HEADERS 3 END_HEADERS
        > HEADERS 3 END_HEADERS 48033530330f0d0239385f87497ca58ae819aa6196dd6d5f4a084a693f75040138a059b8072e05f53168dfc1
        > DATA 3 "upstream connect error or disconnect/reset before headers"
        > END 3
        > RST_STREAM 3 10
        * refused 3 "status 503"
        > PING still-up
        < PING still-up ACK
    "#;
    both(&format!("{ENVOY}{rest}")).await;
}

#[tokio::test(start_paused = true)]
async fn nghttp2_answers() {
    both(
        r#"
        < SETTINGS 2=0 4=262144 5=65536 6=16384
        > SETTINGS 3=100
        > SETTINGS ACK
        < SETTINGS ACK
* up
        * open 1 10.0.0.2:8080
        < HEADERS 1 END_HEADERS
        > HEADERS 1 END_HEADERS 8840858c734c398b91eaf217a87495158c855ea1d25813396c2f
        * opened 1
        * write 1 "ping"
        < DATA 1 "ping"
        > DATA 1 "pong"
        * read 1 "pong"
        * shut 1
        < END 1
        > END 1
        * eof 1
        * drop 1
        * let-go
        < GOAWAY 0 0
        < CLOSED
        * done
    "#,
    )
    .await;
}
