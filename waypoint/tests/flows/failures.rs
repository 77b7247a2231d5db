//! Endpoints that fail: what their clients are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ::http::{Method, Request, Response, Version};
use ambit_model::Change;
use ambit_model::service::AppProtocol;
use ambit_model::workload::Health;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{client1, empty, hear, serve};
use crate::mesh::{Mesh, ask};
use crate::{CART, CART_1, WEB, get};

#[tokio::test(start_paused = true)]
async fn without_a_healthy_endpoint_the_answer_is_503_uh() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let heard = hear(client.send_request(get("/")).await.unwrap()).await;
    assert_eq!((heard.status, heard.text()), (503, "no healthy upstream"));
    let mut ill = mesh.cart_endpoint("cart", CART_1);
    ill.health = Health::Unhealthy;
    mesh.set([Change::Workload(ill.into())]);
    let heard = hear(client.send_request(get("/")).await.unwrap()).await;
    assert_eq!((heard.status, heard.text()), (503, "no healthy upstream"));
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UH\"", "} 2"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_cannot_be_reached_is_503_uf() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    mesh.set([Change::Workload(mesh.cart_endpoint("cart", CART_1).into())]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let heard = hear(client.send_request(get("/")).await.unwrap()).await;
    assert_eq!(heard.status, 503);
    assert!(heard.text().starts_with("upstream connect error"), "{}", heard.text());
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UF,URX\""]).await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_goes_away_before_it_answers_is_503_uc() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    tokio::spawn(async move {
        while let Some((mut stream, _)) = streams.recv().await {
            let mut some = [0; 16];
            stream.read_exact(&mut some).await.unwrap();
            // Dropped in the middle of the request.
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let heard = hear(client.send_request(get("/")).await.unwrap()).await;
    assert_eq!(heard.status, 503);
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UC\""]).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_reaches_the_client_as_such() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    tokio::spawn(async move {
        while let Some((mut stream, _)) = streams.recv().await {
            let mut some = [0; 16];
            stream.read_exact(&mut some).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let answer = client.send_request(get("/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.expect_err("half an answer is none");
    mesh.counted("istio_requests_total", &["response_code=\"200\"", "response_flags=\"UC\""]).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_http_is_503_upe() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    tokio::spawn(async move {
        while let Some((mut stream, _)) = streams.recv().await {
            let mut some = [0; 16];
            stream.read_exact(&mut some).await.unwrap();
            stream.write_all(b"220 mail.example ESMTP\r\n\r\n").await.unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 503);
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UPE\""]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_is_counted_and_its_endpoint_hears_of_it() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (asked, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, move |request: Request<Incoming>| {
        let asked = asked.clone();
        async move {
            let (_gone, waits) = tokio::sync::oneshot::channel::<()>();
            asked.send((request.method().clone(), _gone)).unwrap();
            let _ = waits.await;
            Response::new(empty())
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let pending = tokio::spawn(client.send_request(get("/slow")));
    let (method, mut gone) = arrived.recv().await.unwrap();
    assert_eq!(method, Method::GET);
    pending.abort();
    drop(client);
    gone.closed().await;
    mesh.counted("istio_requests_total", &["response_code=\"0\"", "response_flags=\"DC\""]).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_endpoint_closed_meanwhile_is_replaced() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    let (counted, mut connections) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((mut stream, _)) = streams.recv().await {
            counted.send(()).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            // One answer, without a word about the end of the connection.
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    for _ in 0..5 {
        assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
        connections.recv().await.unwrap();
    }
}
