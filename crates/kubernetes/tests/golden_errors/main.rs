//! Each kind of bad input gives its one line: place, object, field, reason, remedy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gateway_api;
mod pods;
mod policies;

use std::path::Path;

use ambit_kubernetes::{Problem, read_text, validate_set};

/// The complaints about a text, as lines.
fn complaints(text: &str) -> Vec<String> {
    match read_text(Path::new("shop.yaml"), text) {
        Ok(resources) => lines(validate_set(&resources.objects)),
        Err(problems) => lines(problems),
    }
}

fn lines(problems: Vec<Problem>) -> Vec<String> {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    lines
}

#[track_caller]
fn only(text: &str, expected: &str) {
    assert_eq!(complaints(text), [expected], "for:\n{text}");
}

/// A policy whose `spec` holds these lines, the first of which is line 4.
fn policy(spec: &str) -> String {
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: cart, namespace: default}}\nspec:\n{indented}"
    )
}

fn peer(spec: &str) -> String {
    policy(spec).replace("AuthorizationPolicy", "PeerAuthentication")
}

fn pod(rest: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: default\n{rest}")
}

#[test]
fn yaml_that_is_not_yaml() {
    only(
        "kind: Pod\nmetadata: {name: web\n",
        "shop.yaml:2: not valid YAML: unclosed bracket '{'; correct the syntax",
    );
    only("a: 1\nb: 2\na: 3\n", "shop.yaml:3: the key \"a\" is here twice, first on line 1; keep one");
    only("a: !secret x\n", "shop.yaml:1: the tag \"!secret\" is not supported here; remove it");
    only("- a\n", "shop.yaml:1: this document is not an object; write apiVersion, kind and metadata");
}

#[test]
fn the_line_is_the_files_not_the_documents() {
    let text = format!(
        "# a comment\n---\n---\n{}---\n{}",
        pod(""),
        policy("rules:\n- from:\n  - source:\n      ipBlocks:\n      - 10.0.0.0/8\n      - 10.0.0.0/129")
    );
    only(
        &text,
        "shop.yaml:19: AuthorizationPolicy default/cart: spec.rules[0].from[0].source.ipBlocks[1]: \"10.0.0.0/129\" is not an IP block; use ADDRESS/PREFIX with a prefix of at most 32",
    );
}

#[test]
fn every_problem_is_reported_and_none_hides_another() {
    let text = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Service, metadata: {namespace: default}}\n---\nkind: Pod\n---\n[\n";
    assert_eq!(
        complaints(text),
        [
            "shop.yaml:4: Pod a: metadata.namespace: the namespace is missing; set metadata.namespace",
            "shop.yaml:5: Service default/(without name): metadata.name: the name is missing; set metadata.name",
            "shop.yaml:7: Pod (without name): this object has no apiVersion; set apiVersion",
            "shop.yaml:9: not valid YAML: unclosed bracket '['; correct the syntax",
        ]
    );
}

#[test]
fn kinds() {
    only("metadata: {name: web}\n", "shop.yaml:1: this object has no kind; set apiVersion and kind");
    only(
        "apiVersion: v1\nkind: Podd\nmetadata: {name: web}\n",
        "shop.yaml:1: Podd web: v1/Podd is not supported; supported are v1 Namespace, Pod, Service, Node, ServiceAccount, List, ConfigMap istio, Secret of type kubernetes.io/tls; discovery.k8s.io/v1 EndpointSlice; security.istio.io/v1 and v1beta1 AuthorizationPolicy, PeerAuthentication, RequestAuthentication; networking.istio.io/v1, v1beta1 and v1alpha3 DestinationRule, ServiceEntry, VirtualService; telemetry.istio.io/v1 and v1alpha1 Telemetry; gateway.networking.k8s.io/v1 Gateway, GatewayClass, HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, ReferenceGrant, BackendTLSPolicy",
    );
    only(
        "apiVersion: security.istio.io/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: default}\n",
        "shop.yaml:1: AuthorizationPolicy default/a: apiVersion \"security.istio.io/v1alpha1\" is not supported; use security.istio.io/v1",
    );
    only(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: a, namespace: default}\n",
        "shop.yaml:1: EnvoyFilter default/a: networking.istio.io/v1alpha3/EnvoyFilter restricts access, but nothing here would enforce it; use an AuthorizationPolicy, or move it out of this directory",
    );
}

