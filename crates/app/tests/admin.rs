//! The admin server over real sockets: routes, methods, forms, bounds, drain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_app::admin::{Answer, Document, LogChange, MetricsFormat, Routes, localhost, serve};
use ambit_app::readiness::Readiness;
use ambit_app::shutdown::{Cause, Shutdown};
use ambit_transport::drain::{Drain, Mode, channel};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Served {
    address: SocketAddr,
    drain: Drain,
}

fn start(routes: Routes) -> Served {
    let routes = Arc::new(routes);
    let (drain, watch) = channel();
    let mut address = None;
    for listener in localhost(0).unwrap() {
        address.get_or_insert(listener.local_addr().unwrap());
        let (routes, watch) = (Arc::clone(&routes), watch.clone());
        tokio::spawn(async move { serve(listener, routes, watch).await.unwrap() });
    }
    Served { address: address.unwrap(), drain }
}

/// Sends the bytes and returns all that comes back.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(60), read).await.expect("no end of the answer");
    String::from_utf8(answer).unwrap()
}

async fn ask(address: SocketAddr, method: &str, target: &str, headers: &str) -> (u16, String) {
    let request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    let answer = raw(address, request.as_bytes()).await;
    let status = answer.split(' ').nth(1).expect(&answer).parse().unwrap();
    (status, answer)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn readiness_names_what_is_pending() {
    let readiness = Readiness::new();
    let (state, proxy) = (readiness.register("state"), readiness.register("proxy"));
    let served = start(Routes::new().readiness("/healthz/ready", readiness));
    let (status, answer) = ask(served.address, "GET", "/healthz/ready", "").await;
    assert_eq!((status, body(&answer)), (500, "not ready, pending: state, proxy\n"));
    drop(state);
    let (status, answer) = ask(served.address, "GET", "/healthz/ready", "").await;
    assert_eq!((status, body(&answer)), (500, "not ready, pending: proxy\n"));
    proxy.ready();
    let (status, answer) = ask(served.address, "GET", "/healthz/ready", "").await;
    assert_eq!((status, body(&answer)), (200, "ready\n"));
}

#[tokio::test]
async fn metrics_come_in_the_form_asked_for() {
    let served = start(Routes::new().metrics(|format| async move {
        match format {
            MetricsFormat::OpenMetrics => "open".to_owned(),
            MetricsFormat::Text => "text".to_owned(),
        }
    }));
    for path in ["/metrics", "/stats/prometheus"] {
        let (_, plain) = ask(served.address, "GET", path, "").await;
        assert!(plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{plain}");
        assert_eq!(body(&plain), "text");
        let accept =
            "accept: text/html\r\naccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
        let (_, open) = ask(served.address, "GET", path, accept).await;
        assert!(
            open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n")
        );
        assert_eq!(body(&open), "open");
    }
}

#[tokio::test]
async fn the_configuration_is_dumped_as_json() {
    let served =
        start(Routes::new().config_dump(|| async { json!({"workloads": [], "version": {"a": 1}}).into() }));
    let (status, answer) = ask(served.address, "GET", "/config_dump", "").await;
    assert_eq!(status, 200);
    assert!(answer.contains("content-type: application/json\r\n"));
    let value: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(value, json!({"workloads": [], "version": {"a": 1}}));
}

#[tokio::test]
async fn a_long_dump_is_sent_in_chunks() {
    let served = start(Routes::new().config_dump(|| async {
        Document::new().list("workloads", (0..10_000).map(|number| json!({ "number": number })))
    }));
    let (status, answer) = ask(served.address, "GET", "/config_dump", "").await;
    assert_eq!(status, 200);
    assert!(answer.contains("transfer-encoding: chunked\r\n"));
    let (mut whole, mut rest) = (String::new(), body(&answer));
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let (chunk, after) = after.split_at(usize::from_str_radix(size, 16).unwrap());
        whole.push_str(chunk);
        rest = after.strip_prefix("\r\n").unwrap();
        if chunk.is_empty() {
            break;
        }
        assert!(chunk.len() < 64 << 10);
    }
    let value: serde_json::Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(value["workloads"].as_array().unwrap().len(), 10_000);
}

#[tokio::test]
async fn levels_are_shown_by_get_and_changed_by_post() {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&changes);
    let served = start(Routes::new().logging(move |change| {
        seen.lock().push(change.clone());
        match change {
            LogChange::Level(level) if level == "loud" => Err("no level \"loud\"".to_owned()),
            change => Ok(format!("{change:?}")),
        }
    }));
    let at = served.address;
    for (method, target, status, text) in [
        ("GET", "/logging", 200, "Show"),
        ("POST", "/logging", 200, "Show"),
        ("GET", "/logging?level=debug", 200, "Show"),
        ("POST", "/logging?level=hbone%3Adebug", 200, "Level(\"hbone:debug\")"),
        ("POST", "/logging?reset", 200, "Reset"),
        ("POST", "/logging?level=loud", 400, "no level \"loud\""),
        ("POST", "/logging?level=", 400, "level is empty; give a level such as info or hbone:debug"),
        ("POST", "/logging?level=a&reset", 400, "level and reset exclude each other"),
        ("POST", "/logging?lvl=a", 400, "no parameter \"lvl\"; there are level and reset"),
    ] {
        let (got, answer) = ask(at, method, target, "").await;
        assert_eq!((got, body(&answer).trim_end()), (status, text), "{method} {target}");
    }
    assert_eq!(changes.lock().len(), 6, "what is refused is not applied");
}

