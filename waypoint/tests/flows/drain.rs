//! The end: of this proxy, and of endpoints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ::http::{Request, Response, Version};
use ambit_model::Change;
use ambit_model::service::AppProtocol;
use ambit_transport::drain::Mode;

use crate::http::{Body, client1, client2, empty, hear, serve, text};
use crate::mesh::{Mesh, ask, workload};
use crate::{CART, CART_1, WEB, echo, get};

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_is_under_way_and_takes_nothing_new() {
    let mut mesh = Mesh::new(AppProtocol::Http11).await;
    let (asked, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, move |_| {
        let asked = asked.clone();
        async move {
            let (answer, waits) = tokio::sync::oneshot::channel::<()>();
            asked.send(answer).unwrap();
            waits.await.unwrap();
            Response::new(text("done"))
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut one = client1(ask(&tunnel, CART).await.unwrap()).await;
    let mut two = client2(ask(&tunnel, CART).await.unwrap()).await;
    let idle = ask(&tunnel, CART).await.unwrap();
    let first = tokio::spawn(one.send_request(get("/")));
    let second = tokio::spawn(two.send_request(Request::get("http://cart/").body(empty()).unwrap()));
    let answers = [arrived.recv().await.unwrap(), arrived.recv().await.unwrap()];
    mesh.drain(Mode::Graceful);
    // The tunnel says that it takes no more (GOAWAY), the idle connection ends.
    drop(idle);
    for answer in answers {
        answer.send(()).unwrap();
    }
    let first = hear(first.await.unwrap().unwrap()).await;
    assert_eq!((first.text(), first.headers["connection"].as_bytes()), ("done", &b"close"[..]));
    assert_eq!(hear(second.await.unwrap().unwrap()).await.text(), "done");
    assert!(one.ready().await.is_err(), "HTTP/1.1 is over");
    assert!(two.ready().await.is_err(), "HTTP/2 is over");
    drop(tunnel);
    mesh.finished().await;
}

#[tokio::test(start_paused = true)]
async fn an_immediate_drain_cuts_everything() {
    let mut mesh = Mesh::new(AppProtocol::Http11).await;
    let (asked, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, move |_| {
        let asked = asked.clone();
        async move {
            asked.send(()).unwrap();
            std::future::pending::<Response<Body>>().await
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let pending = tokio::spawn(client.send_request(get("/")));
    arrived.recv().await.unwrap();
    mesh.drain(Mode::Immediate);
    pending.await.unwrap().expect_err("it was cut");
    mesh.finished().await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_gone_gets_no_request_on_an_old_connection() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
    assert_eq!(mesh.proxy.upstreams.len(), 1);
    mesh.set([Change::RemoveAddress("c//Pod/shop/cart".into())]);
    for _ in 0..10_000 {
        if mesh.proxy.upstreams.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(mesh.proxy.upstreams.is_empty());
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 503);
    let moved = workload("other", "other", CART_1);
    mesh.set([Change::Workload(moved.into())]);
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 503);
}
