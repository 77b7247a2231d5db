//! Endpoints that answer what they must not: the client is told 503, or sees that the answer is not whole; no connection
//! that misbehaved is used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::{Request, Version};
use ambit_model::service::AppProtocol;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, block, frame};
use crate::http::{Body, client1, client2, empty};
use crate::mesh::{Mesh, ask};
use crate::shop::{CART, WEB, head, raw};

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "cart").body(empty()).unwrap()
}

/// An application that answers each connection's first request with these bytes, and says how many connections it had.
async fn answering(answer: &[u8]) -> (Mesh, Arc<AtomicUsize>) {
    let (mesh, mut streams) = raw(AppProtocol::Http11).await;
    let connections = Arc::new(AtomicUsize::new(0));
    let (counted, answer) = (connections.clone(), answer.to_vec());
    tokio::spawn(async move {
        while let Some((mut application, _)) = streams.recv().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                head(&mut application).await;
                application.write_all(&answer).await.ok();
                let mut rest = Vec::new();
                application.read_to_end(&mut rest).await.ok();
            });
        }
    });
    (mesh, connections)
}

#[tokio::test(start_paused = true)]
async fn answers_of_two_readings_are_503() {
    let huge = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "a".repeat(100 * 1024));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-a: b\r\n".repeat(200));
    let smuggle = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a : b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a: b\0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 1000 High\r\n\r\n",
        "HTTP/3.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "220 mail.example ESMTP\r\n\r\n",
        &huge,
        &many,
    ] {
        let (mesh, _) = answering(answer.as_bytes()).await;
        let tunnel = mesh.tunnel("web", WEB).await;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let stream = ask(&tunnel, CART).await.unwrap();
            let response = if version == Version::HTTP_2 {
                let request = Request::get("http://cart/").body(empty()).unwrap();
                client2(stream).await.send_request(request).await.unwrap()
            } else {
                client1(stream).await.send_request(get("/")).await.unwrap()
            };
            assert_eq!(response.status(), 503, "{version:?} {:?}", &answer[..answer.len().min(100)]);
        }
        mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UPE\""]).await;
    }
    let (mesh, _) = answering(smuggle.as_bytes()).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    assert_eq!(client.send_request(get("/")).await.unwrap().status(), 200, "the good one is passed on");
}

