//! ServiceEntries: hosts that Kubernetes does not know as services, their endpoints as workloads.
//!
//! There are few, so all are derived when anything changes that they depend on. A Kubernetes Service of the same host and
//! namespace wins, then the oldest entry (Istio).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ambit_kubernetes::Pod;
use ambit_kubernetes::istio::{EntryPort, Resolution, ServiceEntry, WorkloadEntrySpec};
use ambit_model::identity::InvalidIdentity;
use ambit_model::l7::Labels;
use ambit_model::service::{AppProtocol, BalanceMode, Port, ServiceAddress, ServiceKey, Visibility};
use ambit_model::workload::{Locality, NetworkMode};
use ambit_model::{Identity, NetworkAddress, Service, Text, Workload, address};
use ipnet::IpNet;

use super::condition::unmet;
use super::objects::{Objects, Place, place, published};
use super::waypoints::{self, Waypoints};

/// What follows from the ServiceEntries.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Entries {
    pub(super) services: BTreeMap<ServiceKey, Service>,
    pub(super) workloads: BTreeMap<Text, Workload>,
    /// The labels of the workloads.
    pub(super) labels: BTreeMap<Text, Labels>,
    /// What pods are behind them, with their ports.
    pods: BTreeMap<Place, BTreeMap<ServiceKey, Vec<Port>>>,
    pub(super) notes: Vec<String>,
}

impl Entries {
    pub(super) fn new(objects: &Objects, waypoints: &Waypoints) -> Self {
        let mut all = Self::default();
        let mut entries: Vec<&Arc<ServiceEntry>> = objects.istio.service_entries.iter().collect();
        entries.sort_by_key(|entry| {
            let metadata = &entry.metadata;
            (metadata.creation_timestamp, metadata.namespace.clone(), metadata.name.clone())
        });
        for entry in entries {
            all.add(entry, objects, waypoints);
        }
        all.notes.sort();
        all.notes.dedup();
        all
    }

    /// Adds to a pod's workload the services that it is behind.
    pub(super) fn attach(&self, workload: &mut Workload, place: &Place) {
        for (service, ports) in self.pods.get(place).into_iter().flatten() {
            workload.services.insert(service.clone(), ports.clone());
        }
    }

    /// The pods that are behind others than before.
    pub(super) fn differing(&self, other: &Self) -> BTreeSet<Place> {
        let places = self.pods.keys().chain(other.pods.keys());
        places.filter(|place| self.pods.get(*place) != other.pods.get(*place)).cloned().collect()
    }

    fn add(&mut self, entry: &ServiceEntry, objects: &Objects, waypoints: &Waypoints) {
        let spec = &entry.spec;
        let named = format!("ServiceEntry {}/{}", entry.metadata.namespace, entry.metadata.name);
        let mut note = |reason: &str, text: String| self.notes.push(unmet(&named, "Accepted", reason, text));
        if spec.export_to.iter().any(|to| to == "~") {
            return note("UnsupportedValue", "spec.exportTo: it is exported to nobody".to_owned());
        }
        if spec.addresses.is_empty() {
            let text =
                "spec.addresses: no address is given to it, so no connection is taken for it; write one";
            note("UnsupportedValue", text.to_owned());
        }
        if matches!(spec.resolution, Resolution::Dns | Resolution::DnsRoundRobin | Resolution::DynamicDns) {
            let text = "spec.resolution: names are not resolved by waypoints here, so requests are answered 503; use STATIC";
            note("UnsupportedValue", text.to_owned());
        }
        if spec.export_to.iter().any(|to| to != "." && to != "*") {
            let text =
                "spec.exportTo: single namespaces are not told apart, so only its own sees it; use . or *";
            note("UnsupportedValue", text.to_owned());
        }
        let bound = waypoints::of_entry(entry, objects, waypoints);
        self.notes.extend(bound.note);
        let hosts: Vec<ServiceKey> = keys(entry).filter(|key| !objects.is_service(key)).collect();
        let mut own = Vec::new();
        for key in hosts {
            let mut service = service(entry, key.clone(), objects);
            service.waypoints = bound.gateway.clone().map(|gateway| (gateway, 100)).into_iter().collect();
            if self.services.contains_key(&key) {
                let text = format!("spec.hosts: {} is that of an older ServiceEntry", key.hostname);
                self.notes.push(unmet(&named, "Accepted", "Conflicted", text));
                continue;
            }
            self.services.insert(key.clone(), service);
            own.push(key);
        }
        self.add_endpoints(entry, &own, objects, &named);
        self.add_pods(entry, &own, objects);
    }

    fn add_endpoints(&mut self, entry: &ServiceEntry, own: &[ServiceKey], objects: &Objects, named: &str) {
        for endpoint in &entry.spec.endpoints {
            let ports = endpoint_ports(&entry.spec.ports, endpoint);
            let ip = endpoint.address.parse::<IpAddr>().ok();
            if let Some(pod) = ip.and_then(|ip| objects.pod_at(ip)) {
                self.put_behind(&place(&pod.metadata), own, &ports);
                continue;
            }
            match workload(ip, endpoint, entry, objects) {
                Ok(mut workload) => {
                    workload.services =
                        own.iter().map(|key| (key.clone(), ports.clone())).collect::<BTreeMap<_, _>>().into();
                    let labels = endpoint.labels.iter();
                    let labels = Labels {
                        workload: workload.uid.clone(),
                        labels: labels
                            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
                            .collect(),
                    };
                    self.labels.insert(workload.uid.clone(), labels);
                    self.workloads.insert(workload.uid.clone(), workload);
                }
                Err(error) => {
                    let text = format!("endpoint {:?} is left out: {error}", endpoint.address);
                    self.notes.push(unmet(named, "Accepted", "Invalid", text));
                }
            }
        }
    }

