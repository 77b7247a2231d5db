//! Route tables: the traps one by one, and every table against the plain reading of the rules.

mod property;

use std::sync::Arc;

use ambit_model::l7::matching::{FieldMatch, PathMatch, ValueMatch};
use ambit_model::l7::route::{Action, Layer, Match, Order, Parent, Route, Rule};
use ambit_model::l7::{ObjectKey, ObjectKind, Target, Unreadable};
use ambit_model::service::ServiceKey;

use super::{Outcome, Place, RouteTable};
use crate::request::expression::Patterns;
use crate::request::sample::{client, get, parsed};
use crate::request::{Client, Request};

pub(super) fn key() -> ServiceKey {
    ServiceKey::new("shop", "cart.shop.svc.cluster.local")
}

/// A route on the service, with a rule for each list of matches.
pub(super) fn route(name: &str, layer: Layer, order: Order, rules: &[&[Match]]) -> Route {
    let kind = match (order, layer) {
        (Order::Listed, _) => ObjectKind::VirtualService,
        (_, Layer::Grpc) => ObjectKind::GRPCRoute,
        _ => ObjectKind::HTTPRoute,
    };
    let rules = rules.iter().enumerate().map(|(at, matches)| Rule {
        name: Some(format!("{name}-{at}").into()),
        matches: matches.to_vec(),
        ..Rule::new(Action::Forward(Vec::new()))
    });
    Route {
        key: ObjectKey::new(kind, "shop", name),
        created: 0,
        parents: vec![Parent { target: Target::Service(key()), port: None, section: None }],
        hostnames: Vec::new(),
        layer,
        order,
        consumer: false,
        rules: rules.collect(),
    }
}

fn http(name: &str, rules: &[&[Match]]) -> Route {
    route(name, Layer::Http, Order::Specificity, rules)
}

fn listed(name: &str, rules: &[&[Match]]) -> Route {
    route(name, Layer::Http, Order::Listed, rules)
}

pub(super) fn elements(path: &str) -> Match {
    Match { path: Some(PathMatch::Elements(path.into())), ..Match::default() }
}

pub(super) fn exact(path: &str) -> Match {
    Match { path: Some(PathMatch::Exact(path.into())), ..Match::default() }
}

pub(super) fn letters(path: &str) -> Match {
    Match { path: Some(PathMatch::Prefix(path.into())), ..Match::default() }
}

pub(super) fn expression(path: &str) -> Match {
    Match { path: Some(PathMatch::Regex(path.into())), ..Match::default() }
}

pub(super) fn field(name: &str, value: &str) -> FieldMatch {
    FieldMatch { name: name.into(), value: ValueMatch::Exact(value.into()) }
}

pub(super) fn table(place: &Place, routes: impl IntoIterator<Item = Route>) -> RouteTable {
    let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
    RouteTable::compile(place, &routes, [], &mut Patterns::default())
}

pub(super) fn service(routes: impl IntoIterator<Item = Route>) -> RouteTable {
    table(&Place::service(&key(), 80), routes)
}

/// `route/rule` and the bytes of the path that were taken, or what there is instead.
pub(super) fn answer(table: &RouteTable, request: &Request) -> String {
    match table.route(request) {
        Outcome::NoRoutes => "no routes".to_owned(),
        Outcome::NoMatch => "404".to_owned(),
        Outcome::Unreadable(reason) => format!("500 {reason}"),
        Outcome::Rule { rule, taken } => {
            let invalid = if rule.invalid().is_some() { " invalid" } else { "" };
            format!("{} {taken}{invalid}", rule.rule().name.as_deref().unwrap_or_default())
        }
    }
}

fn paths(table: &RouteTable, expected: &[(&str, &str)]) {
    for (target, expected) in expected {
        assert_eq!(answer(table, &get(target, &[])), *expected, "{target}");
    }
}

fn with_client(mut request: Request, client: Client) -> Request {
    request.client = Arc::new(client);
    request
}

#[test]
fn without_routes_the_service_answers_and_without_a_match_nobody() {
    paths(&service([]), &[("/", "no routes")]);
    paths(&service([http("a", &[&[exact("/a")]])]), &[("/a", "a-0 2"), ("/b", "404")]);
    paths(&service([http("a", &[])]), &[("/a", "404")]);
    paths(&service([http("a", &[&[]])]), &[("/a", "a-0 0")]);
}

