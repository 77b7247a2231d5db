//! What a route is attached to: the parents that accept it, and a note for each that does not.

use ambit_kubernetes::gateway_api::{GATEWAY_GROUP, Gateway, Listener, ParentRef};
use ambit_model::l7::Target;
use ambit_model::l7::route::Parent;

use super::{Author, View, gateways};
use crate::index::condition::unmet;

/// Why a parent does not accept a route: a reason of the Gateway API's, and a text.
struct Refusal(&'static str, String);

/// The parents that accept a route with these host names.
pub(super) fn parents(
    refs: &[ParentRef],
    hostnames: &[String],
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Vec<Parent> {
    let mut accepted = Vec::new();
    for reference in refs {
        let namespace = reference.namespace_from(&author.metadata.namespace);
        let named = format!("{} {namespace}/{}", reference.of().1, reference.name);
        let outcome = match reference.of() {
            ("", "Service") => service(reference, namespace, view).map(|(parent, bound)| {
                if !bound {
                    let text = format!("{named} is bound to no waypoint, so the route has no effect; label it istio.io/use-waypoint");
                    notes.push(unmet(author, "ResolvedWaypoints", "MissingUseWaypointLabel", text));
                }
                vec![parent]
            }),
            (GATEWAY_GROUP, "Gateway") => gateway(reference, namespace, hostnames, author, view),
            (group, kind) => {
                let text = format!("{kind} of group {group:?} is no parent here; use a Gateway or Service");
                Err(Refusal("InvalidKind", text))
            }
        };
        match outcome {
            Ok(parents) => accepted.extend(parents),
            Err(Refusal(reason, text)) => {
                notes.push(unmet(author, "Accepted", reason, format!("parent {named}: {text}")));
            }
        }
    }
    accepted
}

/// A Service, and whether it is bound to a waypoint.
fn service(reference: &ParentRef, namespace: &str, view: &View<'_>) -> Result<(Parent, bool), Refusal> {
    let no_match = |text: String| Refusal("NoMatchingParent", text);
    let service = view
        .service_of(namespace, &reference.name)
        .ok_or_else(|| no_match("there is no such Service that is published".to_owned()))?;
    let section = match &reference.section_name {
        None => None,
        Some(section) => {
            let port = view.objects.port_named(namespace, &reference.name, section);
            Some(port.ok_or_else(|| no_match(format!("it has no port named {section:?}")))?)
        }
    };
    let port = reference.port.or(section);
    let fits = |number: u16| service.ports.iter().any(|port| port.service_port == number);
    if reference.port.is_some() && section.is_some() && reference.port != section {
        return Err(no_match("its sectionName and port are two ports".to_owned()));
    }
    if let Some(number) = port.filter(|number| !fits(*number)) {
        return Err(no_match(format!("it has no port {number}")));
    }
    let parent = Parent { target: Target::Service(service.key.clone()), port, section: None };
    Ok((parent, !service.waypoints.is_empty()))
}

/// The listeners of a Gateway that accept the route.
fn gateway(
    reference: &ParentRef,
    namespace: &str,
    hostnames: &[String],
    author: &Author<'_>,
    view: &View<'_>,
) -> Result<Vec<Parent>, Refusal> {
    if view.waypoints.get(namespace, &reference.name).is_some() {
        let text = "it is a waypoint, to which routes are not attached; name the Services behind it";
        return Err(Refusal("NotAllowedByListeners", text.to_owned()));
    }
    let gateway = view.objects.gateway_api.gateways.get(namespace, &reference.name);
    let gateway =
        gateway.ok_or_else(|| Refusal("NoMatchingParent", "there is no such Gateway".to_owned()))?;
    if !gateways::is_served(gateway, view) {
        let text = format!("nobody here serves its class {:?}", gateway.spec.gateway_class_name);
        return Err(Refusal("Pending", text));
    }
    let named = |listener: &&Listener| {
        reference.section_name.as_ref().is_none_or(|section| *section == listener.name)
            && reference.port.is_none_or(|port| port == listener.port)
    };
    let listeners: Vec<&Listener> = gateway.spec.listeners.iter().filter(named).collect();
    if listeners.is_empty() {
        return Err(Refusal("NoMatchingParent", "it has no such listener".to_owned()));
    }
    let allowing: Vec<&Listener> =
        listeners.into_iter().filter(|listener| allows(listener, gateway, author, view)).collect();
    if allowing.is_empty() {
        let text = "none of its listeners admits routes of this kind and namespace".to_owned();
        return Err(Refusal("NotAllowedByListeners", text));
    }
    let fitting: Vec<&Listener> = allowing
        .into_iter()
        .filter(|listener| {
            hostnames.is_empty() || hostnames.iter().any(|name| intersect(name, listener.hostname.as_deref()))
        })
        .collect();
    if fitting.is_empty() {
        let text = "no listener has one of the route's host names".to_owned();
        return Err(Refusal("NoMatchingListenerHostname", text));
    }
    let target = Target::Gateway { namespace: namespace.into(), name: gateway.metadata.name.as_str().into() };
    let parent = |listener: &Listener| Parent {
        target: target.clone(),
        port: Some(listener.port),
        section: Some(listener.name.as_str().into()),
    };
    Ok(fitting.into_iter().map(parent).collect())
}

/// Whether a listener admits routes of the author's kind and namespace.
fn allows(listener: &Listener, gateway: &Gateway, author: &Author<'_>, view: &View<'_>) -> bool {
    let kind = author.kind();
    let spoken: &[&str] = match listener.protocol.as_str() {
        "HTTP" | "HTTPS" => &["HTTPRoute", "GRPCRoute"],
        "TLS" => &["TLSRoute", "TCPRoute"],
        "TCP" => &["TCPRoute"],
        _ => &[],
    };
    let kinds = listener.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
    let listed = kinds.is_empty()
        || kinds.iter().any(|allowed| {
            allowed.kind == kind && allowed.group.as_deref().is_none_or(|group| group == GATEWAY_GROUP)
        });
    let from = author.metadata.namespace.as_str();
    let empty = std::collections::BTreeMap::new();
    let labels = view.objects.namespace(from).map_or(&empty, |namespace| &namespace.metadata.labels);
    spoken.contains(&kind.as_str()) && listed && listener.admits(from, labels, &gateway.metadata.namespace)
}

/// Whether some host has both names, `*.` allowed in front of each.
fn intersect(name: &str, listener: Option<&str>) -> bool {
    let Some(listener) = listener.filter(|listener| !listener.is_empty()) else { return true };
    let below = |name: &str, wild: &str| name.len() > wild.len() && name.ends_with(wild);
    match (name.strip_prefix('*'), listener.strip_prefix('*')) {
        (None, None) => name == listener,
        (Some(wild), None) => below(listener, wild),
        (None, Some(wild)) => below(name, wild),
        (Some(one), Some(other)) => one.ends_with(other) || other.ends_with(one),
    }
}

#[cfg(test)]
mod tests {
    use super::intersect;

    #[test]
    fn host_names_intersect() {
        for (name, listener, expected) in [
            ("a.example.com", None, true),
            ("a.example.com", Some("a.example.com"), true),
            ("a.example.com", Some("b.example.com"), false),
            ("a.example.com", Some("*.example.com"), true),
            ("a.b.example.com", Some("*.example.com"), true),
            ("example.com", Some("*.example.com"), false),
            ("aexample.com", Some("*.example.com"), false),
            ("*.example.com", Some("a.example.com"), true),
            ("*.example.com", Some("example.com"), false),
            ("*.example.com", Some("*.a.example.com"), true),
            ("*.a.example.com", Some("*.b.example.com"), false),
        ] {
            assert_eq!(intersect(name, listener), expected, "{name} {listener:?}");
        }
    }
}