#[test]
fn metadata() {
    only(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n",
        "shop.yaml:3: Pod web: metadata.namespace: the namespace is missing; set metadata.namespace",
    );
    only(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: Shop\n",
        "shop.yaml:4: Namespace Shop: metadata.name: \"Shop\" is not a DNS label; use at most 63 of a-z, 0-9 and -, with a letter or digit at both ends",
    );
    only(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a_b, namespace: default}\n",
        "shop.yaml:3: ServiceAccount default/a_b: metadata.name: \"a_b\" is not a DNS name; use at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends of each part",
    );
    only(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels:\n    istio.io/dataplane-mode: Ambient\n",
        "shop.yaml:6: Namespace shop: metadata.labels[\"istio.io/dataplane-mode\"]: \"Ambient\" is not a data plane mode; use ambient or none",
    );
    only(
        &pod("  labels:\n    version: 1.10\n"),
        "shop.yaml:7: Pod default/web: metadata.labels.version: the number 1.10 is not a text; put it in quotes",
    );
    only(
        &pod("  creationTimestamp: yesterday\n"),
        "shop.yaml:6: Pod default/web: metadata.creationTimestamp: \"yesterday\" is not a time; write one such as 2026-01-31T12:00:00Z",
    );
}

#[test]
fn between_objects() {
    let pod = |name: &str, rest: &str| {
        format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default{rest}\n")
    };
    only(
        &(pod("a", "}") + &pod("b", "}") + &pod("a", "}")),
        "shop.yaml:10: Pod default/a: it is here twice, first at shop.yaml:2; remove or rename one of them",
    );
    only(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: shop\n",
        "shop.yaml:5: Pod shop/web: metadata.namespace: the namespace \"shop\" does not exist; add a Namespace object for it, or correct the name",
    );
    only(
        &(pod("a", "}\nstatus: {podIP: 10.0.0.1}")
            + &pod("b", "}\nstatus: {podIPs: [{ip: 10.0.0.2}, {ip: 10.0.0.1}], podIP: 10.0.0.2}")),
        "shop.yaml:10: Pod default/b: status.podIPs[1].ip: 10.0.0.1 is also the address of Pod default/a (shop.yaml:2); give each pod its own",
    );
    let netns = ", annotations: {ambit.mesh/netns: /run/netns/a}}";
    only(
        &(pod("a", netns) + &pod("b", netns)),
        "shop.yaml:8: Pod default/b: metadata.annotations[\"ambit.mesh/netns\"]: this network namespace is also that of Pod default/a (shop.yaml:2); give each pod its own",
    );
    only(
        &(pod("a", ", uid: x}") + &pod("b", ", uid: x}")),
        "shop.yaml:8: Pod default/b: metadata.uid: its uid is also that of Pod default/a (shop.yaml:2); give each pod its own",
    );
    let service = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\nspec: {{clusterIP: 10.1.0.1}}\n"
        )
    };
    only(
        &(service("a") + &service("b")),
        "shop.yaml:10: Service default/b: spec.clusterIP: 10.1.0.1 is also the address of Service default/a (shop.yaml:2); give each Service its own",
    );
    let ended =
        pod("a", "}\nstatus: {podIP: 10.0.0.1, phase: Failed}") + &pod("b", "}\nstatus: {podIP: 10.0.0.1}");
    assert_eq!(complaints(&ended), [""; 0], "an ended pod gives its address back");
    let host = pod("a", "}\nspec: {hostNetwork: true}\nstatus: {podIP: 10.0.0.1}");
    assert_eq!(complaints(&(host.clone() + &host.replace("name: a", "name: b"))), [""; 0]);
}

#[test]
fn foreign_text_stays_on_one_line_and_short() {
    let text = format!("apiVersion: v1\nkind: \"Po\\n\\e[31md{}\"\n", "x".repeat(500));
    let lines = complaints(&text);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("Po\\n\\u{1b}[31md") && lines[0].len() < 800, "{lines:?}");
}
