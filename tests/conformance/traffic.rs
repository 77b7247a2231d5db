//! Timeouts, retries, and protocols of backends.

use std::io::{BufRead, BufReader, Read, Write};

use ambit_tests::http;
use ambit_tests::runner::Test;

use crate::request::{by, get, status};
use crate::stage::{Parent, stage};

pub(crate) const TESTS: &[Test] = &[
    ("HTTPRouteTimeoutRequest", || timeout("{request: 500ms}")),
    ("HTTPRouteTimeoutBackendRequest", || timeout("{backendRequest: 500ms}")),
    ("HTTPRouteTimeoutDisabled", disabled),
    ("HTTPRouteRetry", retry),
    ("HTTPRouteBackendProtocolWebSocket", websocket),
];

/// An application that does not answer is answered for.
fn timeout(timeouts: &str) {
    let parent = Parent::new(
        "timeout",
        &format!("ROUTE\n  - timeouts: {timeouts}\n    backendRefs: [{{name: echo-v1, port: 80}}]"),
    );
    parent.table(&[(get("/?hang"), status(504)), (get("/"), by("echo-v1"))]);
}

/// `0s` is none.
fn disabled() {
    let parent = Parent::new(
        "timeout-0",
        "ROUTE\n  - timeouts: {request: 0s}\n    backendRefs: [{name: echo-v1, port: 80}]",
    );
    parent.table(&[(get("/"), by("echo-v1"))]);
}

/// The codes that are asked for are tried again, as often as is asked; others are not.
fn retry() {
    let parent = Parent::new(
        "retry",
        "ROUTE
  - matches: [{path: {type: PathPrefix, value: /retried}}]
    retry: {codes: [500, 502], attempts: 2, backoff: 10ms}
    backendRefs: [{name: echo-v2, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /not}}]
    retry: {attempts: 0}
    backendRefs: [{name: echo-v2, port: 80}]",
    );
    parent.table(&[(get("/retried"), by("echo-v2"))]);
    for (path, failures, code, expected) in [
        ("/retried", 1, 500, 200),
        ("/retried", 2, 502, 200),
        ("/retried", 3, 500, 500),
        ("/retried", 1, 404, 404),
        ("/not", 1, 500, 500),
    ] {
        // A name for the application to count by.
        let name = format!("{}-{failures}-{code}", &path[1..]);
        let asked = get(&format!("{path}?fail={failures}&code={code}&as={name}"));
        let answer = asked.to(parent.at(80)).send().unwrap();
        assert_eq!(answer.status, expected, "{path}: {failures} times {code}");
    }
}

/// An upgrade is passed on, and then bytes are.
fn websocket() {
    let parent = Parent::new("websocket", "ROUTE\n  - backendRefs: [{name: echo-v1, port: 80}]");
    parent.table(&[(get("/"), by("echo-v1"))]);
    let mut stream = http::connect(stage().client(), parent.at(80)).unwrap();
    let asked = "GET /?switch HTTP/1.1\r\nHost: echo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(asked.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 101 "), "{line}");
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    stream.write_all(b"\x81\x05hello").unwrap();
    let mut echoed = [0; 7];
    reader.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"\x81\x05hello");
}
