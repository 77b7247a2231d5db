//! PeerAuthentications (facts: section 1.5).

use std::collections::BTreeSet;

use ambit_model::policy::{Action, Clause, Match, Rule, Scope, StringMatch};

use super::{Index, index};

const STATIC: &str = "istio-system/istio_converted_static_strict";

const PODS: &str = "\
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {app: a}}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop, labels: {app: b}}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: other, labels: {app: a}}, status: {podIP: 10.0.0.3}}
";

fn with(policies: &[(&str, &str)]) -> Index {
    let mut yaml = PODS.to_owned();
    for (metadata, spec) in policies {
        yaml += &format!(
            "---\n{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{{metadata}}}, spec: {{{spec}}}}}\n"
        );
    }
    index(&yaml)
}

/// The policies that the pods list, as `pod: key`.
fn listed(index: &Index) -> BTreeSet<String> {
    let pairs = index
        .workloads()
        .into_iter()
        .flat_map(|workload| workload.policies.iter().map(move |key| format!("{}: {key}", workload.name)));
    pairs.collect()
}

fn strict(pods: &[&str]) -> BTreeSet<String> {
    pods.iter().map(|pod| format!("{pod}: {STATIC}")).collect()
}

const MESH: &str = "name: m, namespace: istio-system";
const SHOP: &str = "name: wide, namespace: shop";
const A: &str = "name: w, namespace: shop";

const STRICT: &str = "mtls: {mode: STRICT}";
const PERMISSIVE: &str = "mtls: {mode: PERMISSIVE}";
const DISABLE: &str = "mtls: {mode: DISABLE}";
const UNSET: &str = "mtls: {mode: UNSET}";
const SELECT_A: &str = "selector: {matchLabels: {app: a}}";

fn selecting(rest: &str) -> String {
    if rest.is_empty() { SELECT_A.to_owned() } else { format!("{SELECT_A}, {rest}") }
}

#[test]
fn the_static_policy_is_always_there_and_denies_peers_without_identity() {
    let index = with(&[]);
    assert!(listed(&index).is_empty());
    let policy = index.policy(STATIC);
    assert_eq!((policy.scope, policy.action), (Scope::WorkloadSelector, Action::Deny));
    let anonymous = Match { not_principals: vec![StringMatch::Presence], ..Match::default() };
    assert_eq!(
        policy.rules,
        [Rule { clauses: vec![Clause { matches: vec![anonymous] }], undecodable: None }]
    );
}

#[test]
fn the_narrowest_scope_that_says_something_decides() {
    for (policies, pods) in [
        (vec![(MESH, STRICT)], &["a", "b", "c"][..]),
        (vec![(SHOP, STRICT)], &["a", "b"]),
        (vec![(MESH, STRICT), (SHOP, PERMISSIVE)], &["c"]),
        (vec![(MESH, STRICT), (SHOP, DISABLE)], &["c"]),
        (vec![(MESH, STRICT), (SHOP, UNSET)], &["a", "b", "c"]),
        (vec![(MESH, STRICT), (SHOP, "")], &["a", "b", "c"]),
        (vec![(MESH, PERMISSIVE), (SHOP, STRICT)], &["a", "b"]),
        (vec![(A, &*selecting(STRICT))], &["a"]),
        (vec![(SHOP, STRICT), (A, &*selecting(PERMISSIVE))], &["b"]),
        (vec![(SHOP, STRICT), (A, &*selecting(DISABLE))], &["b"]),
        (vec![(SHOP, STRICT), (A, &*selecting(UNSET))], &["a", "b"]),
        (vec![(SHOP, STRICT), (A, &*selecting(""))], &["a", "b"]),
        (vec![("name: x, namespace: istio-system", &*selecting(STRICT))], &[]),
    ] {
        assert_eq!(listed(&with(&policies)), strict(pods), "{policies:?}");
    }
}

#[test]
fn a_selector_in_the_root_namespace_is_reported() {
    let index = with(&[("name: x, namespace: istio-system", &*selecting(STRICT))]);
    assert!(
        index.notes()[0].contains("PeerAuthentication istio-system/x: it has no effect"),
        "{:?}",
        index.notes()
    );
}