    fn add_pods(&mut self, entry: &ServiceEntry, own: &[ServiceKey], objects: &Objects) {
        let Some(selector) = entry.spec.workload_selector.as_ref().filter(|one| !one.labels.is_empty())
        else {
            return;
        };
        let ports = endpoint_ports(&entry.spec.ports, &WorkloadEntrySpec::default());
        let picked = |pod: &&Arc<Pod>| {
            published(pod) && ambit_kubernetes::matches(&selector.labels, &pod.metadata.labels)
        };
        let places: Vec<Place> = objects
            .pods
            .of(&entry.metadata.namespace)
            .filter(picked)
            .map(|pod| place(&pod.metadata))
            .collect();
        for place in places {
            self.put_behind(&place, own, &ports);
        }
    }

    fn put_behind(&mut self, place: &Place, own: &[ServiceKey], ports: &[Port]) {
        let services = self.pods.entry(place.clone()).or_default();
        services.extend(own.iter().map(|key| (key.clone(), ports.to_vec())));
    }
}

/// The keys of an entry's hosts.
pub(super) fn keys(entry: &ServiceEntry) -> impl Iterator<Item = ServiceKey> {
    let hosts = entry.spec.hosts.iter();
    hosts.map(|host| ServiceKey::new(&entry.metadata.namespace, &host.to_ascii_lowercase()))
}

fn service(entry: &ServiceEntry, key: ServiceKey, objects: &Objects) -> Service {
    let spec = &entry.spec;
    let mut service = Service::new(&entry.metadata.name, key);
    let network = || objects.network().clone();
    let address = |text: &String| match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
        (Ok(ip), _) => Some(ServiceAddress::Ip(NetworkAddress::new(network(), address::canonical(ip)))),
        (_, Ok(block)) => Some(ServiceAddress::Block(network(), block.trunc())),
        _ => None,
    };
    service.addresses = spec.addresses.iter().filter_map(address).collect();
    service.ports = endpoint_ports(&spec.ports, &WorkloadEntrySpec::default());
    service.subject_alt_names = spec.subject_alt_names.iter().map(|name| name.as_str().into()).collect();
    if spec.resolution == Resolution::None {
        service.load_balancing.mode = BalanceMode::Passthrough;
        service.load_balancing.allow_unhealthy = true;
    }
    let public = spec.export_to.is_empty() || spec.export_to.iter().any(|to| to == "*");
    service.visibility = if public { Visibility::Public } else { Visibility::Namespace };
    service
}

/// The ports of an endpoint: its own of the port's name, else the target port, else the port itself.
fn endpoint_ports(ports: &[EntryPort], endpoint: &WorkloadEntrySpec) -> Vec<Port> {
    let port = |port: &EntryPort| Port {
        service_port: port.number,
        target_port: endpoint.ports.get(&port.name).copied().or(port.target_port).unwrap_or(port.number),
        protocol: protocol(&port.protocol),
    };
    ports.iter().map(port).collect()
}

fn protocol(text: &str) -> AppProtocol {
    match text.to_ascii_uppercase().as_str() {
        "HTTP" => AppProtocol::Http11,
        "HTTP2" => AppProtocol::Http2,
        "GRPC" => AppProtocol::Grpc,
        "HTTPS" | "TLS" => AppProtocol::Tls,
        "TCP" | "MONGO" | "MYSQL" | "REDIS" => AppProtocol::Tcp,
        _ => AppProtocol::Unknown,
    }
}

fn workload(
    ip: Option<IpAddr>,
    endpoint: &WorkloadEntrySpec,
    entry: &ServiceEntry,
    objects: &Objects,
) -> Result<Workload, InvalidIdentity> {
    let (namespace, name) = (&entry.metadata.namespace, &entry.metadata.name);
    let cluster = &objects.mesh.cluster_id;
    let uid = format!("{cluster}/networking.istio.io/ServiceEntry/{namespace}/{name}/{}", endpoint.address);
    let mut workload = Workload::new(&uid, name, namespace)?;
    let account = if endpoint.service_account.is_empty() { "default" } else { &endpoint.service_account };
    workload.identity = Identity::new(&objects.mesh.trust_domain, namespace, account)?;
    match ip {
        Some(ip) => workload.addresses = vec![address::canonical(ip)],
        None => workload.hostname = endpoint.address.as_str().into(),
    }
    workload.network = match endpoint.network.as_str() {
        "" => objects.network().clone(),
        network => network.into(),
    };
    workload.cluster = cluster.as_str().into();
    workload.network_mode = NetworkMode::HostNetwork;
    workload.capacity = endpoint.weight.unwrap_or(1).max(1);
    let mut place = endpoint.locality.split('/').map(Text::from);
    let mut next = || place.next().unwrap_or_default();
    workload.locality = Locality { region: next(), zone: next(), subzone: next() };
    Ok(workload)
}
