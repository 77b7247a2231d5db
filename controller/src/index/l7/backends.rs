//! Where a rule's requests go: names resolved, permissions asked for.

use ambit_kubernetes::gateway_api::{BackendObject, GATEWAY_GROUP};
use ambit_model::Text;
use ambit_model::l7::Target;
use ambit_model::l7::route::{BackendRef, Parent};

use super::{Author, View};
use crate::index::condition::unmet;

/// A place, and why it cannot be used.
pub(super) struct Resolved {
    pub(super) to: BackendRef,
    pub(super) invalid: Option<Text>,
}

/// Resolves what a route names. In another namespace a ReferenceGrant must permit it, unless the route is attached to that
/// very Service: its requests would go there without the route, too. The Gateway API asks meshes for no grant; but a
/// waypoint forwards under an identity of its own, so that a route could lend it to strangers.
pub(super) fn resolve(
    object: &BackendObject,
    parents: &[Parent],
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Resolved {
    let namespace = object.namespace_from(&author.metadata.namespace);
    let service = view.objects.service_key_of(namespace, &object.name);
    let to = BackendRef { service, port: object.port.unwrap_or(0), subset: None };
    let through_gateway = parents.iter().any(|parent| matches!(parent.target, Target::Gateway { .. }));
    let published = view.service_of(namespace, &object.name);
    if through_gateway && published.is_some_and(|service| !service.waypoints.is_empty()) {
        let line = format!(
            "{author}: Service {namespace}/{} is bound to a waypoint, which gateways do not pass: its routes do not apply to their requests, and where it has policies they are refused",
            object.name
        );
        if !notes.contains(&line) {
            notes.push(line);
        }
    }
    let invalid = refusal(object, namespace, &to, parents, author, view).map(|(reason, text)| {
        let line = unmet(author, "ResolvedRefs", reason, &text);
        if !notes.contains(&line) {
            notes.push(line);
        }
        Text::from(text)
    });
    Resolved { to, invalid }
}

fn refusal(
    object: &BackendObject,
    namespace: &str,
    to: &BackendRef,
    parents: &[Parent],
    author: &Author<'_>,
    view: &View<'_>,
) -> Option<(&'static str, String)> {
    let named = format!("{} {namespace}/{}", object.of().1, object.name);
    if object.of() != ("", "Service") {
        return Some(("InvalidKind", format!("backend {named} is no Service; use one")));
    }
    let own = namespace == author.metadata.namespace;
    let parent = parents.iter().any(|parent| parent.target == Target::Service(to.service.clone()));
    let from = (GATEWAY_GROUP, &*author.kind(), author.metadata.namespace.as_str());
    let granted = || view.objects.gateway_api.grants(from, namespace, ("", "Service", &object.name));
    if !own && !parent && !granted() {
        let text = format!("backend {named} is in another namespace; permit it by a ReferenceGrant there");
        return Some(("RefNotPermitted", text));
    }
    let Some(service) = view.service_of(namespace, &object.name) else {
        return Some(("BackendNotFound", format!("backend {named} does not exist")));
    };
    if !service.ports.iter().any(|port| port.service_port == to.port) {
        return Some(("BackendNotFound", format!("backend {named} has no port {}", to.port)));
    }
    None
}