/// A client that asks for one protocol is not switched to another.
#[tokio::test(start_paused = true)]
async fn a_switch_to_another_protocol_is_503() {
    let (mesh, _) =
        answering(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n").await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let mut request = get("/");
    request.headers_mut().insert("connection", "upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    assert_eq!(client.send_request(request).await.unwrap().status(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_interim_responses_is_503() {
    let (mesh, mut streams) = raw(AppProtocol::Http11).await;
    tokio::spawn(async move {
        while let Some((mut application, _)) = streams.recv().await {
            head(&mut application).await;
            while application.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.is_ok() {}
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let answered = tokio::time::timeout(Duration::from_secs(60), client.send_request(get("/"))).await;
    assert_eq!(answered.expect("the flood is cut off").unwrap().status(), 503);

    let few = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10) + "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (mesh, _) = answering(few.as_bytes()).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    assert_eq!(client.send_request(get("/")).await.unwrap().status(), 200);
}

/// Bodies that break off never look whole, in either version of the client's.
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_not_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\nhalf\r\n",
    ] {
        let (mesh, mut streams) = raw(AppProtocol::Http11).await;
        tokio::spawn(async move {
            while let Some((mut application, _)) = streams.recv().await {
                head(&mut application).await;
                application.write_all(answer.as_bytes()).await.ok();
                application.shutdown().await.ok();
            }
        });
        let tunnel = mesh.tunnel("web", WEB).await;
        let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
        // The head may not have gone out yet when the body breaks off.
        if let Ok(response) = client.send_request(get("/")).await {
            response.into_body().collect().await.expect_err(answer);
        }
        let mut client = client2(ask(&tunnel, CART).await.unwrap()).await;
        let request = Request::get("http://cart/").body(empty()).unwrap();
        if let Ok(response) = client.send_request(request).await {
            response.into_body().collect().await.expect_err(answer);
        }
    }
}

/// A second answer behind the first is nobody's: the next request goes over another connection.
#[tokio::test(start_paused = true)]
async fn a_smuggled_second_answer_reaches_nobody() {
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled";
    for first in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n",
    ] {
        let (mesh, connections) = answering(format!("{first}{smuggled}").as_bytes()).await;
        let tunnel = mesh.tunnel("web", WEB).await;
        let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
        for number in 1..=5 {
            let response = client.send_request(get(&format!("/{number}"))).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_ne!(&body[..], b"smuggled", "{first:?}");
            assert_eq!(connections.load(Ordering::SeqCst), number, "{first:?}");
        }
    }
    // To HEAD, a body is a second answer.
    let (mesh, connections) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    for number in 1..=3 {
        let request = Request::head("/").header("host", "cart").body(empty()).unwrap();
        assert_eq!(client.send_request(request).await.unwrap().status(), 200);
        assert_eq!(connections.load(Ordering::SeqCst), number);
    }
}

/// An answer that comes while nobody asks ends the connection.
#[tokio::test(start_paused = true)]
async fn an_answer_to_no_request_ends_the_connection() {
    let (mesh, mut streams) = raw(AppProtocol::Http11).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let asking = tokio::spawn(async move {
        let response = client.send_request(get("/1")).await.unwrap();
        (response.into_body().collect().await.unwrap().to_bytes(), client)
    });
    let (mut first, _) = streams.recv().await.unwrap();
    head(&mut first).await;
    first.write_all(answer).await.unwrap();
    let (body, mut client) = asking.await.unwrap();
    assert_eq!(&body[..], b"ok");
    first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled").await.unwrap();
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.ok();
    assert!(rest.is_empty(), "nothing more is asked on it");
    let asking = tokio::spawn(async move {
        client.send_request(get("/2")).await.unwrap().into_body().collect().await.unwrap().to_bytes()
    });
    let (mut second, _) = streams.recv().await.unwrap();
    head(&mut second).await;
    second.write_all(answer).await.unwrap();
    assert_eq!(&asking.await.unwrap()[..], b"ok");
}

/// An answer that comes before the request has ended leaves nothing of the request for the next one on that connection.
#[tokio::test(start_paused = true)]
async fn an_early_answer_costs_the_connection() {
    let (mesh, mut streams) = raw(AppProtocol::Http11).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = ask(&tunnel, CART).await.unwrap();
    client
        .write_all(b"POST /early HTTP/1.1\r\nhost: cart\r\ncontent-length: 100\r\n\r\nGET /smug")
        .await
        .unwrap();
    let (mut first, _) = streams.recv().await.unwrap();
    head(&mut first).await;
    first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    let mut other = ask(&tunnel, CART).await.unwrap();
    other.write_all(b"GET /other HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    let (mut second, _) = streams.recv().await.unwrap();
    assert!(head(&mut second).await.starts_with("GET /other "));
}

/// An endpoint that speaks HTTP/2 and breaks its rules.
#[tokio::test(start_paused = true)]
async fn http2_answers_that_are_none() {
    let answer = |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    let with_body = |fields: &[(&str, &str)], data: &[u8]| {
        [frame(HEADERS, END_HEADERS, 1, &block(fields)), frame(DATA, END_STREAM, 1, data)].concat()
    };
    for (name, frames) in [
        ("no status", answer(&[("x-a", "b")])),
        ("two statuses", answer(&[(":status", "200"), (":status", "404")])),
        ("a status in words", answer(&[(":status", "fine")])),
        ("a status after a header", answer(&[("x-a", "b"), (":status", "200")])),
        ("a name in upper case", answer(&[(":status", "200"), ("X-A", "b")])),
        ("a line end in a value", answer(&[(":status", "200"), ("x-a", "b\r\nc: d")])),
        ("connection", answer(&[(":status", "200"), ("connection", "close")])),
        ("transfer-encoding", answer(&[(":status", "200"), ("transfer-encoding", "chunked")])),
        (
            "two lengths",
            with_body(&[(":status", "200"), ("content-length", "5"), ("content-length", "6")], b"hello"),
        ),
        ("101", answer(&[(":status", "101")])),
        ("a length and less", with_body(&[(":status", "200"), ("content-length", "5")], b"he")),
        ("a length and more", with_body(&[(":status", "200"), ("content-length", "5")], b"hello, world")),
        ("DATA before a head", frame(DATA, END_STREAM, 1, b"hello")),
        ("a promise", [frame(5, END_HEADERS, 1, &[0, 0, 0, 2]), answer(&[(":status", "200")])].concat()),
    ] {
        let (mesh, mut streams) = raw(AppProtocol::Http2).await;
        tokio::spawn(async move {
            while let Some((mut application, _)) = streams.recv().await {
                let frames = frames.clone();
                tokio::spawn(async move {
                    application.write_all(&PREFACE[24..]).await.ok();
                    // The preface, its SETTINGS, and the request.
                    let mut some = vec![0; 64 * 1024];
                    let mut read = 0;
                    while !has_request(&some[..read]) {
                        match application.read(&mut some[read..]).await {
                            Ok(count @ 1..) => read += count,
                            _ => return,
                        }
                    }
                    application.write_all(&frames).await.ok();
                    while !matches!(application.read(&mut some).await, Ok(0) | Err(_)) {}
                });
            }
        });
        let tunnel = mesh.tunnel("web", WEB).await;
        let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
        match client.send_request(get("/")).await {
            Ok(response) if response.status() == 200 => {
                let told = response.into_body().collect().await;
                assert!(told.is_err(), "{name} was passed on as a whole answer");
            }
            Ok(response) => assert_eq!(response.status(), 503, "{name}"),
            // The answer broke off before its head had gone out.
            Err(_) => {}
        }
    }
}

/// Whether a HEADERS frame is among what a client sent.
fn has_request(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(24..).unwrap_or_default();
    while let Some(([a, b, c, kind, ..], _)) = rest.split_first_chunk::<9>() {
        if *kind == HEADERS {
            return true;
        }
        rest = rest.get(9 + u32::from_be_bytes([0, *a, *b, *c]) as usize..).unwrap_or_default();
    }
    false
}
