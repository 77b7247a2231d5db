//! Waypoints: which Gateways are one, who is behind them, and what is bound to them.
//!
//! What asks for a waypoint that it cannot have is bound to a name that nobody has, so that it is refused rather than
//! reached around its policies. Istio leaves such a binding out.

mod binding;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ambit_kubernetes::gateway_api::{Gateway, GatewayClass, Listener};
use ambit_kubernetes::{Metadata, Pod, annotations, labels};
use ambit_model::service::{AppProtocol, Port, ServiceKey};
use ambit_model::traffic::ports::HBONE;
use ambit_model::workload::Tunnel;
use ambit_model::{Identity, Service, Text, Workload};

use super::condition::unmet;
use super::objects::{Objects, Place, Placed, place, published};
pub(super) use binding::{Bound, asked, of_entry, of_pod, of_service};

/// Classes that are waypoints wherever no GatewayClass says who serves them.
const CLASSES: [&str; 2] = ["ambit-waypoint", "istio-waypoint"];
/// Controllers whose classes are waypoints.
const CONTROLLERS: [&str; 2] = ["ambit.mesh/waypoint", "istio.io/mesh-controller"];

/// The Gateways that are waypoints.
#[derive(Debug, Default)]
pub(super) struct Waypoints {
    known: Placed<Waypoint>,
    keys: HashMap<ServiceKey, Arc<Waypoint>>,
}

/// One waypoint.
#[derive(Debug)]
pub(super) struct Waypoint {
    pub(super) gateway: Arc<Gateway>,
    traffic: Traffic,
    /// The service in front of its pods.
    pub(super) key: ServiceKey,
    pods: Vec<Arc<Pod>>,
}

/// What traffic a waypoint is for (`istio.io/waypoint-for`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traffic {
    Service,
    Workload,
    All,
    None,
}

impl Waypoints {
    pub(super) fn new(objects: &Objects) -> Self {
        let mut all = Self::default();
        for gateway in objects.gateway_api.gateways.iter() {
            let class = objects.gateway_api.class(&gateway.spec.gateway_class_name);
            if is_waypoint(gateway, class) {
                let waypoint = Arc::new(Waypoint::new(gateway, class, objects));
                all.known.insert(&gateway.metadata, &waypoint);
                all.keys.insert(waypoint.key.clone(), waypoint);
            }
        }
        all
    }

    /// The waypoint of a namespace and name.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Waypoint>> {
        self.known.get(namespace, name)
    }

    /// The waypoint in front of whose pods a service is.
    pub(super) fn behind(&self, key: &ServiceKey) -> Option<&Arc<Waypoint>> {
        self.keys.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Waypoint>> {
        self.known.iter()
    }

    /// The waypoints to which something would be bound otherwise than to those of `other`.
    pub(super) fn differing(&self, other: &Self) -> BTreeSet<Place> {
        let differ = |one: &Self, other: &Self, found: &mut BTreeSet<Place>| {
            for waypoint in one.known.iter() {
                let metadata = &waypoint.gateway.metadata;
                let same = |other: &Arc<Waypoint>| waypoint.binds_as(other);
                if !other.get(&metadata.namespace, &metadata.name).is_some_and(same) {
                    found.insert(place(metadata));
                }
            }
        };
        let mut found = BTreeSet::new();
        differ(self, other, &mut found);
        differ(other, self, &mut found);
        found
    }

    /// Makes of a pod's workload what waypoints make of it: one that serves a waypoint speaks HBONE itself and is behind
    /// the waypoint's service even where nobody wrote one, any other is bound.
    pub(super) fn attach(&self, workload: &mut Workload, pod: &Pod, bound: &Bound) {
        if let Some(gateway) = &bound.gateway {
            workload.waypoint = Some(Arc::new(gateway.clone()));
        }
        let serves = gateway_name(pod).and_then(|name| self.get(&pod.metadata.namespace, name));
        if let Some(waypoint) = serves {
            workload.tunnel = Tunnel::Hbone;
            workload.native_tunnel = true;
            if !workload.services.contains_key(&waypoint.key) {
                workload.services.insert(waypoint.key.clone(), tunnel_ports());
            }
        }
    }

    /// What is wrong with the waypoints.
    pub(super) fn notes(&self, objects: &Objects) -> Vec<String> {
        let mut notes: Vec<String> = self.known.iter().flat_map(|waypoint| waypoint.notes(objects)).collect();
        notes.sort();
        notes
    }
}