#[test]
fn prefixes_are_elements_or_letters() {
    let gateway =
        [("/v2", "a-0 3"), ("/v2/", "a-0 3"), ("/v2/x", "a-0 3"), ("/v2example", "404"), ("/v", "404")];
    paths(&service([http("a", &[&[elements("/v2")]])]), &gateway);
    paths(&service([http("a", &[&[elements("/v2/")]])]), &gateway);
    paths(&service([http("a", &[&[elements("/")]])]), &[("/", "a-0 0"), ("/x", "a-0 0")]);
    let istio = [("/v2", "a-0 3"), ("/v2x", "a-0 3"), ("/v2/x", "a-0 3"), ("/V2", "404")];
    paths(&service([listed("a", &[&[letters("/v2")]])]), &istio);
    let any_case = Match { ignore_path_case: true, ..letters("/V2") };
    paths(&service([listed("a", &[&[any_case]])]), &[("/v2x", "a-0 3"), ("/V2", "a-0 3"), ("/v", "404")]);
}

/// The order that the Gateway API asks for, one step after the other; each rule stands where the plain order is wrong.
#[test]
fn the_most_specific_match_over_all_routes_counts() {
    let method = Match { method: Some(ValueMatch::Exact("GET".into())), ..elements("/a") };
    let header = Match { headers: vec![field("x-a", "1")], ..elements("/a") };
    let headers = Match { headers: vec![field("x-a", "1"), field("x-b", "1")], ..elements("/a") };
    let query = Match { query: vec![field("q", "1")], ..elements("/a") };
    let first = http("first", &[&[expression("/.*")], &[elements("/a")], &[query], &[header]]);
    let second = http("second", &[&[method], &[headers], &[elements("/a/b")], &[exact("/a/b")]]);
    let table = service([first, second]);
    let ask = |method, target: &str, lines: &[(&str, &str)]| {
        let lines = [&[("host", "a")], lines].concat();
        answer(&table, &parsed(method, target, &lines).unwrap())
    };
    assert_eq!(ask("GET", "/a/b", &[]), "second-3 4");
    assert_eq!(ask("GET", "/a/b/c", &[]), "second-2 4");
    assert_eq!(ask("GET", "/a/c?q=1", &[("x-a", "1"), ("x-b", "1")]), "second-0 2");
    assert_eq!(ask("PUT", "/a/c?q=1", &[("x-a", "1"), ("x-b", "1")]), "second-1 2");
    assert_eq!(ask("PUT", "/a/c?q=1", &[("x-a", "1")]), "first-3 2");
    assert_eq!(ask("PUT", "/a/c?q=1", &[]), "first-2 2");
    assert_eq!(ask("PUT", "/a/c", &[]), "first-1 2");
    assert_eq!(ask("PUT", "/c", &[]), "first-0 2");
}

#[test]
fn among_equals_the_oldest_then_the_first_by_name_then_by_place() {
    let dated = |name, created| Route { created, ..http(name, &[&[elements("/a")], &[elements("/a")]]) };
    paths(&service([dated("b", 20), dated("c", 10)]), &[("/a", "c-0 2")]);
    paths(&service([dated("b", 10), dated("a", 10)]), &[("/a", "a-0 2")]);
    paths(&service([dated("b", 10), dated("a", 0)]), &[("/a", "a-0 2")]);
    // `a-b/x` goes before `a/x`, because `-` goes before `/`.
    let in_namespace = |namespace: &str, name| {
        let mut route = http(name, &[&[elements("/a")]]);
        route.key.namespace = namespace.into();
        route
    };
    paths(&service([in_namespace("a", "one"), in_namespace("a-b", "two")]), &[("/a", "two-0 2")]);
}

#[test]
fn a_virtual_service_is_read_from_the_top() {
    let table = service([listed("a", &[&[letters("/a")], &[exact("/a/b")], &[]])]);
    paths(&table, &[("/a/b", "a-0 2"), ("/c", "a-2 0")]);
    let older = |name, created| Route { created, ..listed(name, &[&[letters("/a")]]) };
    paths(&service([older("new", 2), older("old", 1)]), &[("/a", "old-0 2")]);
}

