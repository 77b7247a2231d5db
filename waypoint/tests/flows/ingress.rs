//! Requests from outside of the mesh, through the listeners of a Gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ::http::{Request, Version};
use ambit_identity::ApplicationTls;
use ambit_identity::application::Inside;
use ambit_identity::tls::{HandshakeError, TlsStream};
use ambit_model::Change;
use ambit_model::l7::destination_rule::{Secret, UpstreamTls};
use ambit_model::l7::gateway::{Gateway, Listener, Protocol, ServerCertificate};
use ambit_model::l7::policy::{PolicyAction, RequestPolicy};
use ambit_model::l7::route::{Action, Layer, Order, Parent, Route, Rule};
use ambit_model::l7::{ObjectKey, ObjectKind, Resource, Target};
use ambit_model::service::AppProtocol;
use ambit_transport::drain::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::http::{Body, Heard, client1, client2, empty, hear, serve};
use crate::mesh::Mesh;
use crate::rules::{at, backend, forward, policy};
use crate::{CART_1, echo};

const CLIENT: &str = "198.51.100.7:50000";

fn itself() -> Target {
    Target::Gateway { namespace: "shop".into(), name: "waypoint".into() }
}

fn listener(name: &str, port: u16, hostname: Option<&str>) -> Listener {
    Listener {
        name: name.into(),
        port,
        protocol: Protocol::Http,
        hostname: hostname.map(Into::into),
        certificates: Vec::new(),
    }
}

fn gateway(listeners: Vec<Listener>) -> Change {
    let key = ObjectKey::new(ObjectKind::Gateway, "shop", "waypoint");
    Change::L7(
        Resource::Gateway(Gateway { key, class: "ambit".into(), listeners, accounts: Vec::new() }).into(),
    )
}

/// A route of one listener.
fn route(name: &str, (section, port): (&str, u16), hostnames: &[&str], rules: Vec<Rule>) -> Change {
    let route = Route {
        key: ObjectKey::new(ObjectKind::HTTPRoute, "shop", name),
        created: 1,
        parents: vec![Parent { target: itself(), port: Some(port), section: Some(section.into()) }],
        hostnames: hostnames.iter().map(|name| (*name).into()).collect(),
        layer: Layer::Http,
        order: Order::Specificity,
        consumer: false,
        rules,
    };
    Change::L7(Resource::Route(route).into())
}

fn answers(status: u16) -> Rule {
    Rule::new(Action::Respond { status, body: "".into() })
}

async fn mesh() -> Mesh {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
    mesh
}

fn request(host: &str, path: &str) -> Request<Body> {
    Request::get(path).header("host", host).body(empty()).unwrap()
}

