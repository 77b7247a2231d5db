//! Backends that are missing, forbidden, or in other namespaces, and how requests are split among them.

use ambit_tests::pod::ENROLLED;
use ambit_tests::runner::Test;
use ambit_tests::wait::wait_until;

use crate::request::{by, get, status};
use crate::stage::{CONSUMER, Parent};

pub(crate) const TESTS: &[Test] = &[
    ("MeshHTTPRouteWeight", weight),
    ("HTTPRouteWeight", weight),
    ("HTTPRouteRequestHeaderModifierBackendWeights", weight_with_headers),
    ("HTTPRouteOmittedBackendRefs", omitted),
    ("HTTPRouteInvalidNonExistentBackendRef", nonexistent),
    ("HTTPRouteInvalidBackendRefUnknownKind", unknown_kind),
    ("HTTPRouteInvalidCrossNamespaceBackendRef", cross_namespace_without_grant),
    ("HTTPRouteInvalidReferenceGrant", || granted(false)),
    ("HTTPRouteReferenceGrant", || granted(true)),
    ("HTTPRoutePartiallyInvalidViaInvalidReferenceGrant", partially_invalid),
];

/// Of `count` requests, how many each application answered.
fn split(parent: &Parent, count: usize, check: impl Fn(&crate::request::Answer)) -> [usize; 3] {
    let mut counts = [0; 3];
    for _ in 0..count {
        let answer = get("/").to(parent.at(80)).send().unwrap();
        assert_eq!(answer.status, 200);
        check(&answer);
        let application = crate::stage::APPLICATIONS.iter().position(|name| *name == answer.backend());
        counts[application.expect("an application answers")] += 1;
    }
    counts
}

/// Within five percent, as the suite has it; what has no weight gets nothing.
fn is_split(counts: [usize; 3], shares: [f64; 3]) -> bool {
    let total: usize = counts.iter().sum();
    counts.iter().zip(shares).all(|(count, share)| {
        let got = *count as f64 / total as f64;
        if share == 0.0 { *count == 0 } else { (got - share).abs() <= 0.05 }
    })
}

#[track_caller]
fn splits(parent: &Parent, shares: [f64; 3], check: impl Fn(&crate::request::Answer)) {
    // Shares of requests scatter: the suite tries ten times.
    let mut last = [0; 3];
    let near = (0..10).any(|_| {
        last = split(parent, 500, &check);
        is_split(last, shares)
    });
    assert!(near, "{last:?} is not {shares:?}");
}

/// The route has arrived when the second application answers.
fn has_arrived(parent: &Parent) {
    wait_until("the second application answers", || {
        get("/").to(parent.at(80)).send().is_ok_and(|answer| answer.backend() == "echo-v2")
    });
}

fn weight() {
    let parent = Parent::new(
        "weight",
        "ROUTE
  - backendRefs:
    - {name: echo-v1, port: 80, weight: 70}
    - {name: echo-v2, port: 80, weight: 30}
    - {name: echo-v3, port: 80, weight: 0}",
    );
    has_arrived(&parent);
    splits(&parent, [0.7, 0.3, 0.0], |_| {});
}

fn weight_with_headers() {
    let filters = |value: &str| {
        format!(
            "[{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: Backend, value: {value}}}]}}}}]"
        )
    };
    let rules = format!(
        "ROUTE\n  - backendRefs:\n    \
         - {{name: echo-v1, port: 80, weight: 70, filters: {}}}\n    \
         - {{name: echo-v2, port: 80, weight: 30, filters: {}}}",
        filters("echo-v1"),
        filters("echo-v2")
    );
    let parent = Parent::new("weight-headers", &rules);
    has_arrived(&parent);
    splits(&parent, [0.7, 0.3, 0.0], |answer| {
        assert_eq!(answer.passed("backend"), Some(answer.backend()));
    });
}

fn omitted() {
    let parent = Parent::new(
        "omitted",
        "ROUTE
  - matches: [{path: {type: Exact, value: /none}}]
  - {matches: [{path: {type: Exact, value: /one}}], backendRefs: [{name: echo-v1, port: 80}]}",
    );
    parent.table(&[(get("/none"), status(500)), (get("/one"), by("echo-v1"))]);
}

fn nonexistent() {
    let parent = Parent::new("nonexistent", "ROUTE\n  - backendRefs: [{name: nobody, port: 80}]");
    parent.table(&[(get("/"), status(500))]);
}

fn unknown_kind() {
    let parent =
        Parent::new("kind", "ROUTE\n  - backendRefs: [{kind: NonExistent, name: echo-v1, port: 80}]");
    parent.table(&[(get("/"), status(500))]);
}

/// The Service `far` of another namespace, which no route of this one may use without a grant.
fn far(number: u8) -> String {
    format!(
        "\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: far-{number}, namespace: {CONSUMER}}}\n\
         spec: {{clusterIP: 10.96.1.{number}, selector: {{app: far}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n"
    )
}

fn to_far(number: u8) -> String {
    format!(
        "ROUTE\n  - backendRefs: [{{name: far-{number}, namespace: {CONSUMER}, port: 80}}]{}",
        far(number)
    )
}

fn cross_namespace_without_grant() {
    Parent::new("cross-namespace", &to_far(1)).table(&[(get("/"), status(500))]);
}

/// A grant counts when it is in the backend's namespace and names the route's kind and namespace. The far Service has no
/// endpoints, so that what passes the grant is told 503.
fn granted(valid: bool) {
    let number = if valid { 2 } else { 3 };
    let grant = |name: &str, namespace: &str, group: &str, kind: &str, from: &str, to: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n\
             metadata: {{name: {name}-{number}, namespace: {namespace}}}\n\
             spec: {{from: [{{group: {group}, kind: {kind}, namespace: {from}}}], to: [{{group: '', kind: Service, name: {to}}}]}}\n"
        )
    };
    let (group, far) = ("gateway.networking.k8s.io", format!("far-{number}"));
    let grants = if valid {
        grant("good", CONSUMER, group, "HTTPRoute", ENROLLED, &far)
    } else {
        [
            grant("wrong-namespace", ENROLLED, group, "HTTPRoute", ENROLLED, &far),
            grant("wrong-from", CONSUMER, group, "HTTPRoute", "default", &far),
            grant("wrong-kind", CONSUMER, group, "TCPRoute", ENROLLED, &far),
            grant("wrong-group", CONSUMER, "example.org", "HTTPRoute", ENROLLED, &far),
            grant("wrong-to", CONSUMER, group, "HTTPRoute", ENROLLED, "other"),
        ]
        .concat()
    };
    let parent = Parent::new("grant", &format!("{}{grants}", to_far(number)));
    parent.table(&[(get("/"), status(if valid { 503 } else { 500 }))]);
}

/// One rule of the route is invalid, the other is served.
fn partially_invalid() {
    let rules = format!(
        "ROUTE
  - matches: [{{path: {{type: PathPrefix, value: /v2}}}}]
    backendRefs: [{{name: far-4, namespace: {CONSUMER}, port: 80}}]
  - matches: [{{path: {{type: PathPrefix, value: /}}}}]
    backendRefs: [{{name: echo-v1, port: 80}}]{}",
        far(4)
    );
    Parent::new("partial", &rules).table(&[(get("/v2"), status(500)), (get("/"), by("echo-v1"))]);
}
