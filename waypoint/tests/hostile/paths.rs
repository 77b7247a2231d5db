//! A16: every way of writing a path that proxies have disagreed about. `paths.txt` says what each is; the canonical form,
//! authorization, routes and the application must say the same.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, Method, Request as Message, Uri, Version};
use ambit_model::Change;
use ambit_model::l7::matching::PathMatch;
use ambit_model::l7::mesh::Normalization;
use ambit_model::l7::policy::{Operation, PolicyAction, PolicyRule, RequestPolicy};
use ambit_model::l7::route::{Action, Backend, BackendRef, Layer, Match, Order, Parent, Route, Rule};
use ambit_model::l7::{ObjectKey, ObjectKind, Resource, Target};
use ambit_model::service::AppProtocol;
use ambit_policy::request::{Client, Destination, Raw, Request, Scheme};

use crate::frames::{END_HEADERS, END_STREAM, HEADERS, OK, PREFACE, Told, block, frame, get, told};
use crate::mesh::{ask, key};
use crate::shop::{CART, Shop, WEB, status};

/// What is sent, and what it is; `None` is 400.
struct Row {
    sent: Vec<u8>,
    is: Option<String>,
}

fn table() -> Vec<Row> {
    let lines = include_str!("paths.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    let row = |line: &str| {
        let (sent, is) = line.split_once(" -> ").unwrap_or_else(|| panic!("{line:?} is no row"));
        let is = (is != "400").then(|| String::from_utf8(octets(is)).unwrap());
        Row { sent: octets(sent), is }
    };
    lines.map(row).collect()
}

/// The octets of a field of the table.
fn octets(field: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = field;
    while let Some(letter) = rest.chars().next() {
        let (octet, length) = match rest.strip_prefix('\\') {
            Some(after) if after.starts_with('x') => (u8::from_str_radix(&after[1..3], 16).unwrap(), 4),
            Some(_) => (b'\\', 2),
            None => {
                octets.extend_from_slice(letter.to_string().as_bytes());
                rest = &rest[letter.len_utf8()..];
                continue;
            }
        };
        octets.push(octet);
        rest = &rest[length..];
    }
    octets
}

/// The path of a target.
fn path(target: &str) -> &str {
    target.split('?').next().unwrap()
}

#[test]
fn the_table_is_large_and_has_no_row_twice() {
    let table = table();
    assert!(table.len() >= 300, "{}", table.len());
    let mut sent: Vec<&[u8]> = table.iter().map(|row| &row.sent[..]).collect();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!(sent.len(), table.len());
}

#[test]
fn a16_the_canonical_form_of_every_row() {
    for Row { sent, is } in table() {
        let canonical = Uri::from_maybe_shared(bytes::Bytes::from(sent.clone())).ok().and_then(|uri| {
            let headers = HeaderMap::from_iter([(::http::header::HOST, HeaderValue::from_static("cart"))]);
            let raw = Raw {
                method: Method::GET,
                uri: &uri,
                version: Version::HTTP_11,
                headers,
                scheme: Scheme::Http,
            };
            let client = Arc::new(Client::plaintext([10, 0, 0, 1].into()));
            let destination = Destination { ip: None, port: 80, gateway: None, server_name: None };
            Request::new(raw, Normalization::MergeSlashes, client, destination.into()).ok()
        });
        let canonical = canonical.map(|request| match request.query() {
            Some(query) => format!("{}?{query}", request.path()),
            None => request.path().to_owned(),
        });
        assert_eq!(canonical, is, "{}", sent.escape_ascii());
    }
}

/// A route that takes this path alone to the cart.
fn route(path: &str) -> Change {
    let each = Match { path: Some(PathMatch::Exact(path.into())), ..Match::default() };
    let to = BackendRef { service: key("cart"), port: 80, subset: None };
    let backend = Backend { to, weight: 1, filters: Vec::new(), invalid: None };
    let route = Route {
        key: ObjectKey::new(ObjectKind::HTTPRoute, "shop", "cart"),
        created: 1,
        parents: vec![Parent { target: Target::Service(key("cart")), port: None, section: None }],
        hostnames: Vec::new(),
        layer: Layer::Http,
        order: Order::Specificity,
        consumer: false,
        rules: vec![Rule { matches: vec![each], ..Rule::new(Action::Forward(vec![backend])) }],
    };
    Change::L7(Resource::Route(route).into())
}