impl Waypoint {
    fn new(gateway: &Arc<Gateway>, class: Option<&GatewayClass>, objects: &Objects) -> Self {
        let metadata = &gateway.metadata;
        let said = |metadata: &Metadata| metadata.label(labels::WAYPOINT_FOR).map(Traffic::from_label);
        let traffic = said(metadata).or_else(|| said(&class?.metadata)).unwrap_or(Traffic::Service);
        let serves = |pod: &&Arc<Pod>| published(pod) && gateway_name(pod) == Some(&*metadata.name);
        Self {
            gateway: gateway.clone(),
            traffic,
            key: objects.service_key_of(&metadata.namespace, &metadata.name),
            pods: objects.pods.of(&metadata.namespace).filter(serves).cloned().collect(),
        }
    }

    /// Where tunnels come in; `None` where it listens nowhere, so that nothing can be bound to it.
    fn listener(&self) -> Option<&Listener> {
        let tunnels = |listener: &&Listener| listener.protocol == "HBONE" && listener.port == HBONE;
        self.gateway.spec.listeners.iter().find(tunnels)
    }

    fn binds_as(&self, other: &Self) -> bool {
        self.traffic == other.traffic && self.listener() == other.listener() && self.key == other.key
    }

    /// The identities of its pods as principals, without the scheme.
    pub(super) fn principals(&self, trust_domain: &str) -> BTreeSet<Text> {
        let identity =
            |pod: &Arc<Pod>| Identity::new(trust_domain, &pod.metadata.namespace, pod.service_account()).ok();
        let principal = |identity: Identity| {
            let text = identity.to_string();
            Text::from(text.strip_prefix("spiffe://").unwrap_or(&text))
        };
        self.pods.iter().filter_map(identity).map(principal).collect()
    }

    /// A service in front of its pods, for want of one that was written. It has no addresses: it is found by name only.
    pub(super) fn service(&self) -> Service {
        let mut service = Service::new(&self.gateway.metadata.name, self.key.clone());
        service.ports = tunnel_ports();
        service
    }

    fn notes(&self, objects: &Objects) -> Vec<String> {
        let (namespace, name) = (&self.gateway.metadata.namespace, &self.gateway.metadata.name);
        let mut notes = Vec::new();
        let mut note = |condition: &str, reason: &str, text: &str| {
            notes.push(unmet(format!("Gateway {namespace}/{name}"), condition, reason, text));
        };
        if self.listener().is_none() {
            let text = "a waypoint listens on port 15008 with protocol HBONE; add such a listener";
            note("Accepted", "ListenersNotValid", text);
        }
        let listeners = self.gateway.spec.listeners.iter();
        for other in listeners.filter(|other| other.protocol != "HBONE" || other.port != HBONE) {
            let text = format!("listener {} is not served: a waypoint has HBONE on 15008 only", other.name);
            note("Accepted", "UnsupportedProtocol", &text);
        }
        if self.gateway.metadata.annotation(annotations::WAYPOINT_INBOUND_BINDING).is_some() {
            let text =
                "ambient.istio.io/waypoint-inbound-binding is not honoured: waypoints end tunnels themselves";
            note("Accepted", "UnsupportedValue", text);
        }
        if self.pods.is_empty() && self.traffic != Traffic::None {
            let text = "no pod serves it, so what is bound to it is refused; run one with the label \
                        gateway.networking.k8s.io/gateway-name";
            note("Programmed", "AddressNotAssigned", text);
        }
        let enrolled = |pod: &&Arc<Pod>| {
            ambit_kubernetes::enrolled(pod, objects.namespace(&pod.metadata.namespace)).is_enrolled()
        };
        for pod in self.pods.iter().filter(enrolled) {
            let text = format!(
                "its pod {} is enrolled in the mesh, whose listeners take its port; label it istio.io/dataplane-mode: none",
                pod.metadata.name
            );
            note("Programmed", "Invalid", &text);
        }
        notes
    }
}

impl Traffic {
    /// Other values are refused when they are read.
    fn from_label(label: &str) -> Self {
        match label {
            "workload" => Self::Workload,
            "all" => Self::All,
            "service" => Self::Service,
            _ => Self::None,
        }
    }
}

/// The ports of a waypoint's service: that of the tunnels alone.
fn tunnel_ports() -> Vec<Port> {
    vec![Port { service_port: HBONE, target_port: HBONE, protocol: AppProtocol::Unknown }]
}

fn is_waypoint(gateway: &Gateway, class: Option<&GatewayClass>) -> bool {
    match class {
        Some(class) => CONTROLLERS.contains(&class.spec.controller_name.as_str()),
        None => CLASSES.contains(&gateway.spec.gateway_class_name.as_str()),
    }
}

/// The Gateway that a pod serves.
pub(super) fn gateway_name(pod: &Pod) -> Option<&str> {
    pod.metadata.label(labels::GATEWAY_NAME)
}
