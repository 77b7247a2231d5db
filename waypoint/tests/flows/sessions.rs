//! Sessions: clients that keep their endpoint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use ::http::{Request, Response, Version};
use ambit_model::Change;
use ambit_model::l7::route::{Action, Rule, SessionKind, SessionPersistence};
use ambit_model::service::AppProtocol;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;

use crate::http::{Body, Heard, client1, hear, serve, text};
use crate::mesh::{Mesh, ask, cart, key, workload};
use crate::rules::{backend, route};
use crate::{CART, CART_1, WEB, get};

async fn named(mesh: &Mesh, name: &'static str, ip: &str) {
    let streams = mesh.endpoint(name, ip).await;
    serve(streams, Version::HTTP_11, move |_: Request<Incoming>| async move { Response::new(text(name)) });
}

fn kept(kind: SessionKind, backends: &[(&str, u32)]) -> Change {
    let backends = backends.iter().map(|(name, weight)| backend(name, *weight)).collect();
    let name = if kind == SessionKind::Cookie { "sid" } else { "x-session" };
    let absolute_timeout = Some(Duration::from_secs(3600));
    let session = SessionPersistence {
        kind,
        name: name.into(),
        absolute_timeout,
        permanent: false,
        path: Some("/".into()),
    };
    route(vec![Rule { session: Some(session), ..Rule::new(Action::Forward(backends)) }])
}

async fn send(client: &mut SendRequest<Body>, session: Option<(&'static str, &str)>) -> Heard {
    let mut request = get("/");
    if let Some((name, value)) = session {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    client.ready().await.unwrap();
    hear(client.send_request(request).await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_its_session_keeps_its_endpoint() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    named(&mesh, "one", CART_1).await;
    named(&mesh, "two", "10.0.0.3").await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    for kind in [SessionKind::Cookie, SessionKind::Header] {
        mesh.set([kept(kind, &[("cart", 1)])]);
        let mut met = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let first = send(&mut client, None).await;
            let (name, value) = match kind {
                SessionKind::Cookie => {
                    let told = first.headers["set-cookie"].to_str().unwrap();
                    assert!(told.contains("; Path=/; HttpOnly"), "{told}");
                    ("cookie", told.split(';').next().unwrap().to_owned())
                }
                SessionKind::Header => ("x-session", first.headers["x-session"].to_str().unwrap().to_owned()),
            };
            for _ in 0..5 {
                let again = send(&mut client, Some((name, &value))).await;
                assert_eq!(again.text(), first.text());
                assert!(!again.headers.contains_key("set-cookie"), "it is told once");
            }
            met.insert(first.text().to_owned());
        }
        assert_eq!(met.len(), 2, "new sessions go anywhere");
    }
    let nonsense = send(&mut client, Some(("x-session", "bm9ib2R5"))).await;
    assert_eq!(nonsense.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_stays_with_its_backend_when_that_takes_no_new_ones() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    named(&mesh, "one", CART_1).await;
    named(&mesh, "new", "10.0.0.3").await;
    let mut service = cart(AppProtocol::Http11);
    service.key = key("new");
    service.addresses.clear();
    let mut endpoint = workload("new", "new", "10.0.0.3");
    endpoint.services.insert(key("new"), vec![crate::mesh::port(80, 8080, AppProtocol::Unknown)]);
    mesh.set([Change::Service(service.into()), Change::Workload(endpoint.into())]);
    mesh.set([kept(SessionKind::Header, &[("cart", 1), ("new", 0)])]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let first = send(&mut client, None).await;
    assert_eq!(first.text(), "one");
    let value = first.headers["x-session"].to_str().unwrap().to_owned();
    mesh.set([kept(SessionKind::Header, &[("cart", 0), ("new", 1)])]);
    assert_eq!(send(&mut client, Some(("x-session", &value))).await.text(), "one");
    assert_eq!(send(&mut client, None).await.text(), "new");
    // Its endpoint is gone: the session goes on elsewhere, and the client is told.
    mesh.set([Change::RemoveAddress("c//Pod/shop/one".into())]);
    let moved = send(&mut client, Some(("x-session", &value))).await;
    assert_eq!(moved.text(), "new");
    assert!(moved.headers.contains_key("x-session"));
}
