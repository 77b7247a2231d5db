//! Which waypoint a service or pod is bound to (`istio.io/use-waypoint`), and whether the waypoint admits it.

use std::collections::BTreeMap;
use std::fmt;

use ambit_kubernetes::istio::ServiceEntry;
use ambit_kubernetes::{Metadata, Namespace, Pod, Service, labels};
use ambit_model::service::ServiceKey;
use ambit_model::traffic::ports::HBONE;
use ambit_model::workload::{Gateway, GatewayDestination};

use super::{Traffic, Waypoint, Waypoints, gateway_name};
use crate::index::condition::unmet;
use crate::index::objects::Objects;

const CONDITION: &str = "istio.io/WaypointBound";

/// What something is bound to, and what is wrong with that.
#[derive(Debug, Clone, Default)]
pub(in crate::index) struct Bound {
    /// What is published.
    pub(in crate::index) gateway: Option<Gateway>,
    pub(in crate::index) note: Option<String>,
}

/// What a label asks for.
#[derive(Debug, Clone, Copy)]
pub(in crate::index) struct Asked<'m> {
    pub(in crate::index) name: &'m str,
    pub(in crate::index) namespace: &'m str,
    /// The namespace asks, not the object.
    inherited: bool,
}

/// The waypoint of traffic to a service. That in front of a waypoint has none itself.
pub(in crate::index) fn of_service(service: &Service, objects: &Objects, waypoints: &Waypoints) -> Bound {
    let metadata = &service.metadata;
    if waypoints.get(&metadata.namespace, &metadata.name).is_some() {
        return Bound::default();
    }
    Request { metadata, kind: "Service", traffic: Traffic::Service }.bind(objects, waypoints)
}

/// The waypoint of traffic to the hosts of a ServiceEntry.
pub(in crate::index) fn of_entry(entry: &ServiceEntry, objects: &Objects, waypoints: &Waypoints) -> Bound {
    Request { metadata: &entry.metadata, kind: "ServiceEntry", traffic: Traffic::Service }
        .bind(objects, waypoints)
}

/// The waypoint of traffic to a pod's own address. A Gateway's pod has none itself.
pub(in crate::index) fn of_pod(pod: &Pod, objects: &Objects, waypoints: &Waypoints) -> Bound {
    if gateway_name(pod).is_some() {
        return Bound::default();
    }
    Request { metadata: &pod.metadata, kind: "Pod", traffic: Traffic::Workload }.bind(objects, waypoints)
}

/// What an object asks for by its own label, else by its namespace's; `none` asks for nothing.
pub(in crate::index) fn asked<'m>(
    metadata: &'m Metadata,
    namespace: Option<&'m Namespace>,
) -> Option<Asked<'m>> {
    let own = label(metadata, &metadata.namespace, false);
    let inherited = || label(&namespace?.metadata, &metadata.namespace, true);
    own.or_else(inherited)?
}

/// `Some(None)` for a label that opts out.
fn label<'m>(metadata: &'m Metadata, default: &'m str, inherited: bool) -> Option<Option<Asked<'m>>> {
    let name = metadata.label(labels::USE_WAYPOINT).filter(|name| !name.is_empty())?;
    if name == labels::WAYPOINT_NONE {
        return Some(None);
    }
    let namespace = metadata.label(labels::USE_WAYPOINT_NAMESPACE).filter(|name| !name.is_empty());
    Some(Some(Asked { name, namespace: namespace.unwrap_or(default), inherited }))
}

/// An object that may ask for a waypoint, and for which of its traffic.
struct Request<'m> {
    metadata: &'m Metadata,
    kind: &'static str,
    traffic: Traffic,
}

impl Request<'_> {
    fn bind(&self, objects: &Objects, waypoints: &Waypoints) -> Bound {
        let namespace = objects.namespace(&self.metadata.namespace);
        let Some(asked) = asked(self.metadata, namespace) else { return Bound::default() };
        let waypoint = waypoints.get(asked.namespace, asked.name);
        let Some(waypoint) = waypoint.filter(|waypoint| waypoint.listener().is_some()) else {
            return self.missing(asked);
        };
        if waypoint.traffic != self.traffic && waypoint.traffic != Traffic::All {
            // A namespace asks for all that it holds, and the waypoint says what of it.
            let text = format!(
                "waypoint {asked} is not for this kind of traffic, which goes without; set its label istio.io/waypoint-for"
            );
            let note = (!asked.inherited).then(|| self.note(asked, "UnsupportedTrafficType", &text));
            return Bound { gateway: None, note };
        }
        if !self.admitted(waypoint, namespace) {
            let text = format!(
                "waypoint {asked} does not admit namespace {}, so the traffic is refused; widen allowedRoutes of its listener",
                self.metadata.namespace
            );
            let note = self.note(asked, "AttachmentDenied", &text);
            return Bound { gateway: Some(through(asked.nobody("forbidden"))), note: Some(note) };
        }
        let canary = self.metadata.label(labels::USE_WAYPOINT_CANARY).map(|canary| {
            let text = format!("its canary {canary:?} is not served here, so all goes to {asked}");
            self.note(asked, "CanaryNotServed", &text)
        });
        Bound { gateway: Some(through(waypoint.key.clone())), note: canary }
    }

    /// A waypoint that is not there is taken to be one for services, unless the object itself asks for it.
    fn missing(&self, asked: Asked<'_>) -> Bound {
        if asked.inherited && self.traffic == Traffic::Workload {
            return Bound::default();
        }
        let text = format!(
            "there is no waypoint {asked} with a listener HBONE on 15008, so the traffic is refused; create it, or remove the label"
        );
        let note = self.note(asked, "WaypointIsNotReady", &text);
        Bound { gateway: Some(through(asked.nobody("missing"))), note: Some(note) }
    }

    fn admitted(&self, waypoint: &Waypoint, namespace: Option<&Namespace>) -> bool {
        let empty = BTreeMap::new();
        let labels = namespace.map_or(&empty, |namespace| &namespace.metadata.labels);
        let own = &waypoint.gateway.metadata.namespace;
        waypoint.listener().is_some_and(|listener| listener.admits(&self.metadata.namespace, labels, own))
    }

    fn note(&self, asked: Asked<'_>, reason: &str, text: &str) -> String {
        let object = match asked.inherited {
            true => format!("Namespace {}", self.metadata.namespace),
            false => format!("{} {}/{}", self.kind, self.metadata.namespace, self.metadata.name),
        };
        unmet(object, CONDITION, reason, text)
    }
}

fn through(key: ServiceKey) -> Gateway {
    Gateway { destination: GatewayDestination::Service(key), hbone_port: HBONE }
}

impl Asked<'_> {
    /// A name that no service has (RFC 6761 section 6.4).
    fn nobody(&self, why: &str) -> ServiceKey {
        ServiceKey::new(self.namespace, &format!("{}.{}.{why}.invalid", self.name, self.namespace))
    }
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
