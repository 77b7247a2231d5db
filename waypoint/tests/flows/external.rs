//! External services that decide about requests, over gRPC and HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Request, Response, Version};
use ambit_model::Change;
use ambit_model::l7::Resource;
use ambit_model::l7::mesh::{ExternalAuthorization, MeshConfig, Provider, ProviderKind};
use ambit_model::l7::policy::PolicyAction;
use ambit_model::service::AppProtocol;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::http::{Body, Heard, client1, frames, hear, serve, text};
use crate::mesh::{Mesh, ask, cart, key, workload};
use crate::rules::{policy, shop};
use crate::{CART, WEB, get, post};

const ASKED: &str = "10.0.0.3";

fn common() -> ExternalAuthorization {
    ExternalAuthorization {
        timeout: Duration::from_secs(600),
        fail_open: false,
        status_on_error: 403,
        body: None,
    }
}

fn over_http(common: ExternalAuthorization) -> ProviderKind {
    ProviderKind::AuthorizeHttp {
        common,
        path_prefix: "/check".into(),
        include_request_headers: vec!["x-user".into(), "x-ask-*".into()],
        additional_headers: vec![("x-from".into(), "waypoint".into())],
        to_upstream_on_allow: vec!["x-role".into()],
        to_downstream_on_deny: vec!["x-why".into()],
        to_downstream_on_allow: vec!["x-limit".into()],
    }
}

/// The mesh's configuration with the provider `asked`.
fn provided(kind: ProviderKind) -> Change {
    let provider = Provider { name: "asked".into(), service: key("asked").hostname, port: 80, kind };
    let mesh = MeshConfig { providers: vec![provider], ..MeshConfig::default() };
    Change::L7(Resource::Mesh(mesh).into())
}

/// The cart, whose `/a` needs the word of the service `asked`, which answers by `says`.
async fn guarded<F, Fut>(kind: ProviderKind, version: Version, says: F) -> Mesh
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let mesh = shop().await;
    let mut service = cart(AppProtocol::Http11);
    service.key = key("asked");
    service.addresses.clear();
    serve(mesh.endpoint("asked", ASKED).await, version, says);
    let mut endpoint = workload("asked", "asked", ASKED);
    endpoint.services.insert(key("asked"), vec![crate::mesh::port(80, 8080, AppProtocol::Unknown)]);
    mesh.set([Change::Service(service.into()), Change::Workload(endpoint.into()), provided(kind)]);
    mesh.set([policy(PolicyAction::Custom("asked".into()), "/a")]);
    mesh
}

async fn request(mesh: &Mesh, request: Request<Body>) -> Heard {
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    hear(client.send_request(request).await.unwrap()).await
}

fn with(mut request: Request<Body>, headers: &[(&'static str, &'static str)]) -> Request<Body> {
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    request
}

