//! The objects of a configuration by kind, and what can be looked up in them.

use std::collections::HashMap;
use std::net::IpAddr;

use ambit_kubernetes::{
    AuthorizationPolicy, EndpointSlice, Namespace, Node, Object, PeerAuthentication, Pod, Service,
    ServiceType, labels,
};
use ambit_model::service::ServiceKey;
use ambit_model::{Text, address};

use crate::settings::MeshSettings;

pub(super) struct Objects<'a> {
    pub(super) mesh: &'a MeshSettings,
    pub(super) pods: Vec<&'a Pod>,
    pub(super) slices: Vec<&'a EndpointSlice>,
    pub(super) authorization: Vec<&'a AuthorizationPolicy>,
    pub(super) authentication: Vec<&'a PeerAuthentication>,
    namespaces: HashMap<&'a str, &'a Namespace>,
    nodes: HashMap<&'a str, &'a Node>,
    services: HashMap<&'a str, Vec<&'a Service>>,
    /// The pods that have their addresses to themselves.
    addresses: HashMap<IpAddr, &'a Pod>,
    network: Text,
}

impl<'a> Objects<'a> {
    pub(super) fn new(objects: &'a [Object], mesh: &'a MeshSettings) -> Self {
        let mut all = Self {
            mesh,
            pods: Vec::new(),
            slices: Vec::new(),
            authorization: Vec::new(),
            authentication: Vec::new(),
            namespaces: HashMap::new(),
            nodes: HashMap::new(),
            services: HashMap::new(),
            addresses: HashMap::new(),
            network: mesh.network.as_str().into(),
        };
        for object in objects {
            all.add(object);
        }
        all.addresses = all.published().filter(|pod| !pod.spec.host_network).flat_map(at).collect();
        if let Some(network) = all.system_network() {
            all.network = network.into();
        }
        all
    }

    fn add(&mut self, object: &'a Object) {
        match object {
            Object::Namespace(namespace) => {
                self.namespaces.insert(&namespace.metadata.name, namespace);
            }
            Object::Node(node) => {
                self.nodes.insert(&node.metadata.name, node);
            }
            Object::ServiceAccount(_) => {}
            Object::Pod(pod) => self.pods.push(pod),
            // An alias of an outside name: it falls through DNS, and its target is matched.
            Object::Service(service) if service.spec.kind == ServiceType::ExternalName => {}
            Object::Service(service) => {
                self.services.entry(&service.metadata.namespace).or_default().push(service);
            }
            Object::EndpointSlice(slice) => self.slices.push(slice),
            Object::AuthorizationPolicy(policy) => self.authorization.push(policy),
            Object::PeerAuthentication(policy) => self.authentication.push(policy),
        }
    }

    fn system_network(&self) -> Option<&'a str> {
        self.namespaces.get(self.mesh.root_namespace.as_str())?.metadata.label(labels::NETWORK)
    }

    /// Every pod that has not ended and has an address; one that is Pending counts, since its init containers may talk.
    pub(super) fn published(&self) -> impl Iterator<Item = &'a Pod> {
        self.pods.iter().copied().filter(|pod| !pod.is_terminal() && !pod.addresses().is_empty())
    }

    /// The published pod whose own address this is; a pod on its node's network has none of its own.
    pub(super) fn pod_at(&self, ip: IpAddr) -> Option<&'a Pod> {
        self.addresses.get(&address::canonical(ip)).copied()
    }

    pub(super) fn namespace(&self, name: &str) -> Option<&'a Namespace> {
        self.namespaces.get(name).copied()
    }

    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        self.nodes.get(name).copied()
    }

    /// The services of a namespace that are published.
    pub(super) fn services_of(&self, namespace: &str) -> &[&'a Service] {
        self.services.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &'a Service> {
        self.services.values().flatten().copied()
    }

    /// The network of everything in this cluster.
    pub(super) fn network(&self) -> &Text {
        &self.network
    }

    pub(super) fn service_key(&self, service: &Service) -> ServiceKey {
        let (name, namespace) = (&service.metadata.name, &service.metadata.namespace);
        ServiceKey::new(namespace, &format!("{name}.{namespace}.svc.{}", self.mesh.cluster_domain))
    }
}

fn at(pod: &Pod) -> impl Iterator<Item = (IpAddr, &Pod)> {
    pod.addresses().into_iter().map(move |ip| (address::canonical(ip), pod))
}
