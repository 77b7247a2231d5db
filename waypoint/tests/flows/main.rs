//! The flows end to end, over in-memory pipes: real TLS, real tunnels, real HTTP clients and servers, no kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod copies;
mod drain;
mod external;
mod failures;
mod http;
mod ingress;
mod mesh;
mod rules;
mod secured;
mod sessions;
mod streams;

use ::http::{HeaderMap, Request, Response, StatusCode, Version};
use ambit_hbone::OpenError;
use ambit_model::service::AppProtocol;
use ambit_model::{Change, Service};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use http::{Body, client1, client2, empty, frames, hear, piece, serve, text};
use mesh::{Mesh, ask, cart, key, waypoint};

const WEB: &str = "10.0.0.1";
const CART_1: &str = "10.0.0.2";
const CART: &str = "10.1.0.1:80";

/// Says what it was asked, and under which headers.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    let said = collected.to_bytes();
    let mut response = Response::new(text(&format!(
        "{} {} {:?} {}",
        head.method,
        head.uri.path_and_query().unwrap(),
        head.version,
        String::from_utf8_lossy(&said)
    )));
    for (name, value) in &head.headers {
        let name = format!("echo-{name}").parse::<::http::HeaderName>().unwrap();
        response.headers_mut().append(name, value.clone());
    }
    if let Some(trailers) = trailers {
        response.headers_mut().insert("echo-trailers", format!("{trailers:?}").parse().unwrap());
    }
    if let Some(authority) = head.uri.authority() {
        response.headers_mut().insert("echo-authority", authority.as_str().parse().unwrap());
    }
    response
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "cart").body(empty()).unwrap()
}

