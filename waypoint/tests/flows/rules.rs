//! What users ask of requests: routes, filters, policies, tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use ::http::{Request, Response, Version};
use ambit_model::l7::authentication::{JwtRule, Keys, RequestAuthentication};
use ambit_model::l7::matching::PathMatch;
use ambit_model::l7::policy::{Operation, PolicyAction, PolicyRule, RequestPolicy};
use ambit_model::l7::route::{
    Abort, Action, Backend, BackendRef, Fault, Filter, HeaderChange, Layer, Match, Order, Parent,
    PathRewrite, RateLimit, Redirect, RedirectPort, Rewrite, Route, Rule, Timeouts,
};
use ambit_model::l7::{ObjectKey, ObjectKind, Resource, Share, Target, Unreadable};
use ambit_model::service::AppProtocol;
use ambit_model::{Change, Text};
use hyper::body::Incoming;

use crate::http::{Body, Heard, client1, client2, empty, frames, hear, serve, text};
use crate::mesh::{Mesh, ask, cart, key, workload};
use crate::{CART, CART_1, WEB, echo, get};

pub(crate) fn to_cart() -> Target {
    Target::Service(key("cart"))
}

/// A route of the cart's with these rules.
pub(crate) fn route(rules: Vec<Rule>) -> Change {
    let route = Route {
        key: ObjectKey::new(ObjectKind::HTTPRoute, "shop", "cart"),
        created: 1,
        parents: vec![Parent { target: to_cart(), port: None, section: None }],
        hostnames: Vec::new(),
        layer: Layer::Http,
        order: Order::Specificity,
        consumer: false,
        rules,
    };
    Change::L7(Resource::Route(route).into())
}

pub(crate) fn at(path: &str, rule: Rule) -> Rule {
    let path = Some(PathMatch::Elements(path.into()));
    Rule { matches: vec![Match { path, ..Match::default() }], ..rule }
}

pub(crate) fn backend(service: &str, weight: u32) -> Backend {
    let to = BackendRef { service: key(service), port: 80, subset: None };
    Backend { to, weight, filters: Vec::new(), invalid: None }
}