#[tokio::test(start_paused = true)]
async fn over_http_200_allows_and_lists_say_which_headers_go_where() {
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let mesh = guarded(over_http(common()), Version::HTTP_11, move |request: Request<Incoming>| {
        let heard = heard.clone();
        async move {
            let target = request.uri().path_and_query().unwrap().to_string();
            let allowed = request.headers().get("x-user").is_some_and(|user| user == "ann");
            heard.send((target, request.headers().clone())).unwrap();
            let mut response = Response::new(text("go away"));
            *response.status_mut() = if allowed { 200 } else { 401 }.try_into().unwrap();
            for name in ["x-role", "x-why", "x-limit", "x-other", "www-authenticate"] {
                response.headers_mut().insert(name, HeaderValue::from_static("told"));
            }
            response
        }
    })
    .await;
    let ann =
        with(get("/a?q"), &[("x-user", "ann"), ("x-ask-a", "1"), ("x-secret", "2"), ("x-role", "admin")]);
    let allowed = request(&mesh, ann).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.headers["echo-x-role"], "told", "what the client said of itself is replaced");
    assert!(!allowed.headers.contains_key("echo-x-other"));
    assert_eq!(allowed.headers["x-limit"], "told");
    let (target, asked) = hearing.recv().await.unwrap();
    assert_eq!((&*target, &asked["host"]), ("/check/a?q", &HeaderValue::from_static("cart")));
    assert_eq!((&asked["x-ask-a"], &asked["x-from"]), (&"1".parse().unwrap(), &"waypoint".parse().unwrap()));
    assert!(!asked.contains_key("x-secret"));
    let denied = request(&mesh, with(get("/a"), &[("x-user", "bob")])).await;
    assert_eq!((denied.status, denied.text()), (401, "go away"));
    assert!(denied.headers.contains_key("x-why") && denied.headers.contains_key("www-authenticate"));
    assert!(!denied.headers.contains_key("x-other"));
    mesh.counted("istio_requests_total", &["response_code=\"401\"", "response_flags=\"UAEX\""]).await;
    hearing.recv().await.unwrap();
    // What no policy asks about nobody is asked about.
    assert_eq!(request(&mesh, get("/b")).await.status, 200);
    assert!(hearing.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_has_not_allowed_unless_the_mesh_says_so() {
    let mesh = guarded(over_http(common()), Version::HTTP_11, |request: Request<Incoming>| async move {
        if request.headers().contains_key("x-user") {
            std::future::pending::<()>().await;
        }
        let mut response = Response::new(text(""));
        *response.status_mut() = 500.try_into().unwrap();
        response
    })
    .await;
    assert_eq!(request(&mesh, get("/a")).await.status, 403);
    mesh.counted("istio_requests_total", &["response_code=\"403\"", "response_flags=\"UAEX\""]).await;
    let quick =
        || ExternalAuthorization { timeout: Duration::from_secs(2), status_on_error: 503, ..common() };
    mesh.set([provided(over_http(quick()))]);
    assert_eq!(request(&mesh, with(get("/a"), &[("x-user", "ann")])).await.status, 503);
    mesh.set([provided(over_http(ExternalAuthorization { fail_open: true, ..quick() }))]);
    assert_eq!(request(&mesh, with(get("/a"), &[("x-user", "ann")])).await.status, 200);
    assert_eq!(request(&mesh, get("/a")).await.status, 200);
    // A provider that is not configured is nobody's permission.
    mesh.set([Change::L7(Resource::Mesh(MeshConfig::default()).into())]);
    assert_eq!(request(&mesh, get("/a")).await.status, 403);
    mesh.set([provided(ProviderKind::Spans { http_path: None })]);
    assert_eq!(request(&mesh, get("/a")).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn the_body_is_told_as_far_as_it_may_be_and_goes_on_whole() {
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let partly = |most, partly| over_http(ExternalAuthorization { body: Some((most, partly)), ..common() });
    let mesh = guarded(partly(4, true), Version::HTTP_11, move |request: Request<Incoming>| {
        let heard = heard.clone();
        async move {
            let partial = request.headers()["x-envoy-auth-partial-body"].to_str().unwrap().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            heard.send((body, partial)).unwrap();
            Response::new(text(""))
        }
    })
    .await;
    for (said, told, partial) in
        [("two", "two", "false"), ("four", "four", "false"), ("five!", "five", "true")]
    {
        let heard = request(&mesh, post("/a", text(said))).await;
        assert_eq!(heard.text(), format!("POST /a HTTP/1.1 {said}"));
        assert_eq!(hearing.recv().await.unwrap(), (Bytes::from_static(told.as_bytes()), partial.to_owned()));
    }
    mesh.set([provided(partly(4, false))]);
    assert_eq!(request(&mesh, post("/a", text("five!"))).await.status, 413);
    assert!(hearing.try_recv().is_err());
    // A body that does not end is told as far as it goes, and then goes on as it comes.
    mesh.set([provided(partly(4, true))]);
    let tunnel = mesh.tunnel("web", WEB).await;
    let mut client = client1(ask(&tunnel, CART).await.unwrap()).await;
    let (sender, body) = frames();
    let sending =
        tokio::spawn(async move { hear(client.send_request(post("/a", body)).await.unwrap()).await });
    sender.send(Frame::data(Bytes::from_static(b"first "))).await.unwrap();
    assert_eq!(hearing.recv().await.unwrap().1, "true");
    sender.send(Frame::data(Bytes::from_static(b"second"))).await.unwrap();
    drop(sender);
    assert_eq!(sending.await.unwrap().text(), "POST /a HTTP/1.1 first second");
}

/// A gRPC answer of these bytes, with this status.
fn grpc(message: &[u8], status: &'static str) -> Response<Body> {
    let (sender, body) = frames();
    let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
    tokio::spawn(async move {
        sender.send(Frame::data(framed.into())).await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(status));
        sender.send(Frame::trailers(trailers)).await.unwrap();
    });
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A field of a message: its number, and bytes with their length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
}

#[tokio::test(start_paused = true)]
async fn over_grpc_the_answer_says_it_all() {
    let says = Arc::new(parking_lot::Mutex::new((Vec::new(), "0")));
    let (answers, (heard, mut hearing)) = (says.clone(), mpsc::unbounded_channel());
    let mesh =
        guarded(ProviderKind::AuthorizeGrpc(common()), Version::HTTP_2, move |request: Request<Incoming>| {
            let (answers, heard) = (answers.clone(), heard.clone());
            async move {
                assert_eq!(request.uri().path(), "/envoy.service.auth.v3.Authorization/Check");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                heard.send(String::from_utf8_lossy(&body).into_owned()).unwrap();
                let (message, status) = answers.lock().clone();
                grpc(&message, status)
            }
        })
        .await;
    // Nothing said is OK.
    assert_eq!(request(&mesh, get("/a")).await.status, 200);
    let asked = hearing.recv().await.unwrap();
    for part in ["spiffe://cluster.local/ns/shop/sa/web", "/a", "GET", "cart", "10.0.0.1"] {
        assert!(asked.contains(part), "{part} in {asked:?}");
    }
    let header =
        |name: &str, value: &str| field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat());
    let ok =
        [field(2, &header("x-role", "reader")), field(5, b"x-secret"), field(6, &header("x-limit", "9"))];
    *says.lock() = (field(3, &ok.concat()), "0");
    let heard = request(&mesh, with(get("/a"), &[("x-secret", "1"), ("x-role", "admin")])).await;
    assert_eq!((heard.status, &heard.headers["echo-x-role"]), (200, &HeaderValue::from_static("reader")));
    assert!(!heard.headers.contains_key("echo-x-secret"));
    assert_eq!(heard.headers["x-limit"], "9");
    let denied = [field(1, &[8, 16]), field(2, &[field(1, &[8, 0x91, 3]), field(3, b"no")].concat())];
    *says.lock() = (denied.concat(), "0");
    let heard = request(&mesh, get("/a")).await;
    assert_eq!((heard.status, heard.text()), (401, "no"));
    for (message, status) in [
        (denied[0].clone(), "0"),
        (Vec::new(), "14"),
        (b"nonsense".to_vec(), "0"),
        (field(3, &field(2, &header("a b", "1"))), "0"),
    ] {
        *says.lock() = (message.clone(), status);
        assert_eq!(request(&mesh, get("/a")).await.status, 403, "{message:?} {status}");
    }
    // What is not understood is no permission, whoever would be let through without an answer.
    mesh.set([provided(ProviderKind::AuthorizeGrpc(ExternalAuthorization { fail_open: true, ..common() }))]);
    *says.lock() = (b"nonsense".to_vec(), "0");
    assert_eq!(request(&mesh, get("/a")).await.status, 403);
    *says.lock() = (Vec::new(), "14");
    assert_eq!(request(&mesh, get("/a")).await.status, 200);
}