#[test]
fn gateway_routes_go_before_virtual_services_and_grpc_before_http() {
    let table = service([listed("vs", &[&[]]), http("http", &[&[exact("/a")]])]);
    paths(&table, &[("/a", "http-0 2"), ("/b", "404")]);
    let call = PathMatch::Grpc { service: Some(ValueMatch::Exact("a.B".into())), method: None };
    let grpc =
        route("grpc", Layer::Grpc, Order::Specificity, &[&[Match { path: Some(call), ..Match::default() }]]);
    let table = service([http("http", &[&[exact("/a.B/c")], &[]]), grpc]);
    paths(&table, &[("/a.B/c", "grpc-0 4"), ("/a.Bc/d", "http-1 0")]);
}

#[test]
fn grpc_calls_by_service_and_method() {
    let call = |service: Option<&str>, method: Option<&str>, regex: bool| {
        let value = |text: &str| match regex {
            true => ValueMatch::Regex(text.into()),
            false => ValueMatch::Exact(text.into()),
        };
        Match {
            path: Some(PathMatch::Grpc { service: service.map(value), method: method.map(value) }),
            ..Match::default()
        }
    };
    let grpc = route(
        "g",
        Layer::Grpc,
        Order::Specificity,
        &[
            &[call(None, Some("Get"), false)],
            &[call(Some("a.Cart"), None, false)],
            &[call(Some("a.Cart"), Some("Get"), false)],
            &[call(Some("a\\..*"), None, true)],
        ],
    );
    let table = service([grpc]);
    paths(
        &table,
        &[
            ("/a.Cart/Get", "g-2 11"),
            ("/a.Cart/Put", "g-1 7"),
            ("/b.Cart/Get", "g-0 11"),
            ("/a.Other/Get", "g-3 12"),
            ("/b.Cart/Put", "404"),
            ("/a/b/c", "404"),
        ],
    );
}

#[test]
fn consumer_routes_are_for_their_own_namespace_alone() {
    let consumer = |namespace: &str| {
        let mut route = Route { consumer: true, ..http(namespace, &[&[exact("/a")]]) };
        route.key.namespace = namespace.into();
        route
    };
    let table = service([http("producer", &[&[]]), consumer("web")]);
    let ask = |target, client| answer(&table, &with_client(get(target, &[]), client));
    assert_eq!(ask("/a", client("web")), "web-0 2");
    assert_eq!(ask("/b", client("web")), "404", "consumer routes do not go on to producer routes");
    assert_eq!(ask("/a", client("shop")), "producer-0 0");
    assert_eq!(ask("/a", Client::plaintext([10, 0, 0, 1].into())), "producer-0 0");
    let foreign = Client { foreign: true, ..client("web") };
    assert_eq!(ask("/a", foreign), "producer-0 0", "a namespace of another trust domain is another");
    let alone = service([consumer("web")]);
    assert_eq!(answer(&alone, &get("/a", &[])), "no routes");
}

#[test]
fn parents_name_ports_and_listeners() {
    let on_port = |port| {
        let mut route = http("a", &[&[]]);
        route.parents[0].port = port;
        route
    };
    paths(&service([on_port(Some(80))]), &[("/", "a-0 0")]);
    paths(&service([on_port(Some(8080))]), &[("/", "no routes")]);
    paths(&service([on_port(None)]), &[("/", "a-0 0")]);
    let listener = Place::listener(&"infra".into(), &"gw".into(), &"web".into(), 80);
    let on_listener = |section: Option<&str>| {
        let target = Target::Gateway { namespace: "infra".into(), name: "gw".into() };
        let parent = Parent { target, port: None, section: section.map(Into::into) };
        Route { parents: vec![parent], ..http("a", &[&[]]) }
    };
    paths(&table(&listener, [on_listener(Some("web"))]), &[("/", "a-0 0")]);
    paths(&table(&listener, [on_listener(Some("admin"))]), &[("/", "no routes")]);
    paths(&table(&listener, [on_listener(None)]), &[("/", "a-0 0")]);
    paths(&service([on_listener(None)]), &[("/", "no routes")]);
}

