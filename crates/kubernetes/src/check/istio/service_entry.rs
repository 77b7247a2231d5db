//! ServiceEntries.

use std::collections::HashSet;
use std::net::IpAddr;

use super::values::{export_to, host};
use crate::check::Complaints;
use crate::istio::{Resolution, ServiceEntrySpec};
use crate::problem::quoted;
use crate::{FieldPath, IpBlock, name_rules};

pub(in crate::check) fn check(spec: &ServiceEntrySpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    if spec.hosts.is_empty() {
        complaints.add(&at.key("hosts"), "no host is named", "name one");
    }
    for (index, name) in spec.hosts.iter().enumerate() {
        let path = at.key("hosts").index(index);
        complaints.expect(&path, host(name));
        if name == "*" || !name.contains('.') {
            complaints.add(
                &path,
                format!("{} is no full host name", quoted(name)),
                "write one such as example.com",
            );
        }
    }
    let passes = spec.resolution == Resolution::None;
    for (index, address) in spec.addresses.iter().enumerate() {
        let path = at.key("addresses").index(index);
        complaints.expect(&path, address.parse::<IpBlock>().map(|_| ()));
        if address.contains('/') && !passes {
            complaints.add(
                &path,
                "a block of addresses goes with resolution NONE only",
                "write single addresses",
            );
        }
    }
    ports(spec, &at.key("ports"), complaints);
    export_to(&spec.export_to, &at.key("exportTo"), complaints);
    if spec.workload_selector.is_some() && !spec.endpoints.is_empty() {
        complaints.add(&at.key("workloadSelector"), "it excludes endpoints", "keep one of them");
    }
    if passes && !spec.endpoints.is_empty() {
        complaints.add(
            &at.key("endpoints"),
            "resolution NONE has no endpoints",
            "use STATIC or DNS, or remove them",
        );
    }
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        let path = at.key("endpoints").index(index);
        let ip = endpoint.address.parse::<IpAddr>().is_ok();
        let named = name_rules::dns_subdomain(&endpoint.address).is_ok();
        if !ip && (!named || spec.resolution == Resolution::Static) {
            let reason = format!("{} is no address", quoted(&endpoint.address));
            complaints.add(&path.key("address"), reason, "write an IP address, or with DNS a host name");
        }
        for (name, port) in &endpoint.ports {
            let known = spec.ports.iter().any(|one| one.name == *name);
            if !known || *port == 0 {
                let reason = format!("port {} of the endpoint is none of the entry's", quoted(name));
                complaints.add(&path.key("ports").key(name), reason, "use the name of a port above");
            }
        }
    }
}

fn ports(spec: &ServiceEntrySpec, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (index, port) in spec.ports.iter().enumerate() {
        let path = at.index(index);
        if port.name.is_empty() || !names.insert(&port.name) {
            complaints.add(&path.key("name"), "each port has a name of its own", "name it otherwise");
        }
        if !numbers.insert(port.number) {
            complaints.add(&path.key("number"), format!("port {} is here twice", port.number), "keep one");
        }
    }
}
