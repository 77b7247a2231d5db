//! The objects of a configuration by kind and place, kept from change to change, and what can be looked up in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ambit_kubernetes::{
    AuthorizationPolicy, EndpointSlice, Metadata, Namespace, Node, Object, PeerAuthentication, Pod, Service,
    ServiceType, labels,
};
use ambit_model::service::ServiceKey;
use ambit_model::{Text, address};

use super::gateway_api::GatewayApi;
use super::istio::Istio;
use crate::settings::MeshSettings;

/// Where an object is: its namespace and name.
pub(super) type Place = (Text, Text);

/// Objects of one kind by namespace and name.
#[derive(Debug)]
pub(super) struct Placed<T>(HashMap<Text, BTreeMap<Text, Arc<T>>>);

impl<T> Default for Placed<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Placed<T> {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<T>> {
        self.0.get(namespace)?.get(name)
    }

    /// Those of a namespace, in the order of their names.
    pub(super) fn of(&self, namespace: &str) -> impl Iterator<Item = &Arc<T>> {
        self.0.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.values().flat_map(BTreeMap::values)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, metadata: &Metadata, object: &Arc<T>) {
        let (namespace, name) = place(metadata);
        self.0.entry(namespace).or_default().insert(name, object.clone());
    }

    pub(super) fn remove(&mut self, metadata: &Metadata) {
        let Some(names) = self.0.get_mut(metadata.namespace.as_str()) else { return };
        names.remove(metadata.name.as_str());
        if names.is_empty() {
            self.0.remove(metadata.namespace.as_str());
        }
    }
}

/// Where an object says that it is.
pub(super) fn place(metadata: &Metadata) -> Place {
    (metadata.namespace.as_str().into(), metadata.name.as_str().into())
}

#[derive(Debug)]
pub(super) struct Objects {
    pub(super) mesh: MeshSettings,
    pub(super) pods: Placed<Pod>,
    pub(super) slices: Placed<EndpointSlice>,
    pub(super) authorization: Placed<AuthorizationPolicy>,
    pub(super) authentication: Placed<PeerAuthentication>,
    /// Without aliases of outside names: those fall through DNS, and their targets are matched.
    pub(super) services: Placed<Service>,
    pub(super) gateway_api: GatewayApi,
    pub(super) istio: Istio,
    namespaces: HashMap<Text, Arc<Namespace>>,
    nodes: HashMap<Text, Arc<Node>>,
    on_node: HashMap<Text, BTreeSet<Place>>,
    /// The pods that have their addresses to themselves.
    addresses: HashMap<IpAddr, Arc<Pod>>,
    network: Text,
}