/// A policy that denies this path alone.
fn deny(path: &str) -> Change {
    let mut operation = Operation::default();
    // An expression: `*` in a path of a policy is no literal.
    operation.paths.any = vec![path.into()];
    let policy = RequestPolicy {
        key: ObjectKey::new(ObjectKind::AuthorizationPolicy, "shop", "p"),
        action: PolicyAction::Deny,
        dry_run: false,
        targets: vec![Target::Service(key("cart"))],
        rules: vec![PolicyRule { to: vec![operation], ..PolicyRule::default() }],
        unusable: None,
    };
    Change::L7(Resource::Policy(policy).into())
}

/// Through a live waypoint: the route for the canonical path takes the request, the application sees that very target,
/// and the policy that denies the canonical path denies it.
#[tokio::test(start_paused = true)]
async fn a16_authorization_routes_and_the_application_see_one_path() {
    let shop = Shop::open().await;
    let mut reached = 0;
    for Row { sent, is } in table() {
        let name = sent.escape_ascii().to_string();
        let line = [b"GET ", &sent[..], b" HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n"].concat();
        let Some(is) = is else {
            let told = shop.told(&line).await;
            assert_eq!(status(&told), "400", "{name}: {told}");
            continue;
        };
        shop.mesh.set([route(path(&is))]);
        let told = shop.told(&line).await;
        assert!(told.starts_with("HTTP/1.1 200 "), "{name}: {told}");
        assert!(told.ends_with(&format!("served {is}")), "{name}: {told}");
        reached += 1;
        assert_eq!(shop.reached(), reached, "{name}");
        shop.mesh.set([deny(path(&is))]);
        let told = shop.told(&line).await;
        assert_eq!(status(&told), "403", "{name}: {told}");
        shop.mesh.set([Change::RemoveL7("AuthorizationPolicy/shop/p".into())]);
    }
    assert_eq!(shop.reached(), reached, "what is refused or denied reaches nobody");
}

/// The same rows as `:path` of HTTP/2.
#[tokio::test(start_paused = true)]
async fn a16_http2_says_the_same() {
    let shop = Shop::open().await;
    let mut reached = 0;
    for Row { sent, is } in table() {
        let Ok(text) = std::str::from_utf8(&sent) else { continue };
        if let Some(is) = &is {
            shop.mesh.set([route(path(is))]);
        }
        let mut connection = ask(&shop.tunnel, CART).await.unwrap();
        let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&get(text)));
        tokio::io::AsyncWriteExt::write_all(&mut connection, &[PREFACE, &request].concat()).await.unwrap();
        let told = told(&mut connection, 1).await;
        reached += usize::from(is.is_some());
        assert_eq!(told == Told::Answered(OK), is.is_some(), "{text:?}: {told:?}");
        assert_eq!(shop.reached(), reached, "{text:?}");
    }
}

/// What HTTP/1 calls absolute form has the same path.
#[tokio::test(start_paused = true)]
async fn a16_absolute_form_says_the_same() {
    let (mesh, mut streams) = crate::shop::raw(AppProtocol::Http11).await;
    let tunnel = mesh.tunnel("web", WEB).await;
    for (sent, is) in
        [("http://cart/a/../b", "/b"), ("http://cart//b/%61", "/b/a"), ("http://CART./b?c", "/b?c")]
    {
        let mut client = crate::http::client1(ask(&tunnel, CART).await.unwrap()).await;
        let request = Message::get(sent).header("host", "cart").body(crate::http::empty()).unwrap();
        tokio::spawn(async move { client.send_request(request).await });
        let (mut application, _) = streams.recv().await.unwrap();
        let head = crate::shop::head(&mut application).await;
        assert!(
            head.starts_with(&format!("GET {is} HTTP/1.1\r\n")) && head.contains("host: cart\r\n"),
            "{head}"
        );
    }
}
