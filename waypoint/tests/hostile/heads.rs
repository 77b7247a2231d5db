//! Heads of HTTP/1 that two implementations could read differently, or not at all.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::shop::{Shop, status};

/// Refused outright: the status, nothing reaches the application, and the connection is closed.
async fn refused(cases: &[(&str, &str)]) {
    let shop = Shop::open().await;
    for (bytes, expected) in cases {
        // What follows a refused head is never a request.
        let bytes = format!("{bytes}GET /smuggled HTTP/1.1\r\nhost: cart\r\n\r\n");
        let told = shop.told(bytes.as_bytes()).await;
        assert_eq!(status(&told), *expected, "{bytes:?}: {told}");
        assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{bytes:?}: {told}");
        assert_eq!(shop.reached(), 0, "{bytes:?} reached the application");
    }
    shop.goes_on().await;
    shop.mesh.counted("istio_requests_total", &["response_flags=\"DPE\""]).await;
}

#[tokio::test(start_paused = true)]
async fn a7_content_length_and_transfer_encoding() {
    refused(&[
        ("POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nhost: cart\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", "400"),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a7_transfer_encodings() {
    let coding = |coding: &str| format!("POST / HTTP/1.1\r\nhost: cart\r\n{coding}\r\n\r\n0\r\n\r\n");
    let cases: Vec<String> = [
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding:\x0bchunked",
        "transfer-encoding: chunked\x0b",
        "transfer-encoding:\r\n chunked",
        "transfer-encoding : chunked",
        " transfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: \u{212a}hunked",
        "transfer-encoding:",
    ]
    .into_iter()
    .map(coding)
    .chain(["POST / HTTP/1.0\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()])
    .collect();
    refused(&cases.iter().map(|case| (case.as_str(), "400")).collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn a7_content_lengths() {
    let length = |length: &str| format!("POST / HTTP/1.1\r\nhost: cart\r\n{length}\r\n\r\nhello");
    let cases: Vec<String> = [
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 5",
        "content-length: +5",
        "content-length: -5",
        "content-length: 0x5",
        "content-length: 5 5",
        "content-length: 5a",
        "content-length: 5.0",
        "content-length: \"5\"",
        "content-length:",
        "content-length: ",
        "content-length: 99999999999999999999999",
        "content-length: 18446744073709551616",
        "content-length : 5",
        "content-length\t: 5",
        "content-length: 5\r\n 6",
        "content_length: 1\r\ncontent-length: five",
    ]
    .into_iter()
    .map(length)
    .collect();
    refused(&cases.iter().map(|case| (case.as_str(), "400")).collect::<Vec<_>>()).await;
}

#[tokio::test(start_paused = true)]
async fn a7_lines() {
    refused(&[
        ("GET / HTTP/1.1\nhost: cart\n\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\n\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx-a: b\nx-b: c\r\n\r\n", "400"),
        ("GET / HTTP/1.1\rhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx-a: b\rc\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx-a: b\r\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx-a: b\0c\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx-a: b\x08\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx-a: b\x7f\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx-a: b\r\n c\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx-a: b\r\n\tc\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n x-a: b\r\nhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost : cart\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx a: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx\0a: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nx[a]: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\n: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nno colon\r\n\r\n", "400"),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a7_request_lines() {
    refused(&[
        ("GET  / HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("GET /  HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/1.1 \r\nhost: cart\r\n\r\n", "400"),
        (" GET / HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("GET\t/ HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("GET /a b HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("GET /a\0 HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/1.2\r\nhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/2.0\r\nhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/0.9\r\nhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/1.10\r\nhost: cart\r\n\r\n", "400"),
        ("GET / http/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/1.1GET / HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("GET / \r\nhost: cart\r\n\r\n", "400"),
        ("GET /\r\n\r\n", "400"),
        ("\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
        ("G=T / HTTP/1.1\r\nhost: cart\r\n\r\n", "400"),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a7_hosts() {
    refused(&[
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nhost: cart\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nhost: admin\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nHOST: admin\r\n\r\n", "400"),
    ])
    .await;
}

/// Read by the library, and refused in their canonical form. The connection goes on.
#[tokio::test(start_paused = true)]
async fn a7_targets_and_hosts_that_do_not_agree() {
    let shop = Shop::open().await;
    for (head, expected) in [
        ("GET http://admin/ HTTP/1.1\r\nhost: cart", "400"),
        ("GET http://cart:81/ HTTP/1.1\r\nhost: cart", "400"),
        ("GET http://user@cart/ HTTP/1.1\r\nhost: cart", "400"),
        ("GET http://user:pass@cart/ HTTP/1.1\r\nhost: user:pass@cart", "400"),
        ("GET / HTTP/1.1\r\nhost: user@cart", "400"),
        ("GET / HTTP/1.1\r\nhost: cart, admin", "400"),
        ("GET / HTTP/1.1\r\nhost: cart/admin", "400"),
        ("GET / HTTP/1.1\r\nhost: cart#admin", "400"),
        ("GET / HTTP/1.1\r\nhost: cart:99999", "400"),
        ("GET / HTTP/1.1\r\nhost: cart:", "400"),
        ("GET / HTTP/1.1\r\nhost:", "400"),
        ("GET / HTTP/1.1\r\nhost: c\u{e4}rt", "400"),
        ("GET / HTTP/1.0\r\nconnection: keep-alive", "400"),
        ("GET ftp://cart/ HTTP/1.1\r\nhost: cart", "400"),
        ("GET file:///etc/passwd HTTP/1.1\r\nhost: cart", "400"),
        ("GET * HTTP/1.1\r\nhost: cart", "400"),
        ("get / HTTP/1.1\r\nhost: cart", "400"),
        ("GET /%00 HTTP/1.1\r\nhost: cart", "400"),
        ("CONNECT admin:80 HTTP/1.1\r\nhost: admin:80", "403"),
        ("CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: 169.254.169.254:80", "403"),
    ] {
        let told = shop.told(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&told), expected, "{head:?}: {told}");
        assert_eq!(shop.reached(), 0, "{head:?} reached the application");
    }
    shop.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn heads_that_are_too_large_are_431() {
    let shop = Shop::open().await;
    let many = "x-a: b\r\n".repeat(101);
    let large = format!("x-a: {}\r\n", "b".repeat(61 * 1024));
    let endless = format!("x-a: {}", "b".repeat(2 * 1024 * 1024));
    let target = format!("/{}", "a".repeat(61 * 1024));
    for (bytes, expected) in [
        (format!("GET / HTTP/1.1\r\nhost: cart\r\n{many}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nhost: cart\r\n{large}\r\n"), "431"),
        (format!("GET {target} HTTP/1.1\r\nhost: cart\r\n\r\n"), "431"),
    ] {
        let told = shop.told(bytes.as_bytes()).await;
        assert_eq!(status(&told), expected, "{} bytes: {told}", bytes.len());
    }
    let before = crate::shop::resident();
    let mut stream = shop.connect().await;
    // The waypoint stops reading: writing all of it must fail or be cut off.
    let written = tokio::time::timeout(Duration::from_secs(60), async {
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: cart\r\n{endless}").as_bytes()).await.ok();
        let mut told = Vec::new();
        stream.read_to_end(&mut told).await.ok();
    });
    written.await.expect("a head without end is cut off");
    assert!(crate::shop::resident() < before + 32 * 1024 * 1024);
    assert_eq!(shop.reached(), 0);
    shop.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn r9_a_head_that_comes_slowly_is_408() {
    let shop = Shop::open().await;
    let mut stream = shop.connect().await;
    let start = tokio::time::Instant::now();
    let mut told = Vec::new();
    // A byte every second, for ever.
    for byte in b"GET / HTTP/1.1\r\nhost: cart\r\nx-slow: ".iter().chain(std::iter::repeat(&b'a')) {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        let pause = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut told));
        if pause.await.is_ok() {
            break;
        }
    }
    let told = String::from_utf8_lossy(&told).into_owned();
    assert_eq!(status(&told), "408", "{told}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(shop.reached(), 0);
    shop.goes_on().await;
    shop.mesh.counted("istio_requests_total", &["response_code=\"408\"", "response_flags=\"DPE\""]).await;
}

/// A connection that waits between requests is not slow.
#[tokio::test(start_paused = true)]
async fn a_connection_may_wait_for_its_next_request() {
    let shop = Shop::open().await;
    let mut stream = shop.connect().await;
    let request = b"GET /one HTTP/1.1\r\nhost: cart\r\n\r\n";
    for _ in 0..3 {
        stream.write_all(request).await.unwrap();
        assert_eq!(status(&crate::shop::head(&mut stream).await), "200");
        let mut body = [0; "served /one".len()];
        stream.read_exact(&mut body).await.unwrap();
        tokio::time::advance(Duration::from_secs(600)).await;
    }
    assert_eq!(shop.reached(), 3);
}

/// What a client says about hops takes nothing from the application that it needs, and gives it nothing that it must not
/// have.
#[tokio::test(start_paused = true)]
async fn connection_takes_no_credentials_and_no_identity() {
    let (mesh, mut streams) = crate::shop::raw(ambit_model::service::AppProtocol::Http11).await;
    let tunnel = mesh.tunnel("web", crate::shop::WEB).await;
    let mut client = crate::mesh::ask(&tunnel, crate::shop::CART).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: cart\r\nAuthorization: Bearer t\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\n\
                   X-Secret-Hop: 1\r\nX-Forwarded-Client-Cert: By=me\r\nX-Envoy-Internal: true\r\nX-Ambit-Peer: me\r\n\
                   Proxy-Authorization: p\r\nKeep-Alive: 5\r\nTE: gzip, trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\
                   Connection: authorization, host, cookie, x-forwarded-for, x-secret-hop, upgrade, http2-settings, te, \
                   close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut application, _) = streams.recv().await.unwrap();
    let head = crate::shop::head(&mut application).await.to_ascii_lowercase();
    for kept in
        ["host: cart\r\n", "authorization: bearer t\r\n", "cookie: a=b\r\n", "x-forwarded-for: 1.2.3.4"]
    {
        assert!(head.contains(kept), "{kept:?} is not in {head}");
    }
    for gone in [
        "x-secret-hop",
        "x-forwarded-client-cert",
        "x-envoy-internal",
        "x-ambit-peer",
        "proxy-authorization",
        "keep-alive",
        "gzip",
        "h2c",
        "http2-settings",
        "connection: close",
        "authorization, host",
    ] {
        assert!(!head.contains(gone), "{gone:?} is in {head}");
    }
}

#[tokio::test(start_paused = true)]
async fn trace_has_no_body_and_passes_as_any_method() {
    let shop = Shop::open().await;
    let told = shop.told(b"TRACE / HTTP/1.1\r\nhost: cart\r\ncontent-length: 3\r\n\r\nabc").await;
    assert_eq!((status(&told), shop.reached()), ("400", 0));
    let told = shop.told(b"TRACE /t HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 200 ") && told.ends_with("served /t"), "{told}");
}
