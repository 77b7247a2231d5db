//! VirtualServices: hosts, gateways, and connections.

use super::values::{export_to, host};
use crate::FieldPath;
use crate::IpBlock;
use crate::check::Complaints;
use crate::istio::{Destination, L4Match, RouteDestination, VirtualServiceSpec};
use crate::name_rules;
use crate::problem::quoted;

pub(in crate::check) fn check(spec: &VirtualServiceSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    for (index, name) in spec.hosts.iter().enumerate() {
        complaints.expect(&at.key("hosts").index(index), host(name));
    }
    if spec.hosts.is_empty() && (!spec.gateways.is_empty() || !spec.tcp.is_empty() || !spec.tls.is_empty()) {
        let reason = "without hosts others delegate to it, which goes with http alone";
        complaints.add(&at.key("hosts"), reason, "name the hosts that it is for");
    }
    gateways(&spec.gateways, &at.key("gateways"), complaints);
    export_to(&spec.export_to, &at.key("exportTo"), complaints);
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        complaints.add(&at, "it says nothing", "set http, tls or tcp");
    }
    for (index, route) in spec.http.iter().enumerate() {
        super::http_route::check(route, &at.key("http").index(index), complaints);
    }
    for (index, route) in spec.tls.iter().enumerate() {
        let path = at.key("tls").index(index);
        if route.matches.is_empty() {
            complaints.add(&path.key("match"), "a tls rule needs a match", "name sniHosts");
        }
        for (index, one) in route.matches.iter().enumerate() {
            let path = path.key("match").index(index);
            if one.sni_hosts.is_empty() {
                complaints.add(&path.key("sniHosts"), "no server name is named", "name one, or *");
            }
            for (index, name) in one.sni_hosts.iter().enumerate() {
                complaints.expect(&path.key("sniHosts").index(index), host(name));
            }
            let conditions = L4Match {
                destination_subnets: one.destination_subnets.clone(),
                gateways: one.gateways.clone(),
                ..L4Match::default()
            };
            l4(&conditions, &path, complaints);
        }
        destinations(&route.route, &path.key("route"), complaints);
    }
    for (index, route) in spec.tcp.iter().enumerate() {
        let path = at.key("tcp").index(index);
        for (index, one) in route.matches.iter().enumerate() {
            l4(one, &path.key("match").index(index), complaints);
        }
        destinations(&route.route, &path.key("route"), complaints);
    }
}

pub(super) fn gateways(list: &[String], at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, gateway) in list.iter().enumerate() {
        let (namespace, name) = gateway.split_once('/').unwrap_or(("default", gateway));
        if name_rules::dns_label(namespace).is_err() || name_rules::dns_subdomain(name).is_err() {
            let reason = format!("{} is not a gateway", quoted(gateway));
            complaints.add(&at.index(index), reason, "use NAME, NAMESPACE/NAME or mesh");
        }
    }
}

fn l4(conditions: &L4Match, at: &FieldPath, complaints: &mut Complaints<'_>) {
    gateways(&conditions.gateways, &at.key("gateways"), complaints);
    for (index, block) in conditions.destination_subnets.iter().enumerate() {
        let outcome = block.parse::<IpBlock>().map(|_| ());
        complaints.expect(&at.key("destinationSubnets").index(index), outcome);
    }
}

fn destinations(list: &[RouteDestination], at: &FieldPath, complaints: &mut Complaints<'_>) {
    if list.is_empty() {
        complaints.add(at, "the rule leads nowhere", "name a destination");
    }
    for (index, one) in list.iter().enumerate() {
        destination(&one.destination, &at.index(index).key("destination"), complaints);
    }
    weights(list.iter().map(|one| one.weight), at, complaints);
}

pub(super) fn destination(destination: &Destination, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if destination.host.starts_with('*') {
        complaints.add(&at.key("host"), "nothing can be sent to a wildcard", "name one host");
    } else {
        complaints.expect(&at.key("host"), host(&destination.host));
    }
    if !destination.subset.is_empty() {
        complaints.expect(&at.key("subset"), name_rules::dns_label(&destination.subset));
    }
}

/// None is negative, and of several one at least counts.
pub(super) fn weights(weights: impl Iterator<Item = i32>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let weights: Vec<i32> = weights.collect();
    for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight < 0) {
        complaints.add(&at.index(index).key("weight"), format!("{weight} is out of range"), "use 0 or more");
    }
    if weights.len() > 1 && weights.iter().all(|weight| *weight == 0) {
        complaints.add(at, "no destination has a weight", "give one a weight of at least 1");
    }
}