pub(crate) fn forward() -> Rule {
    Rule::new(Action::Forward(vec![backend("cart", 1)]))
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(Text, Text)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

pub(crate) fn policy(action: PolicyAction, path: &str) -> Change {
    let mut operation = Operation::default();
    operation.paths.any = vec![path.into()];
    let rule = PolicyRule { to: vec![operation], ..PolicyRule::default() };
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

/// A mesh with an echoing cart.
pub(crate) async fn shop() -> Mesh {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
    mesh
}

pub(crate) async fn request(mesh: &Mesh, request: Request<Body>) -> Heard {
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    hear(client.send_request(request).await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn routes_decide_and_what_none_matches_is_404() {
    let mesh = shop().await;
    mesh.set([route(vec![at("/a", forward())])]);
    assert_eq!(request(&mesh, get("/a/b")).await.text(), "GET /a/b HTTP/1.1 ");
    let heard = request(&mesh, get("/b")).await;
    assert_eq!((heard.status, heard.text()), (404, ""));
    mesh.counted("istio_requests_total", &["response_code=\"404\"", "response_flags=\"NR\""]).await;
    // The path that is matched is the path that goes on.
    assert_eq!(request(&mesh, get("/b/..//a/./%62")).await.text(), "GET /a/b HTTP/1.1 ");
    mesh.set([Change::RemoveL7("HTTPRoute/shop/cart".into())]);
    assert_eq!(request(&mesh, get("/b")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn weights_split_and_nothing_goes_where_the_weight_is_0() {
    let mesh = shop().await;
    let mut v2 = cart(AppProtocol::Http11);
    v2.key = key("cart-v2");
    v2.addresses.clear();
    let mut new = workload("new", "new", "10.0.0.3");
    new.services.insert(key("cart-v2"), vec![crate::mesh::port(80, 8080, AppProtocol::Unknown)]);
    serve(mesh.endpoint("new", "10.0.0.3").await, Version::HTTP_11, |_: Request<Incoming>| async {
        Response::new(text("new"))
    });
    mesh.set([Change::Service(v2.into()), Change::Workload(new.into())]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    for (old, new, expected) in [(90, 10, 40..160), (1, 0, 0..1), (0, 1, 1000..1001)] {
        mesh.set([route(vec![Rule::new(Action::Forward(vec![
            backend("cart", old),
            backend("cart-v2", new),
        ]))])]);
        let mut news = 0;
        for _ in 0..1000 {
            let heard = hear(client.send_request(get("/")).await.unwrap()).await;
            news += usize::from(heard.text() == "new");
        }
        assert!(expected.contains(&news), "{old}:{new} gave {news} of 1000");
    }
    mesh.set([route(vec![Rule::new(Action::Forward(vec![backend("cart", 0)]))])]);
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 500);
    mesh.counted("istio_requests_total", &["destination_service=\"cart-v2.shop.svc.cluster.local\""]).await;
}

#[tokio::test(start_paused = true)]
async fn filters_change_what_goes_on_and_what_comes_back() {
    let mesh = shop().await;
    let change = |set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]| HeaderChange {
        set: pairs(set),
        add: pairs(add),
        remove: remove.iter().map(|name| (*name).into()).collect(),
    };
    let mut rule = at("/old", forward());
    rule.filters = vec![
        Filter::Request(change(&[("x-set", "1")], &[("x-add", "2")], &["x-remove"])),
        Filter::Response(change(&[("x-answer", "3")], &[], &["echo-x-set"])),
        Filter::Rewrite(Rewrite {
            host: Some("new.example".into()),
            path: Some(PathRewrite::Elements("/new".into())),
        }),
    ];
    mesh.set([route(vec![rule])]);
    let mut asked = get("/old/x?q=1");
    for (name, value) in [("x-set", "0"), ("x-add", "0"), ("x-remove", "0")] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    let heard = request(&mesh, asked).await;
    assert_eq!(heard.text(), "GET /new/x?q=1 HTTP/1.1 ");
    assert_eq!(heard.headers["echo-host"], "new.example");
    assert!(heard.headers.get("echo-x-remove").is_none());
    assert_eq!(heard.headers["x-answer"], "3");
    assert!(heard.headers.get("echo-x-set").is_none());
}

#[tokio::test(start_paused = true)]
async fn redirects_and_answers_of_its_own_reach_no_endpoint() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let redirect = Redirect {
        scheme: Some("https".into()),
        host: Some("shop.example".into()),
        path: None,
        port: RedirectPort::Automatic,
        status: 301,
    };
    mesh.set([route(vec![
        at("/away", Rule::new(Action::Redirect(redirect))),
        at("/teapot", Rule::new(Action::Respond { status: 418, body: "short and stout".into() })),
    ])]);
    let heard = request(&mesh, get("/away?q")).await;
    assert_eq!(
        (heard.status, heard.headers["location"].to_str().unwrap()),
        (301, "https://shop.example/away?q")
    );
    let heard = request(&mesh, get("/teapot")).await;
    assert_eq!((heard.status, heard.text()), (418, "short and stout"));
}

#[tokio::test(start_paused = true)]
async fn faults_happen_on_purpose() {
    let mesh = shop().await;
    let faulty = |delay, abort| {
        let mut rule = forward();
        rule.filters = vec![Filter::Fault(Fault { delay, abort })];
        route(vec![rule])
    };
    mesh.set([faulty(Some((Duration::from_secs(7), Share::ALL)), None)]);
    let start = tokio::time::Instant::now();
    assert_eq!(request(&mesh, get("/")).await.status, 200);
    assert!(start.elapsed() >= Duration::from_secs(7));
    mesh.counted("istio_requests_total", &["response_code=\"200\"", "response_flags=\"DI\""]).await;
    mesh.set([faulty(None, Some((Abort::Http(555), Share::ALL)))]);
    let heard = request(&mesh, get("/")).await;
    assert_eq!((heard.status, heard.text()), (555, "fault filter abort"));
    mesh.counted("istio_requests_total", &["response_code=\"555\"", "response_flags=\"FI\""]).await;
    mesh.set([faulty(None, Some((Abort::Http(555), Share { numerator: 0, denominator: 100 })))]);
    assert_eq!(request(&mesh, get("/")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_is_answered_for_in_time() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, |request: Request<Incoming>| async move {
        if request.uri().path() == "/begun" {
            let (frames, body) = frames();
            tokio::spawn(async move { frames.closed().await });
            return Response::new(body);
        }
        std::future::pending().await
    });
    let timeouts = Timeouts { request: Some(Duration::from_secs(3)), backend_request: None };
    mesh.set([route(vec![Rule { timeouts, ..forward() }])]);
    let start = tokio::time::Instant::now();
    let heard = request(&mesh, get("/")).await;
    assert_eq!((heard.status, heard.text()), (504, "upstream request timeout"));
    assert!((3..5).contains(&start.elapsed().as_secs()));
    mesh.counted("istio_requests_total", &["response_code=\"504\"", "response_flags=\"UT\""]).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let answer = client.send_request(get("/begun")).await.unwrap();
    assert_eq!(answer.status(), 200);
    http_body_util::BodyExt::collect(answer.into_body()).await.expect_err("it is cut");
    mesh.counted("istio_requests_total", &["response_code=\"200\"", "response_flags=\"UT\""]).await;
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_told_when_to_come_back() {
    let mesh = shop().await;
    let limit = RateLimit { burst: 2, fill: 2, interval: Duration::from_secs(3600), per_client: true };
    mesh.set([route(vec![Rule { filters: vec![Filter::RateLimit(limit)], ..forward() }])]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(hear(client.send_request(get("/")).await.unwrap()).await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    let other = mesh.tunnel("admin", "10.0.0.7").await;
    let mut client = client1(ask(&other, CART).await.unwrap()).await;
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
    mesh.counted("istio_requests_total", &["response_code=\"429\"", "response_flags=\"RL\"", "} 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_denied_gets_403_and_reaches_nobody() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let (asked, mut reached) = tokio::sync::mpsc::unbounded_channel();
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, move |request: Request<Incoming>| {
        asked.send(request.uri().path().to_owned()).unwrap();
        async { Response::new(empty()) }
    });
    mesh.set([policy(PolicyAction::Deny, "/admin*")]);
    assert_eq!(request(&mesh, get("/open")).await.status, 200);
    assert_eq!(reached.recv().await.unwrap(), "/open");
    for path in ["/admin", "//admin", "/%61dmin", "/open/../admin/x", "/.//admin"] {
        let heard = request(&mesh, get(path)).await;
        assert_eq!((heard.status, heard.text()), (403, "RBAC: access denied"), "{path}");
    }
    mesh.set([policy(PolicyAction::Allow, "/open")]);
    assert_eq!(request(&mesh, get("/other")).await.status, 403);
    mesh.set([policy(PolicyAction::Custom("nobody".into()), "/open")]);
    assert_eq!(request(&mesh, get("/open")).await.status, 403);
    assert!(reached.try_recv().is_err());
    mesh.counted("istio_requests_total", &["response_code=\"403\"", "response_flags=\"-\""]).await;
}

#[tokio::test(start_paused = true)]
async fn a_grpc_client_is_denied_in_its_own_way() {
    let mesh = Mesh::new(AppProtocol::Grpc).await;
    mesh.set([policy(PolicyAction::Deny, "/shop.Cart/*")]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client2(ask(&tunnel, CART).await.unwrap()).await;
    let request = Request::post("http://cart/shop.Cart/Get").header("content-type", "application/grpc");
    let heard = hear(client.send_request(request.body(empty()).unwrap()).await.unwrap()).await;
    assert_eq!((heard.status, heard.headers["grpc-status"].as_bytes()), (200, &b"7"[..]));
    assert_eq!(heard.headers["grpc-message"], "RBAC: access denied");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_issued_is_401() {
    let mesh = shop().await;
    let rule = JwtRule {
        issuer: "https://issuer.example".into(),
        audiences: Vec::new(),
        keys: Keys::Set("{\"keys\":[]}".into()),
        from_headers: Vec::new(),
        from_params: Vec::new(),
        from_cookies: Vec::new(),
        forward: false,
        payload_header: None,
        claim_headers: Vec::new(),
        space_delimited: Vec::new(),
        leeway: Duration::from_secs(60),
    };
    let authentication = RequestAuthentication {
        key: ObjectKey::new(ObjectKind::RequestAuthentication, "shop", "jwt"),
        targets: vec![to_cart()],
        rules: vec![rule],
        unusable: None,
    };
    mesh.set([Change::L7(Resource::Authentication(authentication).into())]);
    assert_eq!(request(&mesh, get("/")).await.status, 200, "without a token it passes");
    let mut asked = get("/");
    asked.headers_mut().insert("authorization", "Bearer not.a.token".parse().unwrap());
    let heard = request(&mesh, asked).await;
    assert_eq!(heard.status, 401);
    assert!(heard.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer realm="));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_fails_closed() {
    let mesh = shop().await;
    for (name, status) in [
        ("HTTPRoute/shop/x", 500),
        ("AuthorizationPolicy/shop/x", 403),
        ("RequestAuthentication/shop/x", 401),
        ("TomorrowsKind/shop/x", 500),
    ] {
        let reason = "a field of tomorrow".into();
        let unreadable = Unreadable { name: name.into(), targets: vec![to_cart()], reason };
        mesh.set([Change::UnreadableL7(unreadable.into())]);
        assert_eq!(request(&mesh, get("/")).await.status, status, "{name}");
        mesh.set([Change::RemoveL7(name.into())]);
        assert_eq!(request(&mesh, get("/")).await.status, 200, "{name}");
    }
    let mut rule = forward();
    rule.invalid = Some("a filter of somebody else's".into());
    mesh.set([route(vec![rule])]);
    assert_eq!(request(&mesh, get("/")).await.status, 500);
    let mut nowhere = forward();
    nowhere.action =
        Action::Forward(vec![Backend { invalid: Some("not permitted".into()), ..backend("cart", 1) }]);
    mesh.set([route(vec![nowhere])]);
    assert_eq!(request(&mesh, get("/")).await.status, 500);
    mesh.set([route(vec![Rule::new(Action::Forward(vec![backend("gone", 1)]))])]);
    assert_eq!(request(&mesh, get("/")).await.status, 503);
    let mut subset = backend("cart", 1);
    subset.to.subset = Some("v9".into());
    mesh.set([route(vec![Rule::new(Action::Forward(vec![subset]))])]);
    assert_eq!(request(&mesh, get("/")).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_change_reaches_the_next_request_of_an_open_connection() {
    let mesh = shop().await;
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
    mesh.set([policy(PolicyAction::Deny, "*")]);
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 403);
    mesh.set([Change::RemoveL7("AuthorizationPolicy/shop/p".into())]);
    assert_eq!(hear(client.send_request(get("/")).await.unwrap()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn two_readings_of_one_request_are_none() {
    let mesh = shop().await;
    let tunnel = mesh.tunnel("web", WEB).await;
    for (head, status) in [
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400"),
        ("GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET /%00 HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
        ("get / HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", "400"),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", "400"),
    ] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = ask(&tunnel, CART).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), format!("HTTP/1.1 {status}"), "{head:?}");
    }
}

/// An application that answers its first requests so, and then well; the bodies that it was sent.
fn failing(
    mesh_streams: tokio::sync::mpsc::UnboundedReceiver<(ambit_hbone::Stream, u16)>,
    failures: Vec<u16>,
) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (said, heard) = tokio::sync::mpsc::unbounded_channel();
    let failures = std::sync::Arc::new(parking_lot::Mutex::new(failures));
    serve(mesh_streams, Version::HTTP_11, move |request: Request<Incoming>| {
        let (said, failures) = (said.clone(), failures.clone());
        async move {
            let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
            said.send(String::from_utf8_lossy(&body).into_owned()).unwrap();
            let status = failures.lock().pop().unwrap_or(200);
            Response::builder().status(status).body(text("answer")).unwrap()
        }
    });
    heard
}

fn retrying(attempts: u32) -> Change {
    let retry = ambit_model::l7::route::Retry {
        attempts,
        on: vec![ambit_model::l7::route::RetryCondition::GatewayError],
        codes: Vec::new(),
        backoff: None,
        avoid_previous: true,
    };
    route(vec![Rule { retry: Some(retry), ..forward() }])
}

#[tokio::test(start_paused = true)]
async fn a_failed_try_is_repeated_with_the_same_body() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut heard = failing(mesh.endpoint("cart", CART_1).await, vec![503, 502]);
    mesh.set([retrying(2)]);
    let answered = request(&mesh, crate::post("/", text("an order"))).await;
    assert_eq!((answered.status, answered.text()), (200, "answer"));
    for _ in 0..3 {
        assert_eq!(heard.recv().await.unwrap(), "an order");
    }
    mesh.counted("istio_requests_total", &["response_code=\"200\"", "response_flags=\"-\"", "} 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn after_the_last_try_its_answer_is_given() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut heard = failing(mesh.endpoint("cart", CART_1).await, vec![503; 9]);
    mesh.set([retrying(2)]);
    assert_eq!(request(&mesh, get("/")).await.status, 503);
    for _ in 0..3 {
        heard.recv().await.unwrap();
    }
    assert!(heard.try_recv().is_err());
    mesh.counted("istio_requests_total", &["response_code=\"503\"", "response_flags=\"URX\""]).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_to_keep_is_sent_once() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut heard = failing(mesh.endpoint("cart", CART_1).await, vec![503; 9]);
    mesh.set([retrying(2)]);
    assert_eq!(request(&mesh, crate::post("/", text(&"x".repeat(64 * 1024 + 1)))).await.status, 503);
    assert_eq!(heard.recv().await.unwrap().len(), 64 * 1024 + 1);
    assert!(heard.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_order_is_not_sent_twice_by_default_and_a_question_is() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut heard = failing(mesh.endpoint("cart", CART_1).await, vec![503]);
    assert_eq!(request(&mesh, crate::post("/", text("an order"))).await.status, 503);
    heard.recv().await.unwrap();
    assert!(heard.try_recv().is_err());
    let mesh = Mesh::new(AppProtocol::Http11).await;
    let mut heard = failing(mesh.endpoint("cart", CART_1).await, vec![503]);
    assert_eq!(request(&mesh, get("/")).await.status, 200);
    heard.recv().await.unwrap();
    heard.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_cannot_be_reached_is_gone_around() {
    let mesh = Mesh::new(AppProtocol::Http11).await;
    serve(mesh.endpoint("cart", CART_1).await, Version::HTTP_11, echo);
    mesh.set([Change::Workload(mesh.cart_endpoint("dead", "10.0.0.3").into())]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    for number in 0..40 {
        let heard = hear(client.send_request(get("/")).await.unwrap()).await;
        assert_eq!(heard.status, 200, "request {number}");
    }
}