#[test]
fn the_oldest_wins() {
    let old = "name: z, namespace: shop, creationTimestamp: 2026-01-01T00:00:00Z";
    let new = "name: young, namespace: shop, creationTimestamp: 2026-01-02T00:00:00Z";
    assert_eq!(listed(&with(&[(new, PERMISSIVE), (old, STRICT)])), strict(&["a", "b"]));
    let index = with(&[(new, STRICT), (old, PERMISSIVE)]);
    assert_eq!(listed(&index), strict(&[]));
    assert!(index.notes()[0].contains("shop/young: it has no effect: an older one"), "{:?}", index.notes());
    assert_eq!(listed(&with(&[(new, &*selecting(PERMISSIVE)), (old, &*selecting(STRICT))])), strict(&["a"]));
    // Without an age the name decides; it is the same in every run.
    let (first, second) = ("name: a, namespace: shop", "name: b, namespace: shop");
    assert_eq!(listed(&with(&[(second, PERMISSIVE), (first, STRICT)])), strict(&["a", "b"]));
}

/// The converted policy of [`A`], as (ports it holds on, ports it does not hold on).
fn by_port(index: &Index) -> (Vec<u16>, Vec<u16>) {
    let policy = index.policy("shop/converted_peer_authentication_w");
    assert_eq!((policy.scope, policy.action), (Scope::WorkloadSelector, Action::Deny));
    assert!(listed(index).contains("a: shop/converted_peer_authentication_w"), "{:?}", listed(index));
    assert!(!listed(index).contains(&format!("a: {STATIC}")), "two DENY policies cannot except each other");
    let [Rule { clauses, undecodable: None }] = &policy.rules[..] else { panic!("{policy:?}") };
    let [anonymous, ports] = &clauses[..] else { panic!("{policy:?}") };
    assert_eq!(anonymous.matches[0].not_principals, [StringMatch::Presence]);
    let ports = &ports.matches[0];
    (ports.destination_ports.clone(), ports.not_destination_ports.clone())
}

#[test]
fn exceptions_for_ports_become_one_policy() {
    let exceptions = "portLevelMtls: {8080: {mode: PERMISSIVE}, 8081: {mode: DISABLE}, 8082: {mode: STRICT}, 8083: {mode: UNSET}}";
    let strict_but = selecting(&format!("{STRICT}, {exceptions}"));
    let permissive_but = selecting(&format!("{PERMISSIVE}, {exceptions}"));
    let inherited_but = selecting(exceptions);
    assert_eq!(by_port(&with(&[(A, &strict_but)])), (vec![], vec![8080, 8081]));
    assert_eq!(by_port(&with(&[(A, &permissive_but)])), (vec![8082], vec![]));
    assert_eq!(by_port(&with(&[(A, &inherited_but)])), (vec![8082], vec![]));
    assert_eq!(by_port(&with(&[(MESH, STRICT), (A, &inherited_but)])), (vec![], vec![8080, 8081]));
    assert_eq!(
        by_port(&with(&[(MESH, STRICT), (SHOP, PERMISSIVE), (A, &inherited_but)])),
        (vec![8082], vec![])
    );
    // Another pod of the namespace is not meant.
    assert!(!listed(&with(&[(A, &strict_but)])).iter().any(|line| line.starts_with("b:")));
}

#[test]
fn ports_that_say_what_holds_anyway_are_no_exceptions() {
    let all_strict = selecting(&format!("{STRICT}, portLevelMtls: {{8080: {{mode: STRICT}}}}"));
    assert_eq!(listed(&with(&[(A, &all_strict)])), strict(&["a"]));
    let none_strict = selecting(&format!("{PERMISSIVE}, portLevelMtls: {{8080: {{mode: DISABLE}}}}"));
    let index = with(&[(MESH, STRICT), (A, &none_strict)]);
    assert_eq!(listed(&index), strict(&["b", "c"]));
    assert_eq!(index.policies().len(), 1);
}
