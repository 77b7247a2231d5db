//! How services are called: what DestinationRules say about endpoints, limits and failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::{Request, Response, StatusCode, Version};
use ambit_model::l7::destination_rule::{
    Algorithm, ConnectionPool, DestinationRule, HashKey, HashRing, LoadBalancer, OutlierDetection, Subset,
    TrafficPolicy,
};
use ambit_model::l7::route::{Action, Backend, Retry, RetryCondition, Rule};
use ambit_model::l7::{Labels, ObjectKey, ObjectKind, Resource, Target, Unreadable};
use ambit_model::service::AppProtocol;
use ambit_model::{Change, Text};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::sync::{Semaphore, mpsc};

use crate::http::{Body, Heard, client1, hear, serve, text};
use crate::mesh::{Mesh, ask, key};
use crate::rules::{backend, forward, route};
use crate::{CART, CART_1, WEB, get};

const CART_2: &str = "10.0.0.3";

/// A rule for the cart.
pub(crate) fn calls(policy: TrafficPolicy) -> DestinationRule {
    DestinationRule {
        key: ObjectKey::new(ObjectKind::DestinationRule, "shop", "cart"),
        created: 1,
        host: key("cart").hostname,
        visible_to: Vec::new(),
        policy,
        ports: Vec::new(),
        subsets: Vec::new(),
        invalid: None,
    }
}

pub(crate) fn set(rule: DestinationRule) -> Change {
    Change::L7(Resource::DestinationRule(rule.into()).into())
}

fn limits(pool: ConnectionPool) -> Change {
    set(calls(TrafficPolicy { connections: Some(pool), ..TrafficPolicy::default() }))
}

fn balanced(algorithm: Algorithm) -> TrafficPolicy {
    let balancer = LoadBalancer { algorithm, warmup: None, locality: None };
    TrafficPolicy { load_balancer: Some(balancer), ..TrafficPolicy::default() }
}

/// An endpoint of the cart that says its name.
async fn named(mesh: &Mesh, name: &'static str, ip: &str) {
    let streams = mesh.endpoint(name, ip).await;
    serve(streams, Version::HTTP_11, move |_: Request<Incoming>| async move { Response::new(text(name)) });
}

/// A cart of two endpoints, `one` and `two`.
async fn two() -> Mesh {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    named(&mesh, "one", CART_1).await;
    named(&mesh, "two", CART_2).await;
    mesh
}

async fn client(mesh: &Mesh) -> SendRequest<Body> {
    let tunnel = mesh.tunnel("web", WEB).await;
    client1(ask(&tunnel, CART).await.unwrap()).await
}

async fn send(client: &mut SendRequest<Body>, request: Request<Body>) -> Heard {
    client.ready().await.unwrap();
    hear(client.send_request(request).await.unwrap()).await
}

async fn said(client: &mut SendRequest<Body>) -> String {
    send(client, get("/")).await.text().to_owned()
}

fn labelled(name: &str, version: &str) -> Change {
    let labels = vec![("version".into(), version.into())];
    Change::L7(Resource::Labels(Labels { workload: format!("c//Pod/shop/{name}").into(), labels }).into())
}

fn to_subset(name: &str) -> Change {
    let mut to = backend("cart", 1);
    to.to.subset = Some(name.into());
    route(vec![Rule::new(Action::Forward(vec![to]))])
}

