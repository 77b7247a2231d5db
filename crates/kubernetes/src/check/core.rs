//! What is wrong with core objects: names, addresses, ports, and the labels and annotations that the mesh reads.

use std::collections::HashSet;
use std::net::IpAddr;

use super::Complaints;
use crate::problem::quoted;
use crate::{
    AddressType, EndpointSlice, FieldPath, Kind, Metadata, Pod, Service, ServiceType, annotations, fields,
    labels, name_rules,
};

pub(super) fn metadata(kind: Kind, metadata: &Metadata, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("metadata");
    if metadata.name.is_empty() {
        complaints.add(&at.key("name"), "the name is missing", "set metadata.name");
    } else {
        let rule = match kind {
            Kind::Namespace | Kind::Service => name_rules::dns_label,
            _ => name_rules::dns_subdomain,
        };
        complaints.expect(&at.key("name"), rule(&metadata.name));
    }
    if kind.is_namespaced() && metadata.namespace.is_empty() {
        complaints.add(&at.key("namespace"), "the namespace is missing", "set metadata.namespace");
    } else if kind.is_namespaced() {
        complaints.expect(&at.key("namespace"), name_rules::dns_label(&metadata.namespace));
    }
    own_annotations(metadata, &at.key("annotations"), complaints);
    if matches!(kind, Kind::Namespace | Kind::Pod) {
        dataplane_mode(metadata, &at.key("labels").key(labels::DATAPLANE_MODE), complaints);
    }
}

/// An annotation of this mesh that is misspelt would be without effect.
fn own_annotations(metadata: &Metadata, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let ours = |key: &str| {
        key.get(..annotations::PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(annotations::PREFIX))
    };
    for key in metadata.annotations.keys().filter(|key| ours(key) && *key != annotations::NETNS) {
        let reason = format!("unknown annotation {}", quoted(key));
        complaints.add(&at.key(key), reason, format!("the only one of this mesh is {}", annotations::NETNS));
    }
}

fn dataplane_mode(metadata: &Metadata, path: &FieldPath, complaints: &mut Complaints<'_>) {
    match metadata.label(labels::DATAPLANE_MODE) {
        None | Some(labels::DATAPLANE_AMBIENT | labels::DATAPLANE_NONE) => {}
        Some(other) => {
            complaints.add(
                path,
                format!("{} is not a data plane mode", quoted(other)),
                "use ambient or none",
            );
        }
    }
}

pub(super) fn pod(pod: &Pod, complaints: &mut Complaints<'_>) {
    let spec = FieldPath::of("spec");
    if let Some(name) = pod.spec.service_account_name.as_deref().filter(|name| !name.is_empty()) {
        complaints.expect(&spec.key("serviceAccountName"), name_rules::dns_subdomain(name));
    }
    if let Some(name) = pod.node() {
        complaints.expect(&spec.key("nodeName"), name_rules::dns_subdomain(name));
    }
    let annotations = FieldPath::of("metadata").key("annotations");
    if let Some(path) = pod.netns() {
        netns(path, &annotations.key(annotations::NETNS), complaints);
    }
    for key in [annotations::BYPASS_INBOUND_CAPTURE, annotations::DNS_CAPTURE] {
        boolean(pod.metadata.annotation(key), &annotations.key(key), complaints);
    }
    pod_addresses(pod, complaints);
}

fn pod_addresses(pod: &Pod, complaints: &mut Complaints<'_>) {
    let status = FieldPath::of("status");
    if let Some(address) = pod.status.pod_ip {
        complaints.expect(&status.key("podIP"), reachable(address));
        if !pod.addresses().contains(&address) {
            complaints.add(
                &status.key("podIP"),
                format!("{address} is not among podIPs"),
                "list it there too",
            );
        }
    }
    let mut seen = HashSet::new();
    for (index, entry) in pod.status.pod_ips.iter().enumerate() {
        let path = status.key("podIPs").index(index);
        complaints.expect(&path.key("ip"), reachable(entry.ip));
        if !seen.insert(entry.ip) {
            complaints.add(&path, format!("{} is listed twice", entry.ip), "list it once");
        }
    }
}