#[tokio::test]
async fn a21_what_changes_something_is_post_only() {
    let mut shutdown = Shutdown::install().unwrap();
    let served = start(Routes::new().quit(shutdown.trigger()));
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let (status, _) = ask(served.address, method, "/quitquitquit", "").await;
        assert_eq!(status, 405, "{method}");
    }
    let early = tokio::time::timeout(Duration::ZERO, shutdown.requested()).await;
    assert!(early.is_err(), "nothing was triggered");
    let (status, _) = ask(served.address, "POST", "/quitquitquit", "content-length: 0\r\n").await;
    assert_eq!(status, 200);
    assert_eq!(shutdown.requested().await, Cause::Asked("asked for by POST /quitquitquit".to_owned()));
}

#[tokio::test]
async fn an_unknown_path_lists_the_known_ones() {
    let served = start(Routes::new().get("/a", "the first", |_| async { Answer::text("a") }).post(
        "/b",
        "the second",
        |asked| async move { Answer::text(format!("{} bytes", asked.body.len())) },
    ));
    let (status, answer) = ask(served.address, "GET", "/nothing?x=1", "").await;
    assert_eq!(status, 404);
    let answer = body(&answer);
    assert!(answer.starts_with("nothing at \"/nothing\"; known are\n"), "{answer}");
    assert!(answer.contains("/a") && answer.contains("the second"), "{answer}");
    let (status, answer) = ask(served.address, "GET", "/", "").await;
    assert!(status == 200 && body(&answer).contains("the first"));
    let answer = raw(
        served.address,
        b"POST /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nxyz",
    )
    .await;
    assert_eq!(body(&answer), "3 bytes\n");
}

#[tokio::test]
async fn r9_requests_are_bounded() {
    let served = start(Routes::new().post("/b", "", |_| async { Answer::text("taken") }));
    let declared = format!(
        "POST /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 70000\r\n\r\n{}",
        "x".repeat(70_000)
    );
    let answer = raw(served.address, declared.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(20_000));
    let answer = raw(served.address, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains("taken"), "{answer}");
    let answer = raw(served.address, b"\x16\x03\x01 not HTTP\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// The clock is paused and runs as soon as everybody waits, so five seconds take none.
#[tokio::test(start_paused = true)]
async fn r9_a_slow_head_or_body_is_cut_off() {
    let served = start(Routes::new().post("/b", "", |_| async { Answer::text("taken") }));
    let begun = tokio::time::Instant::now();
    let answer = raw(served.address, b"POST /b HTTP/1.1\r\nhost:").await;
    assert!(!answer.contains("200"), "{answer}");
    let answer = raw(
        served.address,
        b"POST /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\nabc",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(begun.elapsed() >= Duration::from_secs(10) && begun.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn connections_are_bounded_and_come_free_again() {
    let served = start(Routes::new().get("/a", "", |_| async { Answer::text("a") }));
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 15]).await.unwrap();
        held.push(stream);
    }
    let mut refused = TcpStream::connect(served.address).await.unwrap();
    let closed = refused.read(&mut [0; 16]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "the 65th is closed");
    drop(held);
    // A seat is free as soon as the server has noticed.
    for attempt in 0.. {
        assert!(attempt < 1000, "no seat came free");
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let _ = stream.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await;
        if matches!(stream.read(&mut [0; 16]).await, Ok(bytes) if bytes > 0) {
            break;
        }
    }
}

#[tokio::test]
async fn a_drain_lets_requests_in_progress_finish() {
    let (release, released) = tokio::sync::watch::channel(false);
    let (entered, mut entering) = tokio::sync::mpsc::unbounded_channel();
    let served = start(Routes::new().get("/slow", "", move |_| {
        let mut released = released.clone();
        entered.send(()).unwrap();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            Answer::text("done")
        }
    }));
    let address = served.address;
    let slow = tokio::spawn(async move { ask(address, "GET", "/slow", "").await });
    entering.recv().await.unwrap();
    served.drain.drain(Mode::Graceful);
    let early = tokio::time::timeout(Duration::from_millis(1), served.drain.finished()).await;
    assert!(early.is_err(), "a request is still being answered");
    release.send(true).unwrap();
    let (status, answer) = slow.await.unwrap();
    assert_eq!((status, body(&answer)), (200, "done\n"));
    served.drain.finished().await;
    assert!(TcpStream::connect(address).await.is_err());
}
