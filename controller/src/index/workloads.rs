//! Pods as workloads.

use std::collections::{BTreeMap, HashMap};

use ambit_kubernetes::{
    EndpointSlice, Pod, Service, annotations, canonical_name, canonical_revision, enrolled, labels,
    workload_name,
};
use ambit_model::identity::InvalidIdentity;
use ambit_model::service::{Port, ServiceKey};
use ambit_model::workload::{Health, Locality, NetworkMode, Tunnel};
use ambit_model::{Identity, Text, Workload, address};

use super::objects::Objects;
use super::peer_authentication::Effective;
use super::policies::selecting;
use super::ports::{pod_ports, slice_ports};
use super::slices::pod_behind;
use crate::captured::Captured;

/// The published pods.
pub(super) fn workloads(
    objects: &Objects<'_>,
    captured: &Captured,
    authentication: &Effective,
    notes: &mut Vec<String>,
) -> Vec<Workload> {
    let listed = Listed::new(objects);
    let mut workloads = Vec::with_capacity(objects.pods.len());
    for pod in objects.published() {
        let built = one(pod, objects, captured).map(|workload| Workload {
            policies: policies(pod, objects, authentication),
            services: services(pod, objects, &listed).into(),
            ..workload
        });
        match built {
            Ok(workload) => workloads.push(workload),
            Err(error) => {
                let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
                notes.push(format!("Pod {namespace}/{name} is left out: {error}"));
            }
        }
    }
    workloads
}

/// What the pod alone says.
fn one(pod: &Pod, objects: &Objects<'_>, captured: &Captured) -> Result<Workload, InvalidIdentity> {
    let (namespace, name) = (pod.metadata.namespace.as_str(), pod.metadata.name.as_str());
    let uid = format!("{}//Pod/{namespace}/{name}", objects.mesh.cluster_id);
    let mut workload = Workload::new(&uid, name, namespace)?;
    workload.identity = Identity::new(&objects.mesh.trust_domain, namespace, pod.service_account())?;
    workload.addresses = pod.addresses().into_iter().map(address::canonical).collect();
    workload.network = objects.network().clone();
    workload.native_tunnel = speaks_hbone(pod);
    workload.tunnel = tunnel(pod, objects, captured);
    workload.node = pod.node().unwrap_or_default().into();
    workload.locality = locality(pod, objects);
    workload.canonical_name = canonical_name(pod).into();
    workload.canonical_revision = canonical_revision(pod).into();
    workload.workload_name = workload_name(pod).name.into();
    workload.cluster = objects.mesh.cluster_id.as_str().into();
    workload.health = if ready(pod) { Health::Healthy } else { Health::Unhealthy };
    if pod.spec.host_network {
        workload.network_mode = NetworkMode::HostNetwork;
    }
    Ok(workload)
}

/// A pod is reached over HBONE when it speaks it itself, or is enrolled and captured: its annotation says so, or the
/// agent of its node does.
fn tunnel(pod: &Pod, objects: &Objects<'_>, captured: &Captured) -> Tunnel {
    let annotated =
        pod.metadata.annotation(annotations::REDIRECTION) == Some(annotations::REDIRECTION_ENABLED);
    let enrolled = enrolled(pod, objects.namespace(&pod.metadata.namespace)).is_enrolled();
    if speaks_hbone(pod) || (enrolled && (annotated || captured.contains(pod))) {
        Tunnel::Hbone
    } else {
        Tunnel::None
    }
}

fn speaks_hbone(pod: &Pod) -> bool {
    let label = pod.metadata.label(labels::TUNNEL).unwrap_or_default();
    label.split(',').any(|protocol| protocol.trim() == "http")
}

/// Without any condition nobody watches the pod, so nothing speaks against it.
fn ready(pod: &Pod) -> bool {
    let unwatched = pod.status.conditions.is_empty() && pod.metadata.deletion_timestamp.is_none();
    unwatched || pod.is_ready()
}

fn locality(pod: &Pod, objects: &Objects<'_>) -> Locality {
    let Some(node) = pod.node().and_then(|name| objects.node(name)) else { return Locality::default() };
    Locality { region: node.region().into(), zone: node.zone().into(), subzone: node.subzone().into() }
}

/// The selector policies that pick the pod, in the order of their keys.
fn policies(pod: &Pod, objects: &Objects<'_>, authentication: &Effective) -> Vec<Text> {
    let mut keys: Vec<Text> = selecting(pod, objects).collect();
    keys.extend(authentication.keys(pod));
    keys.sort();
    keys.dedup();
    keys
}

/// The services that a pod is behind: by their selectors, and for those without by slices that refer to the pod or have its
/// address.
fn services(pod: &Pod, objects: &Objects<'_>, listed: &Listed<'_>) -> BTreeMap<ServiceKey, Vec<Port>> {
    let mut services = BTreeMap::new();
    for service in objects.services_of(&pod.metadata.namespace) {
        if service.selects(&pod.metadata.labels) {
            services.insert(objects.service_key(service), pod_ports(service, pod));
        }
    }
    for (service, slice, uid) in listed.of(pod) {
        let same = uid.is_none_or(|uid| pod.metadata.uid.as_deref().is_none_or(|own| own == uid));
        if same {
            let ports: &mut Vec<Port> = services.entry(objects.service_key(service)).or_default();
            for port in slice_ports(service, slice) {
                if !ports.contains(&port) {
                    ports.push(port);
                }
            }
        }
    }
    services
}

type Reference<'a> = (&'a Service, &'a EndpointSlice, Option<&'a str>);

/// The endpoints of selector-less services that are pods, by the pods' namespaces and names.
struct Listed<'a>(HashMap<&'a str, HashMap<&'a str, Vec<Reference<'a>>>>);

impl<'a> Listed<'a> {
    fn new(objects: &Objects<'a>) -> Self {
        let mut references: HashMap<&str, HashMap<&str, Vec<Reference<'a>>>> = HashMap::new();
        for slice in &objects.slices {
            let namespace = slice.metadata.namespace.as_str();
            let named = |service: &&&Service| slice.service_name() == Some(&service.metadata.name);
            let Some(service) = objects.services_of(namespace).iter().find(named) else { continue };
            if !service.spec.selector.is_empty() {
                continue;
            }
            let pods = slice.endpoints.iter().filter_map(|one| pod_behind(one, namespace, objects));
            for (namespace, name, uid) in pods {
                let pods = references.entry(namespace).or_default();
                pods.entry(name).or_default().push((*service, *slice, uid));
            }
        }
        Self(references)
    }

    fn of(&self, pod: &Pod) -> impl Iterator<Item = &Reference<'a>> {
        let named = self.0.get(pod.metadata.namespace.as_str());
        named.and_then(|pods| pods.get(pod.metadata.name.as_str())).into_iter().flatten()
    }
}
