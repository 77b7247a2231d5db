//! Endpoints that are no pods, from EndpointSlices, as workloads.

use std::collections::HashSet;

use ambit_kubernetes::{AddressType, Endpoint, EndpointSlice, Service};
use ambit_model::identity::InvalidIdentity;
use ambit_model::workload::{Health, NetworkMode};
use ambit_model::{Identity, Workload, address};

use super::objects::Objects;
use super::ports::slice_ports;

/// One workload per address. Nothing is known about who answers there, so it shares its address (it is not found by
/// it) and is in no policy.
pub(super) fn workloads(objects: &Objects<'_>, notes: &mut Vec<String>) -> Vec<Workload> {
    let mut workloads = Vec::new();
    for slice in &objects.slices {
        let namespace = &slice.metadata.namespace;
        let named = |service: &&&Service| slice.service_name() == Some(&service.metadata.name);
        let Some(service) = objects.services_of(namespace).iter().find(named) else { continue };
        if slice.address_type == AddressType::FQDN {
            continue;
        }
        let mut seen = HashSet::new();
        for endpoint in slice.endpoints.iter().filter(|endpoint| !is_pod(endpoint)) {
            let Some(ip) = endpoint.ips().next().filter(|ip| seen.insert(*ip)) else { continue };
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

fn is_pod(endpoint: &Endpoint) -> bool {
    endpoint.target_ref.as_ref().is_some_and(|target| target.kind == "Pod")
}

fn one(
    ip: std::net::IpAddr,
    endpoint: &Endpoint,
    slice: &EndpointSlice,
    service: &Service,
    objects: &Objects<'_>,
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
