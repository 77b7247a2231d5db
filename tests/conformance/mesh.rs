//! Tests of the suite's `tests/mesh`: what a parent that is a Service adds.

use ambit_tests::pod::ENROLLED;
use ambit_tests::runner::Test;

use crate::request::{by, consistently, get, status};
use crate::stage::{CONSUMER, Parent};

pub(crate) const TESTS: &[Test] = &[
    ("MeshBasic", basic),
    ("MeshTrafficSplit", traffic_split),
    ("MeshFrontend", frontend),
    ("MeshFrontendHostname", frontend_hostname),
    ("MeshPorts", ports),
    ("MeshConsumerRoute", consumer_route),
    ("MeshHTTPRouteSimpleSameNamespace", simple_same_namespace),
];

fn basic() {
    Parent::new("basic", "").table(&[(get("/"), by("echo-v1").at("/"))]);
}

fn traffic_split() {
    let parent = Parent::new(
        "split",
        "ROUTE
  - {matches: [{path: {type: Exact, value: /v1}}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{path: {type: Exact, value: /v2}}], backendRefs: [{name: echo-v2, port: 80}]}",
    );
    parent.table(&[
        (get("/v1"), by("echo-v1")),
        (get("/v2"), by("echo-v2")),
        (get("/v3"), status(404)),
        (get("/"), status(404)),
    ]);
}

const MARKED: &str = "ROUTE
  - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Header-Set, value: set}]}}]
    backendRefs: [{name: echo-v2, port: 80}]";

/// The route is the parent's, not its backend's.
fn frontend() {
    let parent = Parent::new("frontend", MARKED);
    parent.table(&[(get("/"), by("echo-v2").answered("x-header-set", "set"))]);
    let backend = ambit_tests::resources::vip(31, 80)[0];
    consistently(&get("/").to(backend), &by("echo-v2").unanswered("x-header-set"));
}

/// The address that was dialled decides, whatever the Host says.
fn frontend_hostname() {
    let parent = Parent::new("frontend-hostname", MARKED);
    let other = Parent::new("frontend-other", "");
    parent.table(&[
        (get("/").host("echo-v2"), by("echo-v2").answered("x-header-set", "set")),
        (get("/").host("other.example"), by("echo-v2").answered("x-header-set", "set")),
    ]);
    other.table(&[(get("/").host("echo"), by("echo-v1").unanswered("x-header-set"))]);
}

fn ports() {
    let route = |port: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: PARENT, namespace: {ENROLLED}}}\nspec:\n  \
             parentRefs: [{{group: '', kind: Service, name: PARENT{port}}}]\n  rules:\n  \
             - filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: X-Header-Set, value: v1}}]}}}}]\n    \
             backendRefs: [{{name: echo-v1, port: 80}}]"
        )
    };
    let marked = by("echo-v1").answered("x-header-set", "v1");
    let one = Parent::new("ports-one", &route(", port: 80"));
    one.table(&[(get("/"), marked.clone()), (get("/").port(8080), by("echo-v1").unanswered("x-header-set"))]);
    let all = Parent::new("ports-all", &route(""));
    all.table(&[(get("/"), marked.clone()), (get("/").port(8080), marked)]);
}

/// A route of another namespace is for the clients of that namespace, and goes before the Service's own.
fn consumer_route() {
    let route = |namespace: &str, value: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: PARENT, namespace: {namespace}}}\nspec:\n  \
             parentRefs: [{{group: '', kind: Service, name: PARENT, namespace: {ENROLLED}}}]\n  rules:\n  \
             - filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: X-Header-Set, value: {value}}}]}}}}]\n    \
             backendRefs: [{{name: PARENT, namespace: {ENROLLED}, port: 80}}]"
        )
    };
    let parent = Parent::new("consumer", &route(CONSUMER, "consumer"));
    let consumer = by("echo-v1").answered("x-header-set", "consumer");
    parent.table(&[
        (get("/").by_consumer(), consumer.clone()),
        (get("/"), by("echo-v1").unanswered("x-header-set")),
    ]);
    let both = format!("{}\n---\n{}", route(CONSUMER, "consumer"), route(ENROLLED, "producer"));
    let parent = Parent::new("consumer-and-producer", &both);
    parent.table(&[
        (get("/").by_consumer(), consumer),
        (get("/"), by("echo-v1").answered("x-header-set", "producer")),
    ]);
}

fn simple_same_namespace() {
    let parent = Parent::new("simple", "ROUTE\n  - backendRefs: [{name: echo-v1, port: 80}]");
    parent.table(&[(get("/"), by("echo-v1"))]);
}
