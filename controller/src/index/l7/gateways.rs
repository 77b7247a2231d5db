//! Gateways with listeners of their own: which are served here, and what they listen on.

use ambit_kubernetes::gateway_api::{Gateway as Written, Listener as WrittenListener, TlsMode};
use ambit_model::l7::gateway::{Gateway, Listener, Protocol};
use ambit_model::l7::{ObjectKey, ObjectKind};

use super::View;
use crate::index::condition::unmet;

/// Classes that are served here wherever no GatewayClass says who serves them.
const CLASSES: [&str; 2] = ["ambit", "istio"];
/// Controllers whose classes are served here.
const CONTROLLERS: [&str; 2] = ["ambit.mesh/gateway", "istio.io/gateway-controller"];

/// The Gateways that are served here, waypoints excepted.
pub(super) fn gateways(view: &View<'_>, notes: &mut Vec<String>) -> Vec<Gateway> {
    let all = view.objects.gateway_api.gateways.iter();
    let mut gateways = Vec::new();
    for written in all {
        let (namespace, name) = (&written.metadata.namespace, &written.metadata.name);
        if view.waypoints.get(namespace, name).is_some() {
            continue;
        }
        if !is_served(written, view) {
            let text = format!("nobody here serves the class {:?}", written.spec.gateway_class_name);
            notes.push(unmet(format!("Gateway {namespace}/{name}"), "Accepted", "Pending", text));
            continue;
        }
        let listeners = written.spec.listeners.iter();
        gateways.push(Gateway {
            key: ObjectKey::new(ObjectKind::Gateway, namespace, name),
            class: written.spec.gateway_class_name.as_str().into(),
            listeners: listeners.filter_map(|one| listener(one, written, notes)).collect(),
        });
    }
    gateways
}

/// Whether a Gateway that is no waypoint is served here.
pub(super) fn is_served(gateway: &Written, view: &View<'_>) -> bool {
    let class = gateway.spec.gateway_class_name.as_str();
    match view.objects.gateway_api.class(class) {
        Some(class) => CONTROLLERS.contains(&class.spec.controller_name.as_str()),
        None => CLASSES.contains(&class),
    }
}

fn listener(written: &WrittenListener, gateway: &Written, notes: &mut Vec<String>) -> Option<Listener> {
    let outcome = protocol(written).and_then(|protocol| match conflicting(written, gateway) {
        true => Err(("Conflicted", "ProtocolConflict", "another listener speaks something else on its port")),
        false => Ok(protocol),
    });
    let (namespace, name) = (&gateway.metadata.namespace, &gateway.metadata.name);
    match outcome {
        Ok(protocol) => Some(Listener {
            name: written.name.as_str().into(),
            port: written.port,
            protocol,
            hostname: written.hostname.as_deref().filter(|name| !name.is_empty()).map(Into::into),
            certificates: Vec::new(),
        }),
        // The one condition whose hoped-for value is False.
        Err(("Conflicted", reason, text)) => {
            let text = format!("listener {}: {text}", written.name);
            notes.push(format!("Gateway {namespace}/{name}: Conflicted=True ({reason}): {text}"));
            None
        }
        Err((condition, reason, text)) => {
            let text = format!("listener {}: {text}", written.name);
            notes.push(unmet(format!("Gateway {namespace}/{name}"), condition, reason, text));
            None
        }
    }
}

/// What a listener speaks, or which condition it does not meet, for which reason.
fn protocol(written: &WrittenListener) -> Result<Protocol, (&'static str, &'static str, &'static str)> {
    let passes = written.tls.as_ref().is_some_and(|tls| tls.mode == Some(TlsMode::Passthrough));
    match written.protocol.as_str() {
        "HTTP" => Ok(Protocol::Http),
        "TCP" => Ok(Protocol::Tcp),
        "TLS" if passes => Ok(Protocol::TlsPassthrough),
        "HTTPS" | "TLS" => {
            Err(("ResolvedRefs", "InvalidCertificateRef", "Secrets are not read here, so it is not served"))
        }
        _ => Err(("Accepted", "UnsupportedProtocol", "its protocol is not served; use HTTP, TCP or TLS")),
    }
}

/// Whether a listener of the same port speaks something that cannot be told apart from it.
fn conflicting(one: &WrittenListener, gateway: &Written) -> bool {
    let family = |listener: &WrittenListener| match listener.protocol.as_str() {
        "HTTPS" | "TLS" => "TLS".to_owned(),
        other => other.to_owned(),
    };
    gateway.spec.listeners.iter().any(|other| other.port == one.port && family(other) != family(one))
}
