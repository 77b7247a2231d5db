//! Calls of every kind through the waypoint, after the cases of the gRPC interoperability tests.

use std::time::Duration;

use ambit_model::service::AppProtocol;
use futures_util::stream;
use tokio::sync::mpsc;
use tonic::client::Grpc;
use tonic::{Code, Request};

use crate::grpc::{Channel, Note, client, codec, method, note, serve};
use crate::mesh::{Mesh, ask};
use crate::{CART, CART_1, WEB};

/// A client of the cart, what keeps the mesh alive, and word of cancelled calls.
async fn shop() -> (Grpc<Channel>, Mesh, mpsc::UnboundedReceiver<()>) {
    let mesh = Mesh::new(AppProtocol::Grpc).await;
    let cancelled = serve(mesh.endpoint("cart", CART_1).await);
    let tunnel = mesh.tunnel("web", WEB).await;
    let client = client(ask(&tunnel, CART).await.unwrap()).await;
    (client, mesh, cancelled)
}

#[tokio::test(start_paused = true)]
async fn empty_and_large_unary() {
    let (mut client, mesh, _cancelled) = shop().await;
    for size in [0, 1, 271_828, 3 * 1024 * 1024] {
        let sent = Note { text: vec![1; size], number: 0 };
        client.ready().await.unwrap();
        let answer = client.unary(Request::new(sent.clone()), method("Echo"), codec()).await.unwrap();
        assert!(answer.into_inner() == sent, "{size} bytes came back otherwise");
    }
    mesh.counted(
        "istio_requests_total",
        &["request_protocol=\"grpc\"", "grpc_response_status=\"0\"", "response_code=\"200\"", "} 4"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn custom_metadata() {
    let (mut client, _mesh, _cancelled) = shop().await;
    let mut request = Request::new(note(1));
    request.metadata_mut().insert("x-seen", "here".parse().unwrap());
    let answer = client.unary(request, method("Echo"), codec()).await.unwrap();
    assert_eq!(answer.metadata().get("x-seen").unwrap(), "here");
}

/// Each message waits for the answer to the one before: nothing between holds one back.
#[tokio::test(start_paused = true)]
async fn ping_pong() {
    let (mut client, _mesh, _cancelled) = shop().await;
    let (pings, sent) = mpsc::channel(1);
    let sent = stream::unfold(sent, |mut sent| async move { sent.recv().await.map(|note| (note, sent)) });
    pings.send(note(0)).await.unwrap();
    let answer = client.streaming(Request::new(sent), method("Echo"), codec()).await.unwrap();
    let mut pongs = answer.into_inner();
    for number in 0..100 {
        assert_eq!(pongs.message().await.unwrap(), Some(note(number)));
        pings.send(note(number + 1)).await.unwrap();
    }
    drop(pings);
    assert_eq!(pongs.message().await.unwrap(), Some(note(100)));
    assert_eq!(pongs.message().await.unwrap(), None, "half-closed, and ended with the status");
}

#[tokio::test(start_paused = true)]
async fn client_and_server_streaming() {
    let (mut client, _mesh, _cancelled) = shop().await;
    let notes = stream::iter((1..=1000).map(note));
    let answer = client.client_streaming(Request::new(notes), method("Sum"), codec()).await.unwrap();
    assert_eq!(answer.into_inner().number, 500_500);

    client.ready().await.unwrap();
    let answer = client.server_streaming(Request::new(note(1000)), method("Count"), codec()).await.unwrap();
    let mut notes = answer.into_inner();
    let mut next = 0;
    while let Some(note) = notes.message().await.unwrap() {
        assert_eq!((note.number, note.text.len()), (next, 8 * 1024));
        next += 1;
    }
    assert_eq!(next, 1000);
}

#[tokio::test(start_paused = true)]
async fn empty_stream() {
    let (mut client, _mesh, _cancelled) = shop().await;
    let nothing = stream::empty::<Note>();
    let answer = client.streaming(Request::new(nothing), method("Echo"), codec()).await.unwrap();
    assert_eq!(answer.into_inner().message().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn status_code_and_special_message() {
    let (mut client, mesh, _cancelled) = shop().await;
    let status = client.unary(Request::new(note(1)), method("Fail"), codec()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such cart: \u{1f6d2} 100%"));
    client.ready().await.unwrap();
    let status = client.unary(Request::new(note(1)), method("Nothing"), codec()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unimplemented, "Nothing"));
    mesh.counted("istio_requests_total", &["grpc_response_status=\"5\"", "response_code=\"200\""]).await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_comes_after_messages() {
    let (mut client, mesh, _cancelled) = shop().await;
    let answer = client.server_streaming(Request::new(note(1)), method("FailLate"), codec()).await.unwrap();
    let mut notes = answer.into_inner();
    assert_eq!(notes.message().await.unwrap(), Some(note(1)));
    let status = notes.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "enough"));
    mesh.counted("istio_requests_total", &["grpc_response_status=\"8\""]).await;
}

#[tokio::test(start_paused = true)]
async fn timeout_on_sleeping_server() {
    let (mut client, _mesh, mut cancelled) = shop().await;
    let mut request = Request::new(note(1));
    request.set_timeout(Duration::from_millis(100));
    let answered = client.server_streaming(request, method("Never"), codec()).await;
    let status = match answered {
        Ok(answer) => answer.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert_ne!(status.code(), Code::Ok, "the time of the call is up: {status:?}");
    cancelled.recv().await.expect("the server hears of it");
}

#[tokio::test(start_paused = true)]
async fn cancel_after_begin() {
    let (mut client, _mesh, mut cancelled) = shop().await;
    let answer = client.server_streaming(Request::new(note(1)), method("Never"), codec()).await.unwrap();
    drop(answer);
    cancelled.recv().await.expect("the server hears of it");
}

/// What the waypoint answers itself, the library understands.
#[tokio::test(start_paused = true)]
async fn a_service_without_endpoints_is_unavailable() {
    let mesh = Mesh::new(AppProtocol::Grpc).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client(ask(&tunnel, CART).await.unwrap()).await;
    let status = client.unary(Request::new(note(1)), method("Echo"), codec()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "no healthy upstream"));
}
