//! VirtualServices: where requests and connections for hosts go.
//!
//! At a waypoint a VirtualService counts for the services whose hosts it names, from the service's own namespace or from
//! that of a waypoint that the service is bound to (Istio). Gateway API routes on a service go before it; it is then not
//! used there, which is noted.

use std::collections::BTreeSet;

use ambit_kubernetes::istio::VirtualService as Written;
use ambit_model::Text;
use ambit_model::l7::route::{Layer, Order, Parent, Route, Rule};
use ambit_model::l7::{ObjectKind, Target};
use ambit_model::service::ServiceKey;
use ambit_model::workload::GatewayDestination;

use super::delegates::merged;
use super::notes::Unheard;
use super::virtual_destinations::Names;
use super::{Author, View, hosts, virtual_http, virtual_layer4};
use crate::index::condition::unmet;

/// Routes for every VirtualService that some service takes; `taken` are the services that have Gateway API routes.
pub(super) fn routes(view: &View<'_>, taken: &BTreeSet<ServiceKey>, notes: &mut Vec<String>) -> Vec<Route> {
    view.objects
        .istio
        .virtual_services
        .iter()
        .flat_map(|written| routes_of(written, view, taken, notes))
        .collect()
}

fn routes_of(
    written: &Written,
    view: &View<'_>,
    taken: &BTreeSet<ServiceKey>,
    notes: &mut Vec<String>,
) -> Vec<Route> {
    let author = Author { kind: ObjectKind::VirtualService, metadata: &written.metadata };
    // Without hosts it is there for others to delegate to.
    if written.spec.hosts.is_empty() {
        return Vec::new();
    }
    let gateways = &written.spec.gateways;
    for gateway in gateways.iter().filter(|gateway| *gateway != "mesh") {
        let text =
            format!("gateway {gateway:?} is not served for VirtualServices; attach HTTPRoutes to a Gateway");
        notes.push(unmet(&author, "Accepted", "NoMatchingParent", text));
    }
    if !gateways.is_empty() && !gateways.iter().any(|gateway| gateway == "mesh") {
        return Vec::new();
    }
    let parents = parents(written, &author, view, taken, notes);
    if parents.is_empty() {
        return Vec::new();
    }
    let own: Vec<ServiceKey> = parents.iter().filter_map(service_of).cloned().collect();
    let namespace = written.metadata.namespace.as_str();
    let elsewhere = |key: &ServiceKey| waypoints(key, view).iter().any(|waypoint| ***waypoint != *namespace);
    let names = Names { namespace, lent: own.iter().any(elsewhere), own: &own, view };
    let mut unheard = Unheard::new(&author);
    let layers = [
        (Layer::Http, http_rules(written, &names, &mut unheard)),
        (Layer::Tls, virtual_layer4::tls(written, &names, &mut unheard)),
        (Layer::Tcp, virtual_layer4::tcp(written, &names, &mut unheard)),
    ];
    notes.append(&mut unheard.notes);
    let mut routes = Vec::new();
    for (layer, rules) in layers.into_iter().filter(|(_, rules)| !rules.is_empty()) {
        let mut route = Route { layer, rules, order: Order::Listed, ..author.route(parents.clone(), &[]) };
        // What its waypoint's namespace says is for all clients.
        route.consumer = false;
        // Several routes of one object need names of their own; the first keeps the object's.
        if !routes.is_empty() {
            route.key.name = format!("{}/{layer:?}", route.key.name).into();
        }
        routes.push(route);
    }
    routes
}

fn http_rules(written: &Written, names: &Names<'_>, unheard: &mut Unheard<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (at, route) in written.spec.http.iter().enumerate() {
        let field = format!("spec.http[{at}]");
        let Some(delegate) = &route.delegate else {
            rules.extend(virtual_http::rule(route, &field, names, unheard));
            continue;
        };
        match merged(route, delegate, names.namespace, names.view) {
            Ok((routes, namespace)) => {
                let names = Names { namespace, ..*names };
                rules.extend(
                    routes.iter().filter_map(|route| virtual_http::rule(route, &field, &names, unheard)),
                );
            }
            Err(why) => {
                unheard.refuse(&format!("{field}.delegate"), &why);
                rules.extend(virtual_http::rule(route, &field, names, unheard));
            }
        }
    }
    rules
}

fn service_of(parent: &Parent) -> Option<&ServiceKey> {
    match &parent.target {
        Target::Service(key) => Some(key),
        _ => None,
    }
}

/// The namespaces of a service's waypoints.
fn waypoints<'v>(key: &ServiceKey, view: &View<'v>) -> Vec<&'v Text> {
    let gateways = view.service(key).into_iter().flat_map(|service| &service.waypoints);
    let namespaces = gateways.filter_map(|(gateway, _)| match &gateway.destination {
        GatewayDestination::Service(waypoint) => Some(&waypoint.namespace),
        GatewayDestination::Address(_) => None,
    });
    namespaces.collect()
}

/// The services that take a VirtualService.
fn parents(
    written: &Written,
    author: &Author<'_>,
    view: &View<'_>,
    taken: &BTreeSet<ServiceKey>,
    notes: &mut Vec<String>,
) -> Vec<Parent> {
    let namespace = written.metadata.namespace.as_str();
    let Some(visible_to) = hosts::exported(&written.spec.export_to, namespace) else {
        notes.push(unmet(author, "Accepted", "UnsupportedValue", "spec.exportTo: it is exported to nobody"));
        return Vec::new();
    };
    let mut keys: BTreeSet<ServiceKey> = BTreeSet::new();
    for (at, host) in written.spec.hosts.iter().enumerate() {
        let host = hosts::in_full(host, namespace, view);
        let found = hosts::services(&host, namespace, view);
        if found.is_empty() && !host.starts_with('*') {
            let text = format!("spec.hosts[{at}]: no service has the host {host}");
            notes.push(unmet(author, "Accepted", "TargetNotFound", text));
        }
        keys.extend(found);
    }
    let mut parents = Vec::new();
    for key in keys {
        match admits(&key, namespace, &visible_to, view) {
            Ok(()) => {
                if taken.contains(&key) {
                    let text = format!(
                        "{key} has routes of the Gateway API, which go before it where they are attached"
                    );
                    notes.push(unmet(author, "Accepted", "Conflicted", text));
                }
                parents.push(Parent { target: Target::Service(key), port: None, section: None });
            }
            Err(why) => {
                notes.push(unmet(author, "Accepted", "NotAllowedByListeners", format!("{key}: {why}")))
            }
        }
    }
    parents
}

/// Whether a service takes a VirtualService of this namespace that is exported so.
fn admits(
    key: &ServiceKey,
    namespace: &str,
    visible_to: &[Text],
    view: &View<'_>,
) -> Result<(), &'static str> {
    let waypoints = waypoints(key, view);
    if waypoints.is_empty() {
        return Err("it is bound to no waypoint, so nothing follows there; label it istio.io/use-waypoint");
    }
    if *key.namespace != *namespace && !waypoints.iter().any(|waypoint| ***waypoint == *namespace) {
        return Err("it takes VirtualServices of its own namespace and of its waypoint's only");
    }
    let exported =
        visible_to.is_empty() || visible_to.iter().any(|to| *to == key.namespace || waypoints.contains(&to));
    if exported { Ok(()) } else { Err("spec.exportTo does not export it there") }
}
