//! Peers that are not nodes: nothing is served to them, and nobody else notices them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tower_service::Service;

use crate::fixture::{Mesh, SHOP, until, within};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

#[tokio::test]
async fn a11_there_is_no_plaintext() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"\x16\x03\x01\xff\xff\x01garbage",
        &[0; 4096],
    ] {
        let mut stream = TcpStream::connect(mesh.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end, too.
        let _ = within(stream.read_to_end(&mut answer)).await;
        // At most a TLS alert comes back.
        assert!(answer.is_empty() || (answer[0] == 0x15 && answer.len() < 16), "{answer:?}");
    }
    mesh.issue("one", WEB).await.unwrap();
    let refused = r#"ambit_controller_connections_refused_total{reason="handshake"}"#;
    until("all were counted", || mesh.metric(refused), |count| *count == Some(4)).await;
}

#[tokio::test]
async fn a_source_that_only_opens_connections_locks_out_nobody_else() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        idle.push(socket.connect(mesh.address()).await.unwrap());
    }
    let refused = r#"ambit_controller_connections_refused_total{reason="source"}"#;
    until("the rest is refused", || mesh.metric(refused), |count| *count == Some(44)).await;
    mesh.issue("one", WEB).await.unwrap();
    let mut node = mesh.discover("one");
    node.synced().await;
}

#[tokio::test]
async fn unknown_services_and_paths_are_named_as_such() {
    let mesh = Mesh::start(&[]).await;
    let channel = mesh.channel(&mesh.token("one"));
    let call = async |path: &str| {
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::empty())
            .unwrap();
        within(channel.clone().call(request)).await.unwrap()
    };
    for path in [
        "/",
        "/a/b",
        "/istio.v1.auth.IstioCertificateService/Nothing",
        "/grpc.reflection.v1.ServerReflection/X",
    ] {
        let response = call(path).await;
        assert_eq!(response.headers()["grpc-status"], "12", "{path}");
    }
    assert_eq!(call("/ambit/v2").await.status(), 404);
    assert_eq!(call("/ambit/v1/nodes/one/captured").await.status(), 405);
}
