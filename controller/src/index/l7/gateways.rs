//! Gateways with listeners of their own: which are served here, and what they listen on.

use std::collections::BTreeSet;

use ambit_identity::OutsideCertificate;
use ambit_kubernetes::gateway_api::{
    GATEWAY_GROUP, Gateway as Written, Listener as WrittenListener, TlsMode,
};
use ambit_model::Text;
use ambit_model::l7::destination_rule::Secret as Key;
use ambit_model::l7::gateway::{Gateway, Listener, Protocol, ServerCertificate};
use ambit_model::l7::{ObjectKey, ObjectKind};
use ambit_model::traffic::ports;

use super::View;
use crate::index::condition::unmet;
use crate::index::objects::published;
use crate::index::waypoints::gateway_name;

/// Classes that are served here wherever no GatewayClass says who serves them.
const CLASSES: [&str; 2] = ["ambit", "istio"];
/// What every proxy listens on itself.
const OWN_PORTS: [u16; 4] = [ports::HBONE, ports::ADMIN, ports::STATS, ports::READINESS];
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
        let accounts = accounts(written, view);
        if accounts.is_empty() {
            let text = "no pod serves it; run one with the label gateway.networking.k8s.io/gateway-name";
            notes.push(unmet(named(written), "Programmed", "AddressNotAssigned", text));
        }
        gateways.push(Gateway {
            key: ObjectKey::new(ObjectKind::Gateway, namespace, name),
            class: written.spec.gateway_class_name.as_str().into(),
            listeners: listeners.filter_map(|one| listener(one, written, view, notes)).collect(),
            accounts,
        });
    }
    gateways
}

fn named(gateway: &Written) -> String {
    format!("Gateway {}/{}", gateway.metadata.namespace, gateway.metadata.name)
}

/// The service accounts of the pods that serve a Gateway.
fn accounts(gateway: &Written, view: &View<'_>) -> Vec<Text> {
    let (namespace, name) = (&gateway.metadata.namespace, gateway.metadata.name.as_str());
    let pods = view.objects.pods.of(namespace);
    let serving = pods.filter(|pod| published(pod) && gateway_name(pod) == Some(name));
    let accounts: BTreeSet<Text> = serving.map(|pod| pod.service_account().into()).collect();
    accounts.into_iter().collect()
}

/// Whether a Gateway that is no waypoint is served here.
pub(super) fn is_served(gateway: &Written, view: &View<'_>) -> bool {
    let class = gateway.spec.gateway_class_name.as_str();
    match view.objects.gateway_api.class(class) {
        Some(class) => CONTROLLERS.contains(&class.spec.controller_name.as_str()),
        None => CLASSES.contains(&class),
    }
}

/// Why a listener is not served: a condition, its reason, a text.
type Unmet = (&'static str, &'static str, String);

fn listener(
    written: &WrittenListener,
    gateway: &Written,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Option<Listener> {
    let named = named(gateway);
    if conflicting(written, gateway) {
        let text = "another listener speaks something else on its port";
        let text = format!("listener {}: {text}", written.name);
        // The one condition whose hoped-for value is False.
        notes.push(format!("{named}: Conflicted=True (ProtocolConflict): {text}"));
        return None;
    }
    let mut note = |(condition, reason, text): Unmet| {
        notes.push(unmet(&named, condition, reason, format!("listener {}: {text}", written.name)));
    };
    let protocol = protocol(written).map_err(&mut note).ok()?;
    let certificates = match protocol {
        // It keeps its hosts: their requests must not fall to a listener with another certificate.
        Protocol::Https => certificate(written, gateway, view).map_err(&mut note).ok().into_iter().collect(),
        _ => Vec::new(),
    };
    Some(Listener {
        name: written.name.as_str().into(),
        port: written.port,
        protocol,
        hostname: written.hostname.as_deref().filter(|name| !name.is_empty()).map(Into::into),
        certificates,
    })
}

/// What a listener speaks, or which condition it does not meet.
fn protocol(written: &WrittenListener) -> Result<Protocol, Unmet> {
    if OWN_PORTS.contains(&written.port) {
        let text = format!("port {} is the proxy's own; use another", written.port);
        return Err(("Accepted", "PortUnavailable", text));
    }
    match written.protocol.as_str() {
        "HTTP" => Ok(Protocol::Http),
        "HTTPS" => Ok(Protocol::Https),
        _ => {
            let text = "its protocol is not served; use HTTP or HTTPS".to_owned();
            Err(("Accepted", "UnsupportedProtocol", text))
        }
    }
}

/// The certificate of a listener that ends TLS.
fn certificate(
    written: &WrittenListener,
    gateway: &Written,
    view: &View<'_>,
) -> Result<ServerCertificate, Unmet> {
    let unfit = |text: &str| {
        let text = format!("{text}, so that its handshakes are refused");
        ("ResolvedRefs", "InvalidCertificateRef", text)
    };
    let tls = written.tls.as_ref().ok_or_else(|| unfit("tls names no certificate"))?;
    if tls.mode == Some(TlsMode::Passthrough) {
        return Err(unfit("TLS that passes through shows no requests; use mode Terminate"));
    }
    if let Some(option) = tls.options.keys().next() {
        return Err(unfit(&format!("tls.options {option} is not honoured; remove it")));
    }
    let [reference] = &tls.certificate_refs[..] else {
        return Err(unfit("tls.certificateRefs must name one Secret"));
    };
    let kind = reference.kind.as_deref().unwrap_or("Secret");
    if kind != "Secret" || !matches!(&*reference.group, "" | "core") {
        return Err(unfit(&format!("{kind} {} is no Secret; use one", reference.name)));
    }
    let own = &gateway.metadata.namespace;
    let (namespace, name) = (reference.namespace.as_ref().unwrap_or(own), &reference.name);
    let from = (GATEWAY_GROUP, "Gateway", own.as_str());
    if namespace != own && !view.objects.gateway_api.grants(from, namespace, ("", "Secret", name)) {
        let text =
            format!("Secret {namespace}/{name} is in another namespace; permit it by a ReferenceGrant there");
        return Err(("ResolvedRefs", "RefNotPermitted", text));
    }
    let secret = view.objects.gateway_api.secrets.get(namespace, name);
    let missing = || unfit(&format!("Secret {namespace}/{name} of type kubernetes.io/tls does not exist"));
    let secret = secret.ok_or_else(missing)?;
    OutsideCertificate::from_pem(&secret.chain, &secret.key)
        .map_err(|error| unfit(&format!("Secret {namespace}/{name}: {error}")))?;
    Ok(ServerCertificate { chain: secret.chain.as_str().into(), key: Key(secret.key.as_str().into()) })
}

/// Whether a listener of the same port speaks something that cannot be told apart from it.
fn conflicting(one: &WrittenListener, gateway: &Written) -> bool {
    let family = |listener: &WrittenListener| match listener.protocol.as_str() {
        "HTTPS" | "TLS" => "TLS".to_owned(),
        other => other.to_owned(),
    };
    gateway.spec.listeners.iter().any(|other| other.port == one.port && family(other) != family(one))
}