fn post(path: &str, body: Body) -> Request<Body> {
    Request::post(path).header("host", "cart").body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_through_to_the_service_and_back() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    for number in 0..3 {
        let heard =
            hear(client.send_request(post(&format!("/buy?n={number}"), text("two"))).await.unwrap()).await;
        assert_eq!(heard.status, 200);
        assert_eq!(heard.text(), format!("POST /buy?n={number} HTTP/1.1 two"));
        assert_eq!(heard.headers["echo-host"], "cart");
        assert_eq!(heard.headers["echo-x-forwarded-proto"], "http");
        assert!(heard.headers.contains_key("echo-x-request-id"));
    }
    mesh.counted(
        "istio_requests_total",
        &[
            "reporter=\"waypoint\"",
            "source_principal=\"spiffe://cluster.local/ns/shop/sa/web\"",
            "destination_service=\"cart.shop.svc.cluster.local\"",
            "destination_workload=\"cart\"",
            "request_protocol=\"http\"",
            "response_code=\"200\"",
            "response_flags=\"-\"",
            "connection_security_policy=\"mutual_tls\"",
            "} 3",
        ],
    )
    .await;
    mesh.counted("istio_request_duration_milliseconds_count", &["} 3"]).await;
    mesh.counted("istio_response_bytes_bucket", &["le=\"+Inf\"", "} 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_is_asked_for_by_name_too() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, "cart.shop.svc.cluster.local:80").await.unwrap()).await;
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_bound_to_this_waypoint_is_refused() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    mesh.endpoint("cart", CART_1).await;
    let mut free = Service { waypoints: Vec::new(), ..cart(AppProtocol::Http11) };
    free.key = key("free");
    free.addresses = vec![ambit_model::service::ServiceAddress::Ip(ambit_model::NetworkAddress::new(
        "".into(),
        "10.1.0.2".parse().unwrap(),
    ))];
    mesh.set([Change::Service(free.into())]);
    let tunnel = mesh.tunnel("web", WEB).await;
    for (target, reason) in [
        ("10.1.0.2:80", "not bound"),
        ("free.shop.svc.cluster.local:80", "not bound"),
        ("10.1.0.9:80", "no service or workload"),
        ("nobody.shop.svc.cluster.local:80", "no service or workload"),
        ("10.1.0.1:81", "no such port"),
        ("10.0.0.2:8080", "not bound"),
    ] {
        match ask(&tunnel, target).await {
            Err(OpenError::Refused { status: 400, details: Some(details) }) => {
                assert!(details.contains(reason), "{target}: {details}");
            }
            other => panic!("{target}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_is_bound_is_reached_by_its_address() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
    let mut bound = mesh.cart_endpoint("cart", CART_1);
    bound.waypoint = Some(waypoint().into());
    mesh.set([Change::Workload(bound.into())]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, "10.0.0.2:8080").await.unwrap()).await;
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
    match ask(&tunnel, "10.0.0.2:15008").await {
        Err(OpenError::Refused { status: 400, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_goes_through_with_its_trailers_in_both_directions() {
    let mesh = Mesh::new(AppProtocol::Grpc).await;
    let streams = mesh.endpoint("cart", CART_1).await;
    serve(streams, Version::HTTP_2, |request: Request<Incoming>| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers()["te"], "trailers");
        let (frames, body) = frames();
        tokio::spawn(async move {
            // An echo stream: each message comes back as it comes, the status comes last.
            let mut incoming = request.into_body();
            let mut count = 0;
            while let Some(frame) = incoming.frame().await {
                // The end of a stream may come as a frame without bytes.
                if let Ok(data) = frame.unwrap().into_data()
                    && !data.is_empty()
                {
                    count += 1;
                    frames.send(Frame::data(data)).await.unwrap();
                }
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "5".parse().unwrap());
            trailers.insert("count", count.to_string().parse().unwrap());
            frames.send(Frame::trailers(trailers)).await.unwrap();
        });
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client2(ask(&tunnel, CART).await.unwrap()).await;
    let (messages, body) = frames();
    let request = Request::post("http://cart/shop.Cart/Watch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let mut answer = client.send_request(request).await.unwrap();
    for word in ["one", "two", "three"] {
        messages.send(Frame::data(Bytes::from_static(word.as_bytes()))).await.unwrap();
        assert_eq!(piece(answer.body_mut()).await, word, "the stream goes both ways at once");
    }
    drop(messages);
    let heard = hear(answer).await;
    let trailers = heard.trailers.unwrap();
    assert_eq!((trailers["grpc-status"].as_bytes(), trailers["count"].as_bytes()), (&b"5"[..], &b"3"[..]));
    mesh.counted(
        "istio_requests_total",
        &["request_protocol=\"grpc\"", "grpc_response_status=\"5\"", "response_code=\"200\"", "} 1"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn grpc_clients_are_told_failures_in_their_own_way() {
    let mesh = Mesh::new(AppProtocol::Grpc).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client2(ask(&tunnel, CART).await.unwrap()).await;
    let call = || {
        let request = Request::post("http://cart/shop.Cart/Get").header("content-type", "application/grpc");
        request.body(empty()).unwrap()
    };
    let heard = hear(client.send_request(call()).await.unwrap()).await;
    assert_eq!((heard.status, heard.headers["grpc-status"].as_bytes()), (200, &b"14"[..]));
    assert_eq!(heard.headers["grpc-message"], "no healthy upstream");
    mesh.set([Change::Service(cart(AppProtocol::Http11).into())]);
    let tunnel = mesh.tunnel("web", WEB).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
    let mut client = client2(ask(&tunnel, CART).await.unwrap()).await;
    let heard = hear(client.send_request(call()).await.unwrap()).await;
    assert_eq!((heard.status, heard.headers["grpc-status"].as_bytes()), (200, &b"14"[..]));
    mesh.counted("istio_requests_total", &["grpc_response_status=\"14\"", "response_flags=\"UPE\""]).await;
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_is_spoken_to_as_its_port_declares() {
    for (declared, version, by_client) in [
        (AppProtocol::Http11, Version::HTTP_11, Version::HTTP_2),
        (AppProtocol::Http2, Version::HTTP_2, Version::HTTP_11),
        (AppProtocol::Unknown, Version::HTTP_11, Version::HTTP_11),
        (AppProtocol::Unknown, Version::HTTP_2, Version::HTTP_2),
    ] {
        let mesh = Mesh::new(declared).await;
        serve(mesh.endpoint("cart", CART_1).await, version, echo);
        let tunnel = mesh.tunnel("web", WEB).await;
        let stream = ask(&tunnel, CART).await.unwrap();
        let heard = if by_client == Version::HTTP_2 {
            let request = Request::get("http://cart.shop/a?b").body(empty()).unwrap();
            hear(client2(stream).await.send_request(request).await.unwrap()).await
        } else {
            let request = Request::get("/a?b").header("host", "cart.shop").body(empty()).unwrap();
            hear(client1(stream).await.send_request(request).await.unwrap()).await
        };
        assert_eq!(heard.text(), format!("GET /a?b {version:?} "), "{declared:?} by {by_client:?}");
        let host = if version == Version::HTTP_2 { "echo-authority" } else { "echo-host" };
        assert_eq!(heard.headers[host], "cart.shop");
    }
}

#[tokio::test(start_paused = true)]
async fn a_big_body_is_held_back_by_whoever_does_not_read() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (hold, mut held) = tokio::sync::mpsc::unbounded_channel();
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, move |request: Request<Incoming>| {
        let hold = hold.clone();
        async move {
            let (frames, body) = frames();
            hold.send((request.into_body(), frames)).unwrap();
            Response::new(body)
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let (upload, body) = frames();
    let response = tokio::spawn(client.send_request(post("/", body)));
    const PIECE: usize = 16 * 1024;
    const MOST: usize = 64 * 1024 * 1024 / PIECE;
    // Nobody reads: at some point nothing more is taken, far below what a whole body would be.
    let patience = std::time::Duration::from_secs(1);
    let fill = |sender: tokio::sync::mpsc::Sender<Frame<Bytes>>| async move {
        let mut sent = 0;
        while sent < MOST {
            let piece = Frame::data(Bytes::from(vec![7; PIECE]));
            if tokio::time::timeout(patience, sender.send(piece)).await.is_err() {
                break;
            }
            sent += 1;
        }
        (sender, sent)
    };
    let (upload, sent) = fill(upload).await;
    assert!((1..MOST / 8).contains(&sent), "{sent} pieces were taken");
    let (mut uploaded, download) = held.recv().await.unwrap();
    let answer = response.await.unwrap().unwrap();
    let (download, received) = fill(download).await;
    assert!((1..MOST / 8).contains(&received), "{received} pieces were taken");
    // And all of it arrives once it is read.
    drop(upload);
    drop(download);
    let up = tokio::spawn(async move {
        let mut all = 0;
        while let Some(frame) = uploaded.frame().await {
            all += frame.unwrap().into_data().unwrap().len();
        }
        all
    });
    let down = answer.into_body().collect().await.unwrap().to_bytes().len();
    assert_eq!(up.await.unwrap(), sent * PIECE);
    assert_eq!(down, received * PIECE);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_relayed_after_101_and_only_then() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(
        mesh.endpoint("cart", CART_1).await,
        Version::HTTP_11,
        |mut request: Request<Incoming>| async move {
            assert_eq!(request.headers()["upgrade"], "websocket");
            if request.uri().path() == "/no" {
                return Response::builder()
                    .status(200)
                    .header("upgrade", "websocket")
                    .body(text("no"))
                    .unwrap();
            }
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let stream = hyper_util::rt::TokioIo::new(upgraded.await.unwrap());
                let (mut read, mut write) = tokio::io::split(stream);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let response = Response::builder().status(101).header("upgrade", "websocket");
            response
                .header("connection", "upgrade")
                .header("sec-websocket-accept", "x")
                .body(empty())
                .unwrap()
        },
    );
    let tunnel = mesh.tunnel("web", WEB).await;
    let asked = |path: &str| {
        let request = Request::get(path).header("host", "cart");
        request.header("connection", "Upgrade").header("upgrade", "websocket").body(empty()).unwrap()
    };
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let refused = hear(client.send_request(asked("/no")).await.unwrap()).await;
    assert_eq!((refused.status, refused.text()), (200, "no"));
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let mut answer = client.send_request(asked("/yes")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()["sec-websocket-accept"], "x");
    let mut stream = hyper_util::rt::TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut word = [0; 5];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"hello");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    drop(stream);
    mesh.counted("istio_requests_total", &["response_code=\"101\"", "} 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn connections_to_endpoints_are_shared_by_clients() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    let (forward, counted) = tokio::sync::mpsc::unbounded_channel();
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Some(stream) = streams.recv().await {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            forward.send(stream).unwrap();
        }
    });
    serve(counted, Version::HTTP_11, echo);
    for (account, ip) in [("web", WEB), ("admin", "10.0.0.7"), ("web", WEB)] {
        let tunnel = mesh.tunnel(account, ip).await;
        let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
        for _ in 0..3 {
            assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
        }
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn who_the_client_is_comes_from_its_tunnel_alone() {
    for (setting, told) in [
        ("off", None),
        (
            "on",
            Some("By=spiffe://cluster.local/ns/shop/sa/waypoint;URI=spiffe://cluster.local/ns/shop/sa/web"),
        ),
    ] {
        let mesh = Mesh::with(AppProtocol::Http11, &[("AMBIT_CLIENT_IDENTITY_HEADER", setting)]).await;
        serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
        let tunnel = mesh.tunnel("web", WEB).await;
        let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
        let mut request = get("/");
        let lie = "URI=spiffe://cluster.local/ns/shop/sa/admin".parse().unwrap();
        request.headers_mut().insert("x-forwarded-client-cert", lie);
        let heard = hear(client.send_request(request).await.unwrap()).await;
        let heard = heard.headers.get("echo-x-forwarded-client-cert").map(|value| value.to_str().unwrap());
        assert_eq!(heard, told);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_a_proxy_is_spoken_to_in_the_clear() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut plain = mesh.network.listen("10.0.0.5:8080".parse().unwrap());
    let mut outside = mesh.cart_endpoint("outside", "10.0.0.5");
    outside.tunnel = ambit_model::workload::Tunnel::None;
    mesh.set([Change::Workload(outside.into())]);
    let (forward, streams) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(stream) = plain.recv().await {
            forward.send((stream, 8080)).unwrap();
        }
    });
    serve(streams, Version::HTTP_11, echo);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_with_another_identity_gets_no_byte() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    // The same address, announced as somebody else.
    let mut other = mesh.cart_endpoint("cart", CART_1);
    other.identity = mesh::identity("somebody");
    mesh.set([Change::Workload(other.into())]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 503);
    assert!(streams.try_recv().is_err());
}
