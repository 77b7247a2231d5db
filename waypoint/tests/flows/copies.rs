//! Copies of requests for mirrors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ::http::{HeaderMap, Request, Response, Version};
use ambit_model::Change;
use ambit_model::l7::Share;
use ambit_model::l7::route::{BackendRef, Filter, Mirror};
use ambit_model::service::AppProtocol;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::http::{Body, client1, frames, hear, serve, text};
use crate::mesh::{Mesh, ask, cart, key, workload};
use crate::rules::{forward, route, shop};
use crate::{CART, WEB, get, post};

const SHADOW: &str = "10.0.0.3";

fn mirrored(share: Share) -> Change {
    let to = BackendRef { service: key("shadow"), port: 80, subset: None };
    let mut rule = forward();
    rule.filters = vec![Filter::Mirror(Mirror { to, share, invalid: None })];
    route(vec![rule])
}

/// The service `shadow` beside the cart. It answers nothing, and gives what it is asked.
async fn shadow(mesh: &Mesh) -> mpsc::UnboundedReceiver<(HeaderMap, Result<Bytes, hyper::Error>)> {
    let (heard, hearing) = mpsc::unbounded_channel();
    let mut service = cart(AppProtocol::Http11);
    service.key = key("shadow");
    service.addresses.clear();
    let streams = mesh.endpoint("shadow", SHADOW).await;
    let mut endpoint = workload("shadow", "shadow", SHADOW);
    endpoint.services.insert(key("shadow"), vec![crate::mesh::port(80, 8080, AppProtocol::Unknown)]);
    mesh.set([Change::Service(service.into()), Change::Workload(endpoint.into())]);
    serve(streams, Version::HTTP_11, move |request: Request<Incoming>| {
        let heard = heard.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|collected| collected.to_bytes());
            heard.send((head.headers, body)).unwrap();
            std::future::pending::<Response<Body>>().await
        }
    });
    hearing
}

async fn said(mesh: &Mesh, request: Request<Body>) -> String {
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    hear(client.send_request(request).await.unwrap()).await.text().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_mirror_gets_the_whole_request_and_nobody_waits_for_it() {
    let mesh = shop().await;
    let mut shadow = shadow(&mesh).await;
    mesh.set([mirrored(Share::ALL)]);
    let mut request = post("/buy", text("two apples"));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    assert_eq!(said(&mesh, request).await, "POST /buy HTTP/1.1 two apples");
    let (headers, body) = shadow.recv().await.unwrap();
    assert_eq!((&headers["host"], &body.unwrap()[..]), (&"cart".parse().unwrap(), &b"two apples"[..]));
    assert!(headers["traceparent"].to_str().unwrap().ends_with("-00"), "a copy is not recorded");
    mesh.counted("istio_requests_total", &["destination_service=\"cart.shop.svc.cluster.local\"", "} 1"])
        .await;
    assert!(!mesh.metrics().contains("destination_service=\"shadow"), "a copy is nobody's request");
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_is_not_there_fails_nothing() {
    let mesh = shop().await;
    mesh.set([mirrored(Share::ALL)]);
    assert_eq!(said(&mesh, get("/")).await, "GET / HTTP/1.1 ");
}

#[tokio::test(start_paused = true)]
async fn a_share_is_mirrored() {
    let mesh = shop().await;
    let mut shadow = shadow(&mesh).await;
    mesh.set([mirrored(Share { numerator: 0, denominator: 100 })]);
    for _ in 0..20 {
        said(&mesh, get("/")).await;
    }
    mesh.set([mirrored(Share { numerator: 50, denominator: 100 })]);
    for _ in 0..100 {
        said(&mesh, get("/")).await;
    }
    mesh.set([mirrored(Share::ALL)]);
    said(&mesh, get("/last")).await;
    let mut copies = 0;
    // The copies of different requests come in any order, the last one at some time.
    while tokio::time::timeout(std::time::Duration::from_secs(1), shadow.recv()).await.is_ok() {
        copies += 1;
    }
    assert!((21..=81).contains(&copies), "{copies} of 101");
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_body_that_breaks_off_is_no_whole_request() {
    let mesh = shop().await;
    let mut shadow = shadow(&mesh).await;
    mesh.set([mirrored(Share::ALL)]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let (sender, body) = frames();
    let sending = tokio::spawn(client.send_request(post("/buy", body)));
    sender.send(http_body::Frame::data(Bytes::from_static(b"half"))).await.unwrap();
    sender.reserve().await.unwrap();
    sending.abort();
    drop((sender, client, tunnel));
    let (_, body) = shadow.recv().await.unwrap();
    body.expect_err("half a copy is none");
}