impl Objects {
    pub(super) fn new(mesh: MeshSettings) -> Self {
        Self {
            network: mesh.network.as_str().into(),
            mesh,
            pods: Placed::default(),
            slices: Placed::default(),
            authorization: Placed::default(),
            authentication: Placed::default(),
            services: Placed::default(),
            gateway_api: GatewayApi::default(),
            istio: Istio::default(),
            namespaces: HashMap::new(),
            nodes: HashMap::new(),
            on_node: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, object: &Object) {
        let metadata = object.metadata();
        match object {
            Object::Namespace(namespace) => {
                self.namespaces.insert(metadata.name.as_str().into(), namespace.clone());
                self.learn_network();
            }
            Object::Node(node) => {
                self.nodes.insert(metadata.name.as_str().into(), node.clone());
            }
            Object::ServiceAccount(_) => {}
            Object::Pod(pod) => self.add_pod(pod),
            Object::Service(service) if service.spec.kind == ServiceType::ExternalName => {}
            Object::Service(service) => self.services.insert(metadata, service),
            Object::EndpointSlice(slice) => self.slices.insert(metadata, slice),
            Object::AuthorizationPolicy(policy) => self.authorization.insert(metadata, policy),
            Object::PeerAuthentication(policy) => self.authentication.insert(metadata, policy),
            other => {
                self.gateway_api.add(other);
                self.istio.add(other);
            }
        }
    }

    pub(super) fn remove(&mut self, object: &Object) {
        let metadata = object.metadata();
        match object {
            Object::Namespace(_) => {
                self.namespaces.remove(metadata.name.as_str());
                self.learn_network();
            }
            Object::Node(_) => {
                self.nodes.remove(metadata.name.as_str());
            }
            Object::ServiceAccount(_) => {}
            Object::Pod(pod) => self.remove_pod(pod),
            Object::Service(_) => self.services.remove(metadata),
            Object::EndpointSlice(_) => self.slices.remove(metadata),
            Object::AuthorizationPolicy(_) => self.authorization.remove(metadata),
            Object::PeerAuthentication(_) => self.authentication.remove(metadata),
            other => {
                self.gateway_api.remove(other);
                self.istio.remove(other);
            }
        }
    }

    fn add_pod(&mut self, pod: &Arc<Pod>) {
        self.pods.insert(&pod.metadata, pod);
        if let Some(node) = pod.node() {
            self.on_node.entry(node.into()).or_default().insert(place(&pod.metadata));
        }
        for address in own_addresses(pod) {
            self.addresses.insert(address, pod.clone());
        }
    }

    fn remove_pod(&mut self, pod: &Pod) {
        self.pods.remove(&pod.metadata);
        if let Some(node) = pod.node()
            && let Some(places) = self.on_node.get_mut(node)
        {
            places.remove(&place(&pod.metadata));
            if places.is_empty() {
                self.on_node.remove(node);
            }
        }
        for address in own_addresses(pod) {
            self.addresses.remove(&address);
        }
    }

    /// The network of everything: what the root namespace says, else the settings.
    fn learn_network(&mut self) {
        let root = self.namespaces.get(self.mesh.root_namespace.as_str());
        let label = root.and_then(|root| root.metadata.label(labels::NETWORK));
        let network = label.unwrap_or(&self.mesh.network);
        if *network != *self.network {
            self.network = network.into();
        }
    }

    /// The published pod whose own address this is; a pod on its node's network has none of its own.
    pub(super) fn pod_at(&self, ip: IpAddr) -> Option<&Arc<Pod>> {
        self.addresses.get(&address::canonical(ip))
    }

    /// Where the pods are that name this node.
    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = &Place> {
        self.on_node.get(node).into_iter().flatten()
    }

    pub(super) fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name).map(|namespace| &**namespace)
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name).map(|node| &**node)
    }

    /// The number of a published Service's port of this name.
    pub(super) fn port_named(&self, namespace: &str, name: &str, port: &str) -> Option<u16> {
        let service = self.services.get(namespace, name)?;
        service.spec.ports.iter().find(|one| one.name == port).map(|one| one.port)
    }

    /// Whether this is the key of a Service, or of a waypoint's.
    pub(super) fn is_service(&self, key: &ServiceKey) -> bool {
        let suffix = format!(".{}.svc.{}", key.namespace, self.mesh.cluster_domain);
        key.hostname.strip_suffix(&suffix).is_some_and(|name| {
            self.services.get(&key.namespace, name).is_some()
                || self.gateway_api.gateways.get(&key.namespace, name).is_some()
        })
    }

    /// The network of everything in this cluster.
    pub(super) fn network(&self) -> &Text {
        &self.network
    }

    pub(super) fn service_key(&self, service: &Service) -> ServiceKey {
        self.service_key_of(&service.metadata.namespace, &service.metadata.name)
    }

    pub(super) fn service_key_of(&self, namespace: &str, name: &str) -> ServiceKey {
        ServiceKey::new(namespace, &format!("{name}.{namespace}.svc.{}", self.mesh.cluster_domain))
    }
}

/// Whether a pod has not ended and has an address; one that is Pending counts, since its init containers may talk.
pub(super) fn published(pod: &Pod) -> bool {
    !pod.is_terminal() && !pod.addresses().is_empty()
}

fn own_addresses(pod: &Pod) -> Vec<IpAddr> {
    let own = published(pod) && !pod.spec.host_network;
    if own { pod.addresses().into_iter().map(address::canonical).collect() } else { Vec::new() }
}
