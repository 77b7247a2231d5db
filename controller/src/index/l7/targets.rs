//! What Istio's policies are attached to (`targetRefs`), and a note for each target that is not there.

use ambit_kubernetes::TargetRef;
use ambit_kubernetes::gateway_api::GATEWAY_GROUP;
use ambit_model::l7::Target;
use ambit_model::service::ServiceKey;

use super::{Author, View};
use crate::index::condition::unmet;
use crate::index::entries::keys;

/// The condition that says whether waypoints enforce a policy.
const CONDITION: &str = "WaypointAccepted";

/// The targets that a policy names. One that does not exist yet is kept: the policy is in force when it comes.
pub(super) fn targets<'t>(
    refs: impl Iterator<Item = &'t TargetRef>,
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Vec<Target> {
    let mut targets = Vec::new();
    for reference in refs {
        let mut note = |reason: &str, text: String| notes.push(unmet(author, CONDITION, reason, text));
        let found = one(reference, author, view, &mut note);
        targets.extend(found.into_iter().filter(|target| !targets.contains(target)).collect::<Vec<_>>());
    }
    targets
}

fn one(
    reference: &TargetRef,
    author: &Author<'_>,
    view: &View<'_>,
    note: &mut dyn FnMut(&str, String),
) -> Vec<Target> {
    let (namespace, name) = (author.metadata.namespace.as_str(), reference.name.as_str());
    let missing = || format!("{} {name} does not exist", reference.kind);
    match (reference.group.as_str(), reference.kind.as_str()) {
        ("" | "core", "Service") => {
            match view.service_of(namespace, name) {
                None => note("TargetNotFound", missing()),
                Some(service) if service.waypoints.is_empty() => {
                    let text = format!("Service {name} is bound to no waypoint, so it has no effect there");
                    note("AncestorNotBound", format!("{text}; label it istio.io/use-waypoint"));
                }
                Some(_) => {}
            }
            vec![Target::Service(view.objects.service_key_of(namespace, name))]
        }
        ("networking.istio.io", "ServiceEntry") => {
            let Some(entry) = view.objects.istio.service_entries.get(namespace, name) else {
                note("TargetNotFound", missing());
                return Vec::new();
            };
            let bound =
                |key: &ServiceKey| view.service(key).is_some_and(|service| !service.waypoints.is_empty());
            let keys: Vec<ServiceKey> = keys(entry).collect();
            if !keys.iter().any(bound) {
                let text = format!("ServiceEntry {name} is bound to no waypoint, so it has no effect there");
                note("AncestorNotBound", format!("{text}; label it istio.io/use-waypoint"));
            }
            keys.into_iter().map(Target::Service).collect()
        }
        (GATEWAY_GROUP, "Gateway") => {
            if view.objects.gateway_api.gateways.get(namespace, name).is_none() {
                note("TargetNotFound", missing());
            }
            vec![Target::Gateway { namespace: namespace.into(), name: name.into() }]
        }
        (GATEWAY_GROUP, "GatewayClass") if namespace == view.objects.mesh.root_namespace => {
            let used = |gateway: &&std::sync::Arc<ambit_kubernetes::gateway_api::Gateway>| {
                gateway.spec.gateway_class_name == name
            };
            if view.objects.gateway_api.gateways.iter().find(used).is_none() {
                note("TargetNotFound", format!("no Gateway is of the class {name}"));
            }
            vec![Target::GatewayClass(name.into())]
        }
        (GATEWAY_GROUP, "GatewayClass") => {
            let root = &view.objects.mesh.root_namespace;
            let text =
                format!("GatewayClass {name} can be a target in namespace {root} only, so it has no effect");
            note("Invalid", text);
            Vec::new()
        }
        (group, kind) => {
            note("Invalid", format!("{kind} of group {group:?} is no target here, so it has no effect"));
            Vec::new()
        }
    }
}