#[tokio::test(start_paused = true)]
async fn a_subset_is_the_endpoints_with_its_labels() {
    let mesh = two().await;
    mesh.set([labelled("one", "v1"), labelled("two", "v2")]);
    let subset = |name: &str, version: &str| Subset {
        name: name.into(),
        labels: vec![("version".into(), version.into())],
        policy: TrafficPolicy::default(),
        ports: Vec::new(),
    };
    let mut rule = calls(TrafficPolicy::default());
    rule.subsets = vec![subset("old", "v1"), subset("new", "v2"), subset("next", "v3")];
    mesh.set([set(rule), to_subset("old")]);
    let mut client = client(&mesh).await;
    for (name, expected) in [("old", "one"), ("new", "two")] {
        mesh.set([to_subset(name)]);
        for _ in 0..20 {
            assert_eq!(said(&mut client).await, expected);
        }
    }
    // An endpoint that changes its labels changes its subset.
    mesh.set([labelled("one", "v2"), labelled("two", "v1")]);
    assert_eq!(said(&mut client).await, "one");
    for (name, flag) in [("next", "UH"), ("nobody", "NC")] {
        mesh.set([to_subset(name)]);
        assert_eq!(send(&mut client, get("/")).await.status, 503, "{name}");
        let flag = format!("response_flags=\"{flag}\"");
        mesh.counted("istio_requests_total", &["response_code=\"503\"", &flag]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_are_chosen_as_the_rule_says() {
    let mesh = two().await;
    let mut client = client(&mesh).await;
    mesh.set([set(calls(balanced(Algorithm::RoundRobin)))]);
    let mut last = said(&mut client).await;
    for _ in 0..10 {
        let next = said(&mut client).await;
        assert_ne!(next, last);
        last = next;
    }
    let of = HashKey::Header("x-user".into());
    mesh.set([set(calls(balanced(Algorithm::Hash { of, ring: HashRing::Maglev(65_537) })))]);
    let mut met = std::collections::BTreeSet::new();
    for user in 0..20 {
        let asked =
            || Request::get("/").header("host", "cart").header("x-user", user).body(crate::http::empty());
        let first = send(&mut client, asked().unwrap()).await.text().to_owned();
        for _ in 0..3 {
            assert_eq!(send(&mut client, asked().unwrap()).await.text(), first, "user {user}");
        }
        met.insert(first);
    }
    assert_eq!(met.len(), 2, "some users are here, some there");
}

#[tokio::test(start_paused = true)]
async fn a_client_without_the_cookie_is_given_one_and_stays() {
    let mesh = two().await;
    let of = HashKey::Cookie {
        name: "seat".into(),
        path: "/".into(),
        ttl: Some(Duration::ZERO),
        attributes: Vec::new(),
    };
    mesh.set([set(calls(balanced(Algorithm::Hash { of, ring: HashRing::Ring(1024) })))]);
    let mut client = client(&mesh).await;
    for _ in 0..5 {
        let heard = send(&mut client, get("/")).await;
        let cookie = heard.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        for _ in 0..5 {
            let mut again = get("/");
            again.headers_mut().insert("cookie", cookie.parse().unwrap());
            let again = send(&mut client, again).await;
            assert_eq!(again.text(), heard.text());
            assert!(!again.headers.contains_key("set-cookie"));
        }
    }
}

/// A cart whose requests wait until they are let go; tells of each that has come.
async fn gated(mesh: &Mesh) -> (Arc<Semaphore>, mpsc::UnboundedReceiver<()>) {
    let gate = Arc::new(Semaphore::new(0));
    let (come, coming) = mpsc::unbounded_channel();
    let waits = gate.clone();
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, move |_: Request<Incoming>| {
        let (waits, come) = (waits.clone(), come.clone());
        async move {
            come.send(()).unwrap();
            waits.acquire().await.unwrap().forget();
            Response::new(text("done"))
        }
    });
    (gate, coming)
}

/// Sends a request that goes on by itself.
async fn begun(mesh: &Mesh) -> tokio::task::JoinHandle<Heard> {
    let mut client = client(mesh).await;
    tokio::spawn(async move { send(&mut client, get("/")).await })
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_503_uo_at_once() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (gate, mut coming) = gated(&mesh).await;
    mesh.set([limits(ConnectionPool { max_requests: Some(1), ..ConnectionPool::default() })]);
    let first = begun(&mesh).await;
    coming.recv().await.unwrap();
    let heard = send(&mut client(&mesh).await, get("/")).await;
    assert_eq!((heard.status, heard.headers["x-envoy-overloaded"].to_str().unwrap()), (503, "true"));
    assert!(heard.text().ends_with("reset reason: overflow"), "{}", heard.text());
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UO\""]).await;
    gate.add_permits(2);
    assert_eq!(first.await.unwrap().text(), "done");
    // Its place is free.
    assert_eq!(said(&mut client(&mesh).await).await, "done");
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_a_connection_as_many_as_may() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (gate, mut coming) = gated(&mesh).await;
    let pool = ConnectionPool { max_connections: Some(1), max_pending: Some(1), ..ConnectionPool::default() };
    mesh.set([limits(pool)]);
    let first = begun(&mesh).await;
    coming.recv().await.unwrap();
    let second = begun(&mesh).await;
    // Until it waits, a third takes its place in the queue or is served after it: it is asked until it is refused.
    let mut third = client(&mesh).await;
    let refused = tokio::time::timeout(Duration::from_secs(1), send(&mut third, get("/"))).await.unwrap();
    assert_eq!(refused.status, 503);
    assert!(coming.try_recv().is_err(), "there is one connection, and it is taken");
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().status, 200);
    coming.recv().await.unwrap();
    gate.add_permits(1);
    assert_eq!(second.await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn connections_are_kept_as_long_and_for_as_much_as_the_rule_says() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut streams = mesh.endpoint("cart", CART_1).await;
    let (count, counted) = (Arc::new(AtomicUsize::new(0)), mpsc::unbounded_channel());
    let made = count.clone();
    tokio::spawn(async move {
        while let Some(stream) = streams.recv().await {
            made.fetch_add(1, Ordering::Relaxed);
            counted.0.send(stream).unwrap();
        }
    });
    serve(counted.1, Version::HTTP_11, |_: Request<Incoming>| async { Response::new(text("done")) });
    let mut client = client(&mesh).await;
    let connections = || count.load(Ordering::Relaxed);
    for _ in 0..4 {
        said(&mut client).await;
    }
    assert_eq!(connections(), 1);
    mesh.set([limits(ConnectionPool { max_requests_per_connection: Some(2), ..ConnectionPool::default() })]);
    for _ in 0..4 {
        said(&mut client).await;
    }
    assert!((2..=3).contains(&connections()), "{}", connections());
    let idle = Some(Duration::from_secs(5));
    mesh.set([limits(ConnectionPool { http_idle_timeout: idle, ..ConnectionPool::default() })]);
    said(&mut client).await;
    tokio::time::advance(Duration::from_secs(4)).await;
    said(&mut client).await;
    let before = connections();
    tokio::time::advance(Duration::from_secs(6)).await;
    said(&mut client).await;
    assert_eq!(connections(), before + 1);
}

