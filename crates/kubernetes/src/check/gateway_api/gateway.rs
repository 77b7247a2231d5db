//! Gateways and their classes.

use std::collections::HashSet;

use super::references::hostname;
use crate::check::Complaints;
use crate::gateway_api::{
    FromNamespaces, Gateway, GatewayClass, LabelSelector, Listener, RequirementOperator, RouteNamespaces,
    TlsMode,
};
use crate::problem::quoted;
use crate::{FieldPath, Metadata, labels, name_rules};

pub(in crate::check) fn gateway(gateway: &Gateway, complaints: &mut Complaints<'_>) {
    waypoint_for(&gateway.metadata, complaints);
    let at = FieldPath::of("spec");
    if gateway.spec.gateway_class_name.is_empty() {
        complaints.add(&at.key("gatewayClassName"), "the class is missing", "set gatewayClassName");
    }
    let at = at.key("listeners");
    if gateway.spec.listeners.is_empty() {
        complaints.add(&at, "a Gateway without listeners", "add one");
    }
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    for (index, one) in gateway.spec.listeners.iter().enumerate() {
        let path = at.index(index);
        listener(one, &path, complaints);
        if !names.insert(one.name.as_str()) {
            let reason = format!("the name {} is taken", quoted(&one.name));
            complaints.add(&path.key("name"), reason, "use another");
        }
        if !places.insert((one.port, one.protocol.as_str(), one.hostname.as_deref())) {
            let reason = "another listener has the same port, protocol and hostname";
            complaints.add(&path, reason, "make them differ");
        }
    }
}

pub(in crate::check) fn gateway_class(class: &GatewayClass, complaints: &mut Complaints<'_>) {
    waypoint_for(&class.metadata, complaints);
    let at = FieldPath::of("spec").key("controllerName");
    let name = class.spec.controller_name.as_str();
    let fine = name.split_once('/').is_some_and(|(domain, path)| {
        name_rules::dns_subdomain(domain).is_ok() && !path.is_empty() && path.is_ascii()
    });
    if !fine {
        let reason = format!("{} is not the name of a controller", quoted(name));
        complaints.add(&at, reason, "write DOMAIN/PATH, such as ambit.mesh/controller");
    }
}

/// A misspelt kind of traffic would bind nothing.
fn waypoint_for(metadata: &Metadata, complaints: &mut Complaints<'_>) {
    let Some(value) = metadata.label(labels::WAYPOINT_FOR) else { return };
    if !["service", "workload", "all", "none"].contains(&value) {
        let path = FieldPath::of("metadata").key("labels").key(labels::WAYPOINT_FOR);
        let reason = format!("{} is not a kind of traffic", quoted(value));
        complaints.add(&path, reason, "use service, workload, all or none");
    }
}

fn listener(listener: &Listener, at: &FieldPath, complaints: &mut Complaints<'_>) {
    complaints.expect(&at.key("name"), name_rules::dns_subdomain(&listener.name));
    if listener.protocol.is_empty() {
        complaints.add(&at.key("protocol"), "the protocol is empty", "use one such as HTTP or HBONE");
    }
    if let Some(name) = listener.hostname.as_deref().filter(|name| !name.is_empty()) {
        complaints.expect(&at.key("hostname"), hostname(name));
        if ["TCP", "UDP", "HBONE"].contains(&listener.protocol.as_str()) {
            let reason = format!("{} knows no host names", listener.protocol);
            complaints.add(&at.key("hostname"), reason, "remove it");
        }
    }
    tls(listener, at, complaints);
    if let Some(allowed) = &listener.allowed_routes {
        let at = at.key("allowedRoutes");
        if let Some(namespaces) = &allowed.namespaces {
            route_namespaces(namespaces, &at.key("namespaces"), complaints);
        }
        for (index, _) in allowed.kinds.iter().enumerate().filter(|(_, kind)| kind.kind.is_empty()) {
            complaints.add(&at.key("kinds").index(index).key("kind"), "the kind is empty", "set kind");
        }
    }
}

fn tls(listener: &Listener, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let secure = ["HTTPS", "TLS"].contains(&listener.protocol.as_str());
    let plain = ["HTTP", "TCP", "UDP"].contains(&listener.protocol.as_str());
    match &listener.tls {
        None if secure => {
            complaints.add(&at.key("tls"), format!("{} needs tls", listener.protocol), "set tls");
        }
        Some(_) if plain => {
            let reason = format!("tls does not go with {}", listener.protocol);
            complaints.add(&at.key("tls"), reason, "remove it, or use HTTPS or TLS");
        }
        Some(tls) if secure => {
            let terminates = tls.mode != Some(TlsMode::Passthrough);
            if !terminates && listener.protocol == "HTTPS" {
                complaints.add(&at.key("tls").key("mode"), "HTTPS ends TLS here", "use Terminate, or TLS");
            }
            if terminates && tls.certificate_refs.is_empty() && tls.options.is_empty() {
                let path = at.key("tls").key("certificateRefs");
                complaints.add(&path, "TLS that ends here needs a certificate", "name a Secret");
            }
        }
        _ => {}
    }
}

fn route_namespaces(namespaces: &RouteNamespaces, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let selects = namespaces.from == Some(FromNamespaces::Selector);
    match &namespaces.selector {
        None if selects => {
            complaints.add(at, "from: Selector without selector admits nobody", "set selector");
        }
        Some(_) if !selects => {
            let reason = "selector goes with from: Selector only";
            complaints.add(&at.key("selector"), reason, "remove it, or set from: Selector");
        }
        Some(selector) => label_selector(selector, &at.key("selector"), complaints),
        None => {}
    }
}

fn label_selector(selector: &LabelSelector, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, one) in selector.match_expressions.iter().enumerate() {
        let path = at.key("matchExpressions").index(index);
        let listing = matches!(one.operator, RequirementOperator::In | RequirementOperator::NotIn);
        if listing == one.values.is_empty() {
            let (reason, remedy) = match listing {
                true => ("In and NotIn need values", "set values"),
                false => ("Exists and DoesNotExist have no values", "remove values"),
            };
            complaints.add(&path.key("values"), reason, remedy);
        }
        if one.key.is_empty() {
            complaints.add(&path.key("key"), "an empty label key", "name a label");
        }
    }
}
