//! WebSocket through the waypoint: text, large messages, pings, and both ways to close.

use ambit_hbone::Stream;
use ambit_model::service::AppProtocol;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::mesh::{Mesh, ask};
use crate::{CART, CART_1, WEB};

/// Both ends of a WebSocket.
async fn sockets(mesh: &Mesh) -> (WebSocketStream<Stream>, WebSocketStream<Stream>) {
    let mut streams: mpsc::UnboundedReceiver<(Stream, u16)> = mesh.endpoint("cart", CART_1).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let stream = ask(&tunnel, CART).await.unwrap();
    let server = async {
        let (stream, _) = streams.recv().await.unwrap();
        accept_async(stream).await.unwrap()
    };
    let client = async {
        let (socket, response) = client_async("ws://cart/chat?room=1", stream).await.unwrap();
        assert_eq!(response.status(), 101);
        socket
    };
    tokio::join!(client, server)
}

#[tokio::test(start_paused = true)]
async fn messages_of_every_kind_and_size_go_both_ways() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (mut client, server) = sockets(&mesh).await;
    let echo = tokio::spawn(async move {
        let (mut out, mut messages) = server.split();
        while let Some(Ok(message)) = messages.next().await {
            match message {
                Message::Text(_) | Message::Binary(_) => out.send(message).await.unwrap(),
                Message::Close(_) => break,
                _ => {}
            }
        }
    });
    for message in [
        Message::text("hello"),
        Message::text("\u{1f6d2}".repeat(1000)),
        Message::binary(vec![]),
        Message::binary(vec![1; 125]),
        Message::binary(vec![2; 70_000]),
        Message::binary(vec![3; 16 * 1024 * 1024]),
    ] {
        client.send(message.clone()).await.unwrap();
        let echoed = client.next().await.unwrap().unwrap();
        assert!(echoed == message, "{} bytes came back otherwise", message.len());
    }
    client.send(Message::Ping(b"are you there"[..].into())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong(b"are you there"[..].into()));
    client.close(None).await.unwrap();
    echo.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_keeps_its_code_and_reason() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (mut client, mut server) = sockets(&mesh).await;
    let goodbye = CloseFrame { code: CloseCode::Library(4001), reason: "sold out".into() };
    server.close(Some(goodbye.clone())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Close(Some(goodbye)));
    drop(client);
    // The answer to the close, or the end of the connection.
    while let Some(Ok(_)) = server.next().await {}
    mesh.counted("istio_requests_total", &["response_code=\"101\"", "response_flags=\"-\""]).await;
}

#[tokio::test(start_paused = true)]
async fn the_server_may_speak_first() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (mut client, mut server) = sockets(&mesh).await;
    for number in 0..100 {
        server.send(Message::text(format!("tick {number}"))).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text(format!("tick {number}")));
    }
}