async fn ask(mesh: &Mesh, port: u16, request: Request<Body>) -> Heard {
    let mut client = client1(mesh.enter(CLIENT, port)).await;
    hear(client.send_request(request).await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_request_from_outside_reaches_the_service_under_the_gateways_identity() {
    let mesh = mesh().await;
    mesh.set([gateway(vec![listener("web", 80, None)]), route("a", ("web", 80), &[], vec![forward()])]);
    let mut asked = request("shop.example.com", "/buy?n=1");
    for (name, lie) in [
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=10.0.0.1"),
        ("x-request-id", "mine"),
        ("x-envoy-internal", "true"),
        ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/admin"),
    ] {
        asked.headers_mut().insert(name, lie.parse().unwrap());
    }
    // The endpoint checks the identity.
    let heard = ask(&mesh, 80, asked).await;
    assert_eq!((heard.status, heard.text()), (200, "GET /buy?n=1 HTTP/1.1 "));
    assert_eq!(heard.headers["echo-host"], "shop.example.com");
    assert_eq!(heard.headers["echo-x-forwarded-for"], "198.51.100.7");
    assert_eq!(heard.headers["echo-x-forwarded-proto"], "http");
    assert_ne!(heard.headers["echo-x-request-id"], "mine");
    for gone in ["forwarded", "x-envoy-internal", "x-forwarded-client-cert"] {
        assert!(!heard.headers.contains_key(format!("echo-{gone}")), "{gone}");
    }
    mesh.counted(
        "istio_requests_total",
        &[
            "reporter=\"source\"",
            "source_principal=\"spiffe://cluster.local/ns/shop/sa/waypoint\"",
            "destination_service=\"cart.shop.svc.cluster.local\"",
            "response_code=\"200\"",
            "connection_security_policy=\"unknown\"",
            "} 1",
        ],
    )
    .await;
    let mut client = client2(mesh.enter(CLIENT, 80)).await;
    let asked = Request::get("http://shop.example.com/two").body(empty()).unwrap();
    let heard = hear(client.send_request(asked).await.unwrap()).await;
    assert_eq!(heard.text(), "GET /two HTTP/1.1 ", "HTTP/2 in the clear is served too");
}

#[tokio::test(start_paused = true)]
async fn the_most_specific_listener_has_the_request_and_no_other_sees_it() {
    let mesh = mesh().await;
    mesh.set([
        gateway(vec![
            listener("exact", 80, Some("a.example.com")),
            listener("wild", 80, Some("*.example.com")),
            listener("other", 8080, None),
        ]),
        route("exact", ("exact", 80), &[], vec![at("/exact", answers(201))]),
        route("wild", ("wild", 80), &["a.example.com", "b.example.com"], vec![answers(202)]),
    ]);
    for (port, host, path, status) in [
        (80, "a.example.com", "/exact", 201),
        (80, "A.Example.com:80", "/exact", 201),
        // The wildcard's route names the host, which belongs to another listener.
        (80, "a.example.com", "/", 404),
        (80, "b.example.com", "/", 202),
        (80, "c.example.com", "/", 404),
        (80, "example.com", "/", 404),
        (80, "10.0.0.9", "/exact", 404),
        // A listener without any route sends to nobody.
        (8080, "a.example.com", "/exact", 404),
    ] {
        let heard = ask(&mesh, port, request(host, path)).await;
        assert_eq!(heard.status, status, "{port} {host} {path}");
    }
    let mut nobody = mesh.enter(CLIENT, 81);
    assert_eq!(nobody.read(&mut [0]).await.ok(), Some(0), "no listener, no word");
}

#[tokio::test(start_paused = true)]
async fn policies_for_the_gateway_decide_about_clients_without_identity() {
    let mesh = mesh().await;
    mesh.set([gateway(vec![listener("web", 80, None)]), route("a", ("web", 80), &[], vec![forward()])]);
    let targeted = |action, targets: Vec<Target>| {
        let Change::L7(resource) = policy(action, "/private") else { panic!() };
        let Resource::Policy(policy) = *resource else { panic!() };
        Change::L7(Resource::Policy(RequestPolicy { targets, ..policy }).into())
    };
    let status = async |path| ask(&mesh, 80, request("a", path)).await.status;
    for (action, target, private, public) in [
        (PolicyAction::Deny, itself(), 403, 200),
        (PolicyAction::Allow, itself(), 200, 403),
        (PolicyAction::Deny, Target::GatewayClass("ambit".into()), 403, 200),
        (PolicyAction::Deny, Target::GatewayClass("nginx".into()), 200, 200),
        // What goes for a service is for its own proxies to enforce.
        (PolicyAction::Deny, crate::rules::to_cart(), 200, 200),
        (PolicyAction::Deny, Target::Namespace("shop".into()), 403, 200),
    ] {
        mesh.set([targeted(action.clone(), vec![target.clone()])]);
        assert_eq!((status("/private").await, status("/").await), (private, public), "{action:?} {target:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn listeners_and_routes_change_under_an_open_connection() {
    let mesh = mesh().await;
    let ports = mesh.proxy.rules.ports();
    mesh.set([gateway(vec![listener("web", 80, None)]), route("a", ("web", 80), &[], vec![answers(201)])]);
    assert_eq!(*ports.borrow(), [80].into());
    let mut client = client1(mesh.enter(CLIENT, 80)).await;
    let mut status = async || hear(client.send_request(request("a", "/")).await.unwrap()).await.status;
    assert_eq!(status().await, 201);
    mesh.set([route("a", ("web", 80), &[], vec![Rule::new(Action::Forward(vec![backend("cart", 1)]))])]);
    assert_eq!(status().await, 200);
    mesh.set([gateway(vec![listener("web", 80, Some("b.com"))])]);
    assert_eq!(status().await, 404);
    mesh.set([Change::RemoveL7("Gateway/shop/waypoint".into())]);
    assert_eq!(status().await, 404);
    assert!(ports.borrow().is_empty());
}

const SHOP: (&str, &str) =
    (include_str!("../../../tests/pem/shop.crt"), include_str!("../../../tests/pem/shop.key"));
const WILD: (&str, &str) =
    (include_str!("../../../tests/pem/wild.crt"), include_str!("../../../tests/pem/wild.key"));

fn secured(name: &str, hostname: &str, pairs: &[(&str, &str)]) -> Listener {
    let certificate = |(chain, key): &(&str, &str)| ServerCertificate {
        chain: (*chain).into(),
        key: Secret((*key).into()),
    };
    let certificates = pairs.iter().map(certificate).collect();
    Listener { protocol: Protocol::Https, certificates, ..listener(name, 443, Some(hostname)) }
}

/// TLS as a client that trusts one certificate.
async fn speak(
    mesh: &Mesh,
    server_name: &str,
    trusted: (&str, &str),
    inside: Inside,
) -> Result<TlsStream<DuplexStream>, HandshakeError> {
    let tls = UpstreamTls { authorities: trusted.0.into(), ..UpstreamTls::default() };
    let tls = ApplicationTls::new(&tls).unwrap();
    tls.connect(mesh.enter(CLIENT, 443), server_name, inside).await
}

#[tokio::test(start_paused = true)]
async fn tls_ends_with_the_certificate_of_the_listener_that_the_client_asks_for() {
    let mesh = mesh().await;
    mesh.set([
        gateway(vec![
            secured("shop", "shop.example.com", &[SHOP]),
            secured("wild", "*.example.com", &[WILD]),
            secured("missing", "missing.example.com", &[]),
            secured("mixed", "mixed.example.com", &[(SHOP.0, WILD.1)]),
        ]),
        route("shop", ("shop", 443), &[], vec![forward()]),
        route("wild", ("wild", 443), &[], vec![answers(202)]),
        route("missing", ("missing", 443), &[], vec![answers(203)]),
    ]);
    let stream = speak(&mesh, "Shop.Example.com", SHOP, Inside::Http1).await.unwrap();
    let mut client = client1(stream).await;
    for (host, status) in [
        ("shop.example.com", 200),
        ("a.example.com", 421),
        ("missing.example.com", 421),
        ("example.org", 404),
    ] {
        let heard = hear(client.send_request(request(host, "/")).await.unwrap()).await;
        assert_eq!(heard.status, status, "{host}");
        if status == 200 {
            assert_eq!(heard.headers["echo-x-forwarded-proto"], "https");
        }
    }
    let stream = speak(&mesh, "a.example.com", WILD, Inside::Http2).await.unwrap();
    let asked = Request::get("https://a.example.com/").body(empty()).unwrap();
    assert_eq!(hear(client2(stream).await.send_request(asked).await.unwrap()).await.status, 202);
    for (name, trusted) in [
        // The right certificate is not that of the other listener.
        ("shop.example.com", WILD),
        ("a.example.com", SHOP),
        // Nobody's name, and names of listeners that have no certificate: also a wildcard's does not do for them.
        ("example.org", WILD),
        ("missing.example.com", WILD),
        ("mixed.example.com", WILD),
    ] {
        assert!(speak(&mesh, name, trusted, Inside::Http1).await.is_err(), "{name}");
    }
    // Bytes that are no TLS.
    let mut plain = mesh.enter(CLIENT, 443);
    plain.write_all(b"GET / HTTP/1.1\r\nhost: shop.example.com\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    plain.read_to_end(&mut said).await.unwrap();
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_replaced_under_open_connections() {
    let mesh = mesh().await;
    let with = |pair| gateway(vec![secured("wild", "*.example.com", &[pair])]);
    mesh.set([with(WILD), route("wild", ("wild", 443), &[], vec![answers(201)])]);
    let name = "shop.example.com";
    let mut old = client1(speak(&mesh, name, WILD, Inside::Http1).await.unwrap()).await;
    assert_eq!(hear(old.send_request(request(name, "/")).await.unwrap()).await.status, 201);
    mesh.set([with(SHOP)]);
    assert!(speak(&mesh, name, WILD, Inside::Http1).await.is_err());
    let mut new = client1(speak(&mesh, name, SHOP, Inside::Http1).await.unwrap()).await;
    assert_eq!(hear(new.send_request(request(name, "/")).await.unwrap()).await.status, 201);
    assert_eq!(hear(old.send_request(request(name, "/")).await.unwrap()).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_connections_from_outside() {
    let mut mesh = mesh().await;
    mesh.set([gateway(vec![listener("web", 80, None)]), route("a", ("web", 80), &[], vec![forward()])]);
    let (mut one, mut two) = (client1(mesh.enter(CLIENT, 80)).await, client2(mesh.enter(CLIENT, 80)).await);
    assert_eq!(hear(one.send_request(request("a", "/")).await.unwrap()).await.status, 200);
    let asked = Request::get("http://a/").body(empty()).unwrap();
    assert_eq!(hear(two.send_request(asked).await.unwrap()).await.status, 200);
    let mut silent = mesh.enter(CLIENT, 80);
    mesh.drain(Mode::Graceful);
    mesh.finished().await;
    assert!(one.ready().await.is_err() && two.ready().await.is_err());
    assert_eq!(silent.read(&mut [0]).await.ok(), Some(0));
}