#[test]
fn hostnames_count_at_gateways_only() {
    let named = |name, hosts: &[&str]| {
        let target = Target::Gateway { namespace: "infra".into(), name: "gw".into() };
        let hostnames = hosts.iter().map(|host| (*host).into()).collect();
        Route { parents: vec![Parent { target, port: None, section: None }], hostnames, ..http(name, &[&[]]) }
    };
    let listener = Place::listener(&"infra".into(), &"gw".into(), &"web".into(), 80);
    let routes =
        [named("exact", &["a.b.com"]), named("wide", &["*.com"]), named("narrow", &["*.b.com", "x.org"])];
    let gateway = table(&listener, routes);
    for (host, expected) in [
        ("a.b.com", "exact-0 0"),
        ("A.b.com.:80", "exact-0 0"),
        ("c.b.com", "narrow-0 0"),
        ("d.c.b.com", "narrow-0 0"),
        ("b.com", "wide-0 0"),
        ("com", "404"),
        ("x.org", "narrow-0 0"),
        ("y.x.org", "404"),
    ] {
        assert_eq!(answer(&gateway, &parsed("GET", "/", &[("host", host)]).unwrap()), expected, "{host}");
    }
    let mut mesh = named("mesh", &["other.com"]);
    mesh.parents = vec![Parent { target: Target::Service(key()), port: None, section: None }];
    paths(&service([mesh]), &[("/", "mesh-0 0")]);
}

/// A match, the headers of a request, and whether it holds.
type Case<'a> = (Match, &'a [(&'a str, &'a str)], bool);

#[test]
fn header_conditions() {
    let header = |value| FieldMatch { name: "x-a".into(), value };
    let with = |value| Match { headers: vec![header(value)], ..Match::default() };
    let without = |value| Match { without_headers: vec![header(value)], ..Match::default() };
    let one = || ValueMatch::Exact("1".into());
    let cases: &[Case<'_>] = &[
        (with(one()), &[("X-A", "1")], true),
        (with(one()), &[("x-a", "1"), ("x-a", "2")], false),
        (with(ValueMatch::Exact("1,2".into())), &[("x-a", "1"), ("x-a", "2")], true),
        (with(ValueMatch::Regex("[0-9]".into())), &[("x-a", "12")], false),
        (with(ValueMatch::Present), &[("x-a", "")], true),
        (with(ValueMatch::Present), &[], false),
        (with(ValueMatch::Regex("*".into())), &[("x-a", "any")], true),
        (with(ValueMatch::Regex("*".into())), &[], false),
        (without(one()), &[], true),
        (without(one()), &[("x-a", "1")], false),
        (without(one()), &[("x-a", "2")], true),
        (without(ValueMatch::Present), &[("x-a", "2")], false),
        // Of two entries for one header only the first counts.
        (
            Match { headers: vec![field("x-a", "1"), field("X-A", "2")], ..Match::default() },
            &[("x-a", "1")],
            true,
        ),
        (Match { headers: vec![field(":authority", "cart.shop")], ..Match::default() }, &[], true),
        (Match { headers: vec![field("host", "cart.shop")], ..Match::default() }, &[], true),
        (Match { headers: vec![field(":method", "PUT")], ..Match::default() }, &[], false),
    ];
    for (condition, lines, holds) in cases {
        let table = service([http("a", &[std::slice::from_ref(condition)])]);
        let expected = if *holds { "a-0 0" } else { "404" };
        assert_eq!(answer(&table, &get("/", lines)), expected, "{condition:?} {lines:?}");
    }
}

#[test]
fn what_cannot_be_read_answers_500_where_it_stands() {
    let broken = Match {
        headers: vec![FieldMatch { name: "x".into(), value: ValueMatch::Regex("(".into()) }],
        ..exact("/a")
    };
    let table = service([http("a", &[&[broken, exact("/c")], &[elements("/")]])]);
    paths(&table, &[("/a", "a-0 2 invalid"), ("/c", "a-0 2 invalid"), ("/b", "a-1 0")]);
    let table = service([http("a", &[&[expression("(")], &[elements("/a")]])]);
    paths(&table, &[("/a", "a-1 2"), ("/b", "a-0 0 invalid")]);

    let unreadable = Unreadable {
        name: "HTTPRoute/shop/a".into(),
        targets: vec![Target::Service(key())],
        reason: "newer".into(),
    };
    let place = Place::service(&key(), 80);
    let table = RouteTable::compile(&place, &[], [&unreadable], &mut Patterns::default());
    paths(&table, &[("/", "500 newer")]);
    let other = Place::service(&ServiceKey::new("shop", "other"), 80);
    paths(&RouteTable::compile(&other, &[], [&unreadable], &mut Patterns::default()), &[("/", "no routes")]);
}