/// What a switch says decides whether an endpoint fails.
async fn fallible(mesh: &Mesh, name: &'static str, ip: &str) -> (Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (status, asked) = (Arc::new(AtomicUsize::new(200)), Arc::new(AtomicUsize::new(0)));
    let (says, counts) = (status.clone(), asked.clone());
    serve(mesh.endpoint(name, ip).await, Version::HTTP_11, move |_: Request<Incoming>| {
        counts.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(text(name));
        *response.status_mut() = StatusCode::from_u16(says.load(Ordering::Relaxed) as u16).unwrap();
        async move { response }
    });
    (status, asked)
}

#[tokio::test(start_paused = true)]
async fn who_fails_is_left_out_and_comes_back_by_a_probe() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (one, one_asked) = fallible(&mesh, "one", CART_1).await;
    let (two, two_asked) = fallible(&mesh, "two", CART_2).await;
    let outlier = OutlierDetection {
        consecutive_5xx: 3,
        consecutive_gateway: 0,
        consecutive_local: None,
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejection_percent: 100,
        min_health_percent: 0,
    };
    let mut policy = balanced(Algorithm::RoundRobin);
    policy.outlier = Some(outlier);
    mesh.set([set(calls(policy))]);
    let mut client = client(&mesh).await;
    one.store(500, Ordering::Relaxed);
    for _ in 0..6 {
        said(&mut client).await;
    }
    let before = one_asked.load(Ordering::Relaxed);
    assert_eq!(before, 3);
    for _ in 0..10 {
        assert_eq!(send(&mut client, get("/")).await.status, 200);
    }
    assert_eq!(one_asked.load(Ordering::Relaxed), before, "it is left out");
    two.store(500, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(send(&mut client, get("/")).await.status, 500);
    }
    let heard = send(&mut client, get("/")).await;
    assert_eq!((heard.status, heard.text()), (503, "no healthy upstream"));
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UH\""]).await;
    one.store(200, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(31)).await;
    // Each gets one request as a probe: the one that still fails is out again, for longer.
    let asked = two_asked.load(Ordering::Relaxed);
    for _ in 0..10 {
        said(&mut client).await;
    }
    assert_eq!(two_asked.load(Ordering::Relaxed), asked + 1);
    for _ in 0..10 {
        assert_eq!(said(&mut client).await, "one");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_keep_to_their_budget() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (status, asked) = fallible(&mesh, "one", CART_1).await;
    status.store(503, Ordering::Relaxed);
    let retry = Retry {
        attempts: 3,
        on: vec![RetryCondition::ServerError],
        codes: Vec::new(),
        backoff: None,
        avoid_previous: false,
    };
    let rule = Rule { retry: Some(retry), ..forward() };
    mesh.set([route(vec![rule])]);
    let mut client = client(&mesh).await;
    send(&mut client, get("/")).await;
    assert_eq!(asked.swap(0, Ordering::Relaxed), 4);
    mesh.set([limits(ConnectionPool { max_retries: Some(0), ..ConnectionPool::default() })]);
    send(&mut client, get("/")).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UO\""]).await;
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_cannot_be_obeyed_or_read_is_503() {
    let mesh = two().await;
    let mut client = client(&mesh).await;
    let broken =
        DestinationRule { invalid: Some("no such secret".into()), ..calls(TrafficPolicy::default()) };
    mesh.set([set(broken)]);
    assert_eq!(send(&mut client, get("/")).await.status, 503);
    mesh.set([set(calls(TrafficPolicy::default()))]);
    assert_eq!(send(&mut client, get("/")).await.status, 200);
    let name: Text = "DestinationRule/shop/cart".into();
    let unreadable = |target: Target| Unreadable {
        name: name.clone(),
        targets: vec![target],
        reason: "a field of tomorrow".into(),
    };
    mesh.set([Change::UnreadableL7(unreadable(Target::Service(key("cart"))).into())]);
    assert_eq!(send(&mut client, get("/")).await.status, 503);
    mesh.set([Change::UnreadableL7(unreadable(Target::Service(key("other"))).into())]);
    assert_eq!(send(&mut client, get("/")).await.status, 200);
    mesh.set([Change::UnreadableL7(unreadable(Target::Mesh).into())]);
    assert_eq!(send(&mut client, get("/")).await.status, 503);
    mesh.set([Change::RemoveL7(name)]);
    assert_eq!(send(&mut client, get("/")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_backend_of_another_service_is_called_by_the_rules_of_that() {
    let mesh = two().await;
    let mut other = crate::mesh::cart(AppProtocol::Http11);
    other.key = key("other");
    other.addresses.clear();
    let to: Backend = backend("other", 1);
    mesh.set([Change::Service(other.into()), route(vec![Rule::new(Action::Forward(vec![to]))])]);
    let mut refused = calls(TrafficPolicy::default());
    (refused.host, refused.invalid) = (key("other").hostname, Some("broken".into()));
    mesh.set([set(refused)]);
    let mut client = client(&mesh).await;
    assert_eq!(send(&mut client, get("/")).await.status, 503);
    mesh.counted(
        "istio_requests_total",
        &["destination_service=\"other.shop.svc.cluster.local\"", "response_flags=\"NC\""],
    )
    .await;
}
