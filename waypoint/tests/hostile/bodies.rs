//! Bodies of HTTP/1 that do not end where they say, and what comes after them.

use std::time::Duration;

use ambit_model::service::AppProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::mesh::ask;
use crate::shop::{CART, Shop, WEB, head, raw, status};

/// The application may see the head, as bodies are passed on as they come: it never sees the body end.
#[tokio::test(start_paused = true)]
async fn a7_chunks_that_are_malformed_end_no_body() {
    let (mesh, mut streams) = raw(AppProtocol::Http11).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let extensions = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(20_000));
    let trailers = format!("0\r\n{}\r\n", "x-t: 0123456789abcdef\r\n".repeat(2000));
    for chunks in [
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\t;x\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "3;a\0\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "0\r\ncontent-length: 3\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\nhost: admin\r\n\r\n",
        "0\r\nx-t: a\n\r\n",
        "0\r\n x-t: a\r\n\r\n",
        "0\r\n\n",
        &extensions,
        &trailers,
    ] {
        let mut client = ask(&tunnel, CART).await.unwrap();
        let request = format!("POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let after = "GET /smuggled HTTP/1.1\r\nhost: cart\r\n\r\n";
        client.write_all(format!("{request}{after}").as_bytes()).await.unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.ok();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(!told.contains(" 200 ") && told.matches("HTTP/1.1").count() <= 1, "{chunks:?}: {told}");
        while let Ok((mut application, _)) = streams.try_recv() {
            let mut got = Vec::new();
            application.read_to_end(&mut got).await.ok();
            let got = String::from_utf8_lossy(&got).into_owned();
            assert!(!got.contains("/smuggled"), "{chunks:?}: {got}");
            assert!(!got.ends_with("0\r\n\r\n"), "{chunks:?} was passed on as a whole body: {got}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_body_is_a_request_or_400() {
    let shop = Shop::open().await;
    for garbage in ["garbage\r\n\r\n", "\0\0\0\0\r\n", "hello", "\n\nGET / HTTP/1.1\r\nhost: cart\r\n\r\n"] {
        let before = shop.reached();
        let told = shop
            .told(
                format!("POST /a HTTP/1.1\r\nhost: cart\r\ncontent-length: 5\r\n\r\nhello{garbage}\r\n")
                    .as_bytes(),
            )
            .await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{garbage:?}: {told}");
        assert_eq!(told.matches("HTTP/1.1 400 ").count(), 1, "{garbage:?}: {told}");
        assert_eq!(shop.reached(), before + 1, "{garbage:?}");
    }
    shop.goes_on().await;
}

/// Pipelined requests are answered in order, each once.
#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let shop = Shop::open().await;
    let mut bytes = String::new();
    for number in 0..20 {
        bytes += &format!("POST /{number} HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n");
        bytes += "1e\r\nGET /smuggled HTTP/1.1\r\nhost:\r\n0\r\n\r\n";
        // The chunk holds what looks like a request: 30 octets of it.
    }
    bytes = bytes.replace("1e\r\n", "1f\r\n").replace("host:\r\n0", "host:\r\n\r\n0");
    bytes += "GET /last HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";
    let chunk = "GET /smuggled HTTP/1.1\r\nhost:\r\n";
    assert_eq!(chunk.len(), 0x1f);
    let told = shop.told(bytes.as_bytes()).await;
    let served: Vec<&str> =
        told.split("served /").skip(1).map(|rest| rest.split("HTTP").next().unwrap()).collect();
    let mut expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    expected.push("last".to_owned());
    assert_eq!(served, expected);
    assert_eq!(shop.reached(), 21);
}

/// Trailers cannot say what a head would be judged by.
#[tokio::test(start_paused = true)]
async fn trailers_carry_no_claims() {
    let (mesh, mut streams) = raw(AppProtocol::Http2).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = ask(&tunnel, CART).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: cart\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\
                   x-checksum: abc\r\nauthorization: Bearer t\r\nx-forwarded-client-cert: By=me\r\n\
                   x-envoy-internal: true\r\nx-forwarded-for: 1.2.3.4\r\ncookie: a=b\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let (application, _) = streams.recv().await.unwrap();
    let mut connection = h2::server::handshake(application).await.unwrap();
    let (request, _respond) = connection.accept().await.unwrap().unwrap();
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let trailers = request.into_body().trailers().await.unwrap().unwrap();
    let names: Vec<&str> = trailers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-checksum"]);
}

/// A client that sends its body slowly, or does not read its answer, holds nothing up and nothing grows.
#[tokio::test(start_paused = true)]
async fn r9_slow_bodies_hold_up_nobody_else() {
    let shop = Shop::open().await;
    let mut slow = Vec::new();
    for number in 0..20 {
        let mut stream = shop.connect().await;
        let head = format!("POST /slow/{number} HTTP/1.1\r\nhost: cart\r\ncontent-length: 100\r\n\r\n0");
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    shop.goes_on().await;
    for stream in &mut slow {
        stream.write_all(&[b'1'; 99]).await.unwrap();
        assert_eq!(status(&head(stream).await), "200");
    }
}

#[tokio::test(start_paused = true)]
async fn r7_answers_that_nobody_reads_are_held_back() {
    let (mesh, mut streams) = raw(AppProtocol::Http11).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let before = crate::shop::resident();
    let mut clients = Vec::new();
    let mut applications = Vec::new();
    for _ in 0..8 {
        let mut client = ask(&tunnel, CART).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
        let (mut application, _) = streams.recv().await.unwrap();
        head(&mut application).await;
        application.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n").await.unwrap();
        // It writes until nothing is taken any more.
        let mut written = 0;
        let block = vec![0; 64 * 1024];
        while tokio::time::timeout(Duration::from_secs(1), application.write_all(&block)).await.is_ok() {
            written += block.len();
            assert!(written < 16 * 1024 * 1024, "the waypoint takes what nobody reads");
        }
        clients.push(client);
        applications.push(application);
    }
    let grown = crate::shop::resident().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes for 8 answers that nobody reads");
}
