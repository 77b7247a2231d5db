//! Connections whose bytes are no requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use ambit_hbone::OpenError;
use ambit_model::Change;
use ambit_model::l7::destination_rule::{ConnectionPool, TrafficPolicy};
use ambit_model::l7::policy::{Operation, PolicyAction, PolicyRule, RequestPolicy, Source};
use ambit_model::l7::route::{Action, Layer, Order, Parent, Route, Rule};
use ambit_model::l7::{ObjectKey, ObjectKind, Resource, Unreadable};
use ambit_model::service::AppProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::calls::{calls, set};
use crate::mesh::{Mesh, ask, cart, key, workload};
use crate::rules::{backend, to_cart};
use crate::{CART, CART_1, WEB};

#[tokio::test(start_paused = true)]
async fn tcp_is_relayed_both_ways_and_counted() {
    for declared in [AppProtocol::Tcp, AppProtocol::Unknown] {
        let mesh = Mesh::new(declared).await;
        let mut streams = mesh.endpoint("cart", CART_1).await;
        let tunnel = mesh.tunnel("web", WEB).await;
        let mut client = ask(&tunnel, CART).await.unwrap();
        client.write_all(b"\x00binary").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut server, port) = streams.recv().await.unwrap();
        assert_eq!(port, 8080);
        let mut asked = Vec::new();
        server.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"\x00binary");
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        let parts =
            ["reporter=\"waypoint\"", "destination_workload=\"cart\"", "request_protocol=\"tcp\"", "} 1"];
        mesh.counted("istio_tcp_connections_closed_total", &parts).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_first_is_waited_for_on_an_undeclared_port() {
    let mesh = Mesh::new(AppProtocol::Unknown).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = ask(&tunnel, CART).await.unwrap();
    let (mut server, _) = streams.recv().await.unwrap();
    server.write_all(b"220 ready\r\n").await.unwrap();
    let mut greeting = [0; 11];
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_tcp_service_without_an_endpoint_refuses_the_connect() {
    let mesh = Mesh::new(AppProtocol::Tcp).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    match ask(&tunnel, CART).await {
        Err(OpenError::Refused { status: 503, .. }) => {}
        other => panic!("{other:?}"),
    }
    mesh.counted("istio_tcp_connections_failed_total", &["response_flags=\"CONNECT\""]).await;
}

fn deny(source: Source, operation: Operation, action: PolicyAction) -> Change {
    let rule = PolicyRule { from: vec![source], to: vec![operation], ..PolicyRule::default() };
    let policy = RequestPolicy {
        key: ObjectKey::new(ObjectKind::AuthorizationPolicy, "shop", "p"),
        action,
        dry_run: false,
        targets: vec![to_cart()],
        rules: vec![rule],
        unusable: None,
    };
    Change::L7(Resource::Policy(policy).into())
}

fn account(name: &str) -> Source {
    let mut source = Source::default();
    source.service_accounts.any = vec![format!("shop/{name}").into()];
    source
}

fn path() -> Operation {
    let mut operation = Operation::default();
    operation.paths.any = vec!["/a".into()];
    operation
}

#[tokio::test(start_paused = true)]
async fn policies_judge_bytes_by_what_tcp_has_and_fail_closed() {
    let mesh = Mesh::new(AppProtocol::Tcp).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    let port = || {
        let mut operation = Operation::default();
        operation.ports.any = vec![80];
        operation
    };
    let (web, other) = (mesh.tunnel("web", WEB).await, mesh.tunnel("other", "10.0.0.7").await);
    for (change, web_may, other_may) in [
        (deny(account("web"), port(), PolicyAction::Allow), true, false),
        (deny(account("web"), path(), PolicyAction::Allow), false, false),
        (deny(account("web"), path(), PolicyAction::Deny), false, true),
        (deny(account("web"), port(), PolicyAction::Custom("asker".into())), false, true),
    ] {
        let shown = format!("{change:?}");
        mesh.set([change]);
        for (tunnel, may) in [(&web, web_may), (&other, other_may)] {
            match ask(tunnel, CART).await {
                Ok(_) => {
                    assert!(may, "{shown}");
                    streams.recv().await.unwrap();
                }
                Err(OpenError::Refused { status, .. }) => {
                    assert_eq!((may, status), (false, 401), "{shown}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    mesh.counted("istio_tcp_connections_closed_total", &["response_flags=\"DENY\""]).await;
    assert!(streams.try_recv().is_err());
}

fn stream_route(layer: Layer, hostnames: &[&str], to: &str) -> Change {
    let name = format!("{to}-{}", hostnames.join("-"));
    let route = Route {
        key: ObjectKey::new(ObjectKind::TLSRoute, "shop", &name),
        created: 1,
        parents: vec![Parent { target: to_cart(), port: None, section: None }],
        hostnames: hostnames.iter().map(|name| (*name).into()).collect(),
        layer,
        order: Order::Specificity,
        consumer: false,
        rules: vec![Rule::new(Action::Forward(vec![backend(to, 1)]))],
    };
    Change::L7(Resource::Route(route).into())
}

/// A service beside the cart, with one endpoint.
async fn another(mesh: &Mesh, name: &str, ip: &str) -> mpsc::UnboundedReceiver<(ambit_hbone::Stream, u16)> {
    let streams = mesh.endpoint(name, ip).await;
    let mut service = cart(AppProtocol::Tcp);
    service.key = key(name);
    service.addresses.clear();
    let mut endpoint = workload(name, name, ip);
    endpoint.services.insert(key(name), vec![crate::mesh::port(80, 8080, AppProtocol::Unknown)]);
    mesh.set([Change::Service(service.into()), Change::Workload(endpoint.into())]);
    streams
}

#[tokio::test(start_paused = true)]
async fn routes_send_bytes_to_their_backends() {
    let mesh = Mesh::new(AppProtocol::Tcp).await;
    let mut cart = mesh.endpoint("cart", CART_1).await;
    let mut new = another(&mesh, "new", "10.0.0.3").await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let _one = ask(&tunnel, CART).await.unwrap();
    cart.recv().await.unwrap();
    mesh.set([stream_route(Layer::Tcp, &[], "new")]);
    let _two = ask(&tunnel, CART).await.unwrap();
    new.recv().await.unwrap();
    let unreadable = Unreadable {
        name: "TCPRoute/shop/new-".into(),
        targets: vec![to_cart()],
        reason: "a field of tomorrow".into(),
    };
    mesh.set([Change::UnreadableL7(unreadable.into())]);
    let refused = ask(&tunnel, CART).await.unwrap_err();
    assert!(matches!(refused, OpenError::Refused { .. }), "{refused}");
}

/// The first record of a TLS client that asks for a server.
fn hello(name: &str) -> Vec<u8> {
    let sized = |size: usize, bytes: &[u8]| {
        let length = bytes.len().to_be_bytes();
        [&length[length.len() - size..], bytes].concat()
    };
    let names = sized(2, &[&[0][..], &sized(2, name.as_bytes())].concat());
    let extensions = [&[0, 0][..], &sized(2, &names)].concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &sized(2, &[19, 1]), &sized(1, &[0]), &sized(2, &extensions)].concat();
    [&[22, 3, 1][..], &sized(2, &[&[1][..], &sized(3, &body)].concat())].concat()
}

#[tokio::test(start_paused = true)]
async fn tls_goes_by_the_server_that_the_client_asks_for() {
    let mesh = Mesh::new(AppProtocol::Tls).await;
    let mut a = another(&mesh, "a", "10.0.0.3").await;
    let mut b = another(&mesh, "b", "10.0.0.4").await;
    mesh.set([stream_route(Layer::Tls, &["a.example"], "a"), stream_route(Layer::Tls, &["*.example"], "b")]);
    let tunnel = mesh.tunnel("web", WEB).await;
    for (name, to) in [("a.example", &mut a), ("x.example", &mut b)] {
        let mut client = ask(&tunnel, CART).await.unwrap();
        let hello = hello(name);
        client.write_all(&hello).await.unwrap();
        let (mut server, _) = to.recv().await.unwrap();
        let mut heard = vec![0; hello.len()];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, hello, "{name}: not a byte is lost");
    }
    let mut client = ask(&tunnel, CART).await.unwrap();
    client.write_all(&hello("other.org")).await.unwrap();
    assert_eq!(client.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0);
}

#[tokio::test(start_paused = true)]
async fn connections_are_as_many_as_the_rule_says() {
    let mesh = Mesh::new(AppProtocol::Tcp).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    let pool = ConnectionPool { max_connections: Some(1), ..ConnectionPool::default() };
    mesh.set([set(calls(TrafficPolicy { connections: Some(pool), ..TrafficPolicy::default() }))]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut first = ask(&tunnel, CART).await.unwrap();
    let (mut server, _) = streams.recv().await.unwrap();
    let refused = ask(&tunnel, CART).await.unwrap_err();
    assert!(matches!(refused, OpenError::Refused { .. }), "{refused}");
    first.shutdown().await.unwrap();
    server.shutdown().await.unwrap();
    first.read_to_end(&mut Vec::new()).await.unwrap();
    mesh.counted("istio_tcp_connections_closed_total", &["response_flags=\"-\""]).await;
    ask(&tunnel, CART).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_when_it_is_silent_or_old() {
    let idle =
        ConnectionPool { tcp_idle_timeout: Some(Duration::from_secs(10)), ..ConnectionPool::default() };
    let old = ConnectionPool { max_duration: Some(Duration::from_secs(25)), ..ConnectionPool::default() };
    for (pool, bytes, lives) in [(idle, 4, 38..49), (old, 3, 25..26)] {
        let mesh = Mesh::new(AppProtocol::Tcp).await;
        let mut streams = mesh.endpoint("cart", CART_1).await;
        mesh.set([set(calls(TrafficPolicy { connections: Some(pool), ..TrafficPolicy::default() }))]);
        let tunnel = mesh.tunnel("web", WEB).await;
        let start = tokio::time::Instant::now();
        let mut client = ask(&tunnel, CART).await.unwrap();
        let (mut server, _) = streams.recv().await.unwrap();
        for _ in 0..bytes {
            client.write_all(b"x").await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
            tokio::time::advance(Duration::from_secs(7)).await;
        }
        // Cut, not ended: either is the end of what can be read.
        client.read_to_end(&mut Vec::new()).await.ok();
        let lived = start.elapsed().as_secs();
        assert!(lives.contains(&lived), "{pool:?}: {lived} s");
    }
}
