//! What may come out differently because an object came, went or changed.

use std::collections::BTreeSet;

use ambit_kubernetes::{Object, WorkloadSelector, matches};

use super::objects::{Objects, Place, place};
use super::waypoints::gateway_name;

/// What must be derived anew. Asked before an object goes, and after it came.
#[derive(Debug, Default)]
pub(super) struct Affected {
    /// Everything: what the whole mesh shares has changed.
    pub(super) everything: bool,
    /// The effect of PeerAuthentications.
    pub(super) authentication: bool,
    /// Whatever follows from EndpointSlices.
    pub(super) endpoints: bool,
    /// Which Gateways are waypoints, and who serves them.
    pub(super) waypoints: bool,
    /// What follows from ServiceEntries.
    pub(super) entries: bool,
    /// What waypoints are told, and what that refers to beside services.
    pub(super) routes: bool,
    pub(super) pods: BTreeSet<Place>,
    pub(super) services: BTreeSet<Place>,
    pub(super) policies: BTreeSet<Place>,
}

impl Affected {
    /// By an object that is part of these.
    pub(super) fn by(&mut self, object: &Object, objects: &Objects) {
        let metadata = object.metadata();
        let (namespace, root) = (metadata.namespace.as_str(), objects.mesh.root_namespace.as_str());
        self.waypoints |=
            matches!(object, Object::Namespace(_) | Object::Gateway(_) | Object::GatewayClass(_));
        // Endpoints may be pods, hosts may be Services', and namespaces say which waypoint it is.
        let touches_entries =
            matches!(object, Object::Namespace(_) | Object::Pod(_) | Object::Service(_) | Object::Gateway(_));
        self.entries |= matches!(object, Object::ServiceEntry(_))
            || (touches_entries && !objects.istio.service_entries.is_empty());
        match object {
            Object::Namespace(_) if metadata.name == root => self.everything = true,
            Object::Namespace(_) => self.by_namespace(&metadata.name, objects),
            Object::Node(_) => self.pods.extend(objects.on_node(&metadata.name).cloned()),
            Object::ServiceAccount(_) => {}
            Object::Pod(pod) => {
                self.pods.insert(place(metadata));
                self.waypoints |= gateway_name(pod).is_some();
                self.endpoints |= !objects.slices.is_empty();
            }
            Object::Service(service) => {
                self.services.insert(place(metadata));
                self.endpoints |= !objects.slices.is_empty();
                if !service.spec.selector.is_empty() {
                    let behind = objects.pods.of(namespace);
                    let behind = behind.filter(|pod| matches(&service.spec.selector, &pod.metadata.labels));
                    self.pods.extend(behind.map(|pod| place(&pod.metadata)));
                }
            }
            Object::EndpointSlice(_) => self.endpoints = true,
            Object::AuthorizationPolicy(policy) => {
                self.policies.insert(place(metadata));
                self.routes |= policy.spec.targets().next().is_some();
                if let Some(selector) = &policy.spec.selector {
                    self.by_selector(selector, namespace, objects);
                }
            }
            Object::PeerAuthentication(policy) => {
                self.authentication = true;
                let all = WorkloadSelector::default();
                self.by_selector(policy.spec.selector.as_ref().unwrap_or(&all), namespace, objects);
            }
            // The rest is what waypoints are told.
            _ => self.routes = true,
        }
    }

    /// By an enrolment, or by what a Namespace says for its Services.
    fn by_namespace(&mut self, namespace: &str, objects: &Objects) {
        self.pods.extend(objects.pods.of(namespace).map(|pod| place(&pod.metadata)));
        self.services.extend(objects.services.of(namespace).map(|service| place(&service.metadata)));
        // Its labels may admit its routes to Gateways.
        self.routes = true;
    }

    /// By what picks pods of a namespace, or of all when it is the root namespace.
    fn by_selector(&mut self, selector: &WorkloadSelector, namespace: &str, objects: &Objects) {
        let picked = |pod: &&std::sync::Arc<ambit_kubernetes::Pod>| selector.matches(&pod.metadata.labels);
        if namespace == objects.mesh.root_namespace {
            self.pods.extend(objects.pods.iter().filter(picked).map(|pod| place(&pod.metadata)));
        } else {
            self.pods.extend(objects.pods.of(namespace).filter(picked).map(|pod| place(&pod.metadata)));
        }
    }

    /// Everything that there is, beside what is gone.
    pub(super) fn extend_to_all(&mut self, objects: &Objects) {
        self.authentication = true;
        self.endpoints = true;
        self.waypoints = true;
        self.entries = true;
        self.routes = true;
        self.pods.extend(objects.pods.iter().map(|pod| place(&pod.metadata)));
        self.services.extend(objects.services.iter().map(|service| place(&service.metadata)));
        self.policies.extend(objects.authorization.iter().map(|policy| place(&policy.metadata)));
    }
}
