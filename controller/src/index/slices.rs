//! Endpoints that are no pods, from EndpointSlices, as workloads.

use std::collections::HashSet;
use std::sync::Arc;

use ambit_kubernetes::{AddressType, Endpoint, EndpointSlice, Service};
use ambit_model::identity::InvalidIdentity;
use ambit_model::workload::{Health, NetworkMode};
use ambit_model::{Identity, Workload, address};

use super::objects::Objects;
use super::ports::slice_ports;

/// One workload per address. Nothing is known about who answers there, so it shares its address (it is not found by
/// it) and is in no policy.
///
/// An address of a published pod makes none, whether the endpoint refers to the pod or not: beside the pod, which may be
/// captured, it would be a second way to the same place, in plaintext. Istio goes by the reference alone; but there a
/// controller writes it, and by hand people leave it out.
pub(super) fn workloads(objects: &Objects, notes: &mut Vec<String>) -> Vec<Workload> {
    let mut workloads = Vec::new();
    for slice in objects.slices.iter() {
        let namespace = &slice.metadata.namespace;
        let Some(service) = service_of(slice, objects) else { continue };
        if slice.address_type == AddressType::FQDN {
            continue;
        }
        let mut seen = HashSet::new();
        for endpoint in slice.endpoints.iter().filter(|endpoint| !refers_to_pod(endpoint)) {
            let Some(ip) = endpoint.ips().next().filter(|ip| seen.insert(*ip)) else { continue };
            if objects.pod_at(ip).is_some() {
                continue;
            }
            match one(ip, endpoint, slice, service, objects) {
                Ok(workload) => workloads.push(workload),
                Err(error) => {
                    notes.push(format!(
                        "EndpointSlice {namespace}/{} is left out: {error}",
                        slice.metadata.name
                    ));
                }
            }
        }
    }
    workloads
}

/// The Service that a slice names.
pub(super) fn service_of<'a>(slice: &EndpointSlice, objects: &'a Objects) -> Option<&'a Arc<Service>> {
    objects.services.get(&slice.metadata.namespace, slice.service_name()?)
}

/// The namespace, name and uid of the pod behind an endpoint of a slice in this namespace: the one it refers to, else the
/// one whose address it has. A reference out of the namespace counts for nothing.
pub(super) fn pod_behind<'a>(
    endpoint: &'a Endpoint,
    namespace: &'a str,
    objects: &'a Objects,
) -> Option<(&'a str, &'a str, Option<&'a str>)> {
    match &endpoint.target_ref {
        Some(target) if target.kind == "Pod" => {
            let own = target.namespace.is_empty() || target.namespace == namespace;
            let uid = target.uid.as_deref().filter(|uid| !uid.is_empty());
            own.then_some((namespace, target.name.as_str(), uid))
        }
        _ => {
            let pod = objects.pod_at(endpoint.ips().next()?)?;
            Some((pod.metadata.namespace.as_str(), pod.metadata.name.as_str(), None))
        }
    }
}

fn refers_to_pod(endpoint: &Endpoint) -> bool {
    endpoint.target_ref.as_ref().is_some_and(|target| target.kind == "Pod")
}

fn one(
    ip: std::net::IpAddr,
    endpoint: &Endpoint,
    slice: &EndpointSlice,
    service: &Service,
    objects: &Objects,
) -> Result<Workload, InvalidIdentity> {
    let (namespace, name) = (&slice.metadata.namespace, &slice.metadata.name);
    let cluster = &objects.mesh.cluster_id;
    let uid = format!("{cluster}/discovery.k8s.io/EndpointSlice/{namespace}/{name}/{ip}");
    let mut workload = Workload::new(&uid, name, namespace)?;
    workload.identity = Identity::new(&objects.mesh.trust_domain, namespace, "default")?;
    workload.addresses = vec![address::canonical(ip)];
    workload.network = objects.network().clone();
    workload.cluster = cluster.as_str().into();
    workload.health = if endpoint.is_ready() { Health::Healthy } else { Health::Unhealthy };
    workload.network_mode = NetworkMode::HostNetwork;
    workload.services = [(objects.service_key(service), slice_ports(service, slice))].into();
    Ok(workload)
}