fn netns(path: &str, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let plain = path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..");
    if !plain {
        let reason = format!("{} is not an absolute path", quoted(path));
        complaints.add(at, reason, "name the namespace's file, such as /run/netns/web, without ..");
    }
}

/// A boolean annotation, in the spellings that Istio's controllers accept.
pub(super) fn boolean(value: Option<&str>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if let Some(text) = value.filter(|text| fields::boolean(text).is_none()) {
        complaints.add(at, format!("{} is not a boolean", quoted(text)), "use \"true\" or \"false\"");
    }
}

/// An address at which a pod or Service can be: neither this host nor a group nor a link.
fn reachable(address: IpAddr) -> Result<(), String> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || link_local {
        return Err(format!(
            "{address} cannot be a pod's or Service's address; use a unicast address of the pod network"
        ));
    }
    Ok(())
}

pub(super) fn service(service: &Service, complaints: &mut Complaints<'_>) {
    let spec = FieldPath::of("spec");
    complaints.expect(&spec.key("clusterIP"), service.spec.cluster_ip.address().map_or(Ok(()), reachable));
    for (index, address) in service.spec.cluster_ips.iter().enumerate() {
        let outcome = address.address().map_or(Ok(()), reachable);
        complaints.expect(&spec.key("clusterIPs").index(index), outcome);
    }
    let first = service.spec.cluster_ips.first();
    if first.is_some_and(|first| *first != service.spec.cluster_ip)
        && service.spec.cluster_ip != Default::default()
    {
        let reason = format!("{} is not the first of clusterIPs", service.spec.cluster_ip);
        complaints.add(&spec.key("clusterIP"), reason, "make the two agree");
    }
    if service.spec.kind == ServiceType::ExternalName
        && service.spec.external_name.as_deref().unwrap_or("").is_empty()
    {
        complaints.add(&spec, "a Service of type ExternalName has no externalName", "set spec.externalName");
    }
    service_ports(service, &spec.key("ports"), complaints);
}

fn service_ports(service: &Service, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let mut names = HashSet::new();
    let mut ports = HashSet::new();
    for (index, port) in service.spec.ports.iter().enumerate() {
        let path = at.index(index);
        if port.name.is_empty() && service.spec.ports.len() > 1 {
            complaints.add(&path.key("name"), "one port of several has no name", "name every port");
        }
        if !port.name.is_empty() {
            complaints.expect(&path.key("name"), name_rules::dns_label(&port.name));
            if !names.insert(port.name.as_str()) {
                complaints.add(
                    &path.key("name"),
                    format!("the name {} is taken", quoted(&port.name)),
                    "use another",
                );
            }
        }
        if !ports.insert((port.port, port.protocol)) {
            let reason = format!("port {} {} is here twice", port.port, port.protocol);
            complaints.add(&path.key("port"), reason, "keep one");
        }
    }
}

pub(super) fn endpoint_slice(slice: &EndpointSlice, complaints: &mut Complaints<'_>) {
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let path = FieldPath::of("endpoints").index(index).key("addresses");
        if endpoint.addresses.is_empty() {
            complaints.add(&path, "an endpoint without address", "set addresses");
        }
        for (index, text) in endpoint.addresses.iter().enumerate() {
            complaints.expect(&path.index(index), endpoint_address(slice.address_type, text));
        }
    }
}

fn endpoint_address(kind: AddressType, text: &str) -> Result<(), String> {
    let address = match kind {
        AddressType::FQDN => return name_rules::dns_subdomain(text),
        AddressType::IPv4 | AddressType::IPv6 => fields::parse_ip(text)?,
    };
    if address.is_ipv4() != (kind == AddressType::IPv4) {
        return Err(format!("{address} does not fit addressType {kind:?}; use a slice of the other type"));
    }
    reachable(address)
}
