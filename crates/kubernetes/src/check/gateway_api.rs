//! What is wrong with Gateway API objects, by the rules of its CRDs and a few stricter ones.

mod backend_tls;
mod filters;
mod gateway;
mod grpc;
mod matches;
mod references;
mod rules;
mod session;

use super::Complaints;
use crate::FieldPath;
use crate::gateway_api::{
    BackendRef, GRPCRouteSpec, HTTPRouteSpec, Layer4Rule, ReferenceGrantSpec, TCPRouteSpec, TLSRouteSpec,
};
use crate::name_rules;
use references::{backend, hostnames, parents};

pub(super) use backend_tls::check as backend_tls_policy;
pub(super) use gateway::{gateway, gateway_class};
pub(super) use matches::expression;
pub(super) use references::header_name;

pub(super) fn http_route(spec: &HTTPRouteSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    route(&at, &spec.parent_refs, &spec.use_default_gateways, complaints);
    hostnames(&spec.hostnames, &at.key("hostnames"), complaints);
    names(spec.rules.iter().map(|rule| rule.name.as_deref()), &at, complaints);
    for (index, rule) in spec.rules.iter().enumerate() {
        rules::http(rule, &at.key("rules").index(index), complaints);
    }
}

pub(super) fn grpc_route(spec: &GRPCRouteSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    route(&at, &spec.parent_refs, &spec.use_default_gateways, complaints);
    hostnames(&spec.hostnames, &at.key("hostnames"), complaints);
    names(spec.rules.iter().map(|rule| rule.name.as_deref()), &at, complaints);
    for (index, rule) in spec.rules.iter().enumerate() {
        grpc::rule(rule, &at.key("rules").index(index), complaints);
    }
}

pub(super) fn tls_route(spec: &TLSRouteSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    route(&at, &spec.parent_refs, &spec.use_default_gateways, complaints);
    hostnames(&spec.hostnames, &at.key("hostnames"), complaints);
    layer4(&spec.rules, &at, complaints);
}

pub(super) fn tcp_route(spec: &TCPRouteSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    route(&at, &spec.parent_refs, &spec.use_default_gateways, complaints);
    layer4(&spec.rules, &at, complaints);
}

pub(super) fn reference_grant(spec: &ReferenceGrantSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    for (name, empty) in [("from", spec.from.is_empty()), ("to", spec.to.is_empty())] {
        if empty {
            complaints.add(&at.key(name), "nothing is listed", format!("set {name}, or remove the object"));
        }
    }
    for (index, from) in spec.from.iter().enumerate() {
        let path = at.key("from").index(index);
        present(&from.kind, &path.key("kind"), complaints);
        complaints.expect(&path.key("namespace"), name_rules::dns_label(&from.namespace));
    }
    for (index, to) in spec.to.iter().enumerate() {
        present(&to.kind, &at.key("to").index(index).key("kind"), complaints);
    }
}

fn route(
    at: &FieldPath,
    refs: &[crate::gateway_api::ParentRef],
    default: &Option<String>,
    complaints: &mut Complaints<'_>,
) {
    parents(refs, &at.key("parentRefs"), complaints);
    if default.as_deref().is_some_and(|scope| scope != "None") {
        let reason = "there are no default Gateways here";
        complaints.add(&at.key("useDefaultGateways"), reason, "name the Gateway in parentRefs");
    }
}

/// Names of rules are unique.
fn names<'a>(names: impl Iterator<Item = Option<&'a str>>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let mut seen = std::collections::HashSet::new();
    for (index, name) in names.enumerate() {
        let Some(name) = name else { continue };
        let path = at.key("rules").index(index).key("name");
        complaints.expect(&path, name_rules::dns_subdomain(name));
        if !seen.insert(name) {
            let reason = format!("the name {} is taken", crate::problem::quoted(name));
            complaints.add(&path, reason, "use another");
        }
    }
}

fn layer4(rules: &[Layer4Rule], at: &FieldPath, complaints: &mut Complaints<'_>) {
    names(rules.iter().map(|rule| rule.name.as_deref()), at, complaints);
    for (index, rule) in rules.iter().enumerate() {
        let path = at.key("rules").index(index).key("backendRefs");
        if rule.backend_refs.is_empty() {
            complaints.add(&path, "the rule leads nowhere", "name a Service");
        }
        for (index, reference) in rule.backend_refs.iter().enumerate() {
            let path = path.index(index);
            backend(&BackendRef::object(reference), &path, complaints);
            references::weight(reference.weight, &path, complaints);
        }
    }
}

fn present(text: &str, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if text.is_empty() {
        complaints.add(at, "it is empty", "give it a value");
    }
}
