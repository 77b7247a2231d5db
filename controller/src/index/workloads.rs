//! Pods as workloads.

use std::collections::BTreeMap;

use ambit_kubernetes::{
    Pod, annotations, canonical_name, canonical_revision, enrolled, labels, workload_name,
};
use ambit_model::identity::InvalidIdentity;
use ambit_model::service::{Port, ServiceKey};
use ambit_model::workload::{Health, Locality, NetworkMode, Tunnel};
use ambit_model::{Identity, Text, Workload, address};

use super::listed::{Listed, Reference};
use super::objects::{Objects, Place, published};
use super::peer_authentication::Effective;
use super::policies::selecting;
use super::ports::{pod_ports, slice_ports};
use crate::captured::Captured;

/// A pod as a workload; `None` when it is not published.
pub(super) fn workload(
    pod: &Pod,
    objects: &Objects,
    captured: &Captured,
    authentication: &Effective,
    listed: &Listed,
) -> Result<Option<Workload>, InvalidIdentity> {
    if !published(pod) {
        return Ok(None);
    }
    let mut workload = one(pod, objects, captured)?;
    workload.policies = policies(pod, objects, authentication);
    workload.services = services(pod, objects, listed).into();
    Ok(Some(workload))
}

/// The uid of the workload that comes of the pod at this place.
pub(super) fn uid(objects: &Objects, (namespace, name): &Place) -> String {
    format!("{}//Pod/{namespace}/{name}", objects.mesh.cluster_id)
}

/// What the pod alone says.
fn one(pod: &Pod, objects: &Objects, captured: &Captured) -> Result<Workload, InvalidIdentity> {
    let (namespace, name) = (pod.metadata.namespace.as_str(), pod.metadata.name.as_str());
    let uid = uid(objects, &(namespace.into(), name.into()));
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
fn tunnel(pod: &Pod, objects: &Objects, captured: &Captured) -> Tunnel {
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

fn locality(pod: &Pod, objects: &Objects) -> Locality {
    let Some(node) = pod.node().and_then(|name| objects.node(name)) else { return Locality::default() };
    Locality { region: node.region().into(), zone: node.zone().into(), subzone: node.subzone().into() }
}

/// The selector policies that pick the pod, in the order of their keys.
fn policies(pod: &Pod, objects: &Objects, authentication: &Effective) -> Vec<Text> {
    let mut keys: Vec<Text> = selecting(pod, objects).collect();
    keys.extend(authentication.keys(pod));
    keys.sort();
    keys.dedup();
    keys
}

/// The services that a pod is behind: by their selectors, and for those without by slices that refer to the pod or have its
/// address.
fn services(pod: &Pod, objects: &Objects, listed: &Listed) -> BTreeMap<ServiceKey, Vec<Port>> {
    let mut services = BTreeMap::new();
    for service in objects.services.of(&pod.metadata.namespace) {
        if service.selects(&pod.metadata.labels) {
            services.insert(objects.service_key(service), pod_ports(service, pod));
        }
    }
    for Reference { service, slice, uid } in listed.of(pod) {
        let same = uid.as_deref().is_none_or(|uid| pod.metadata.uid.as_deref().is_none_or(|own| own == uid));
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
