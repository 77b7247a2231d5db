//! Services: names, virtual addresses, ports and how endpoints are chosen.

use ambit_kubernetes::Service as Object;
use ambit_kubernetes::{IpFamily, labels};
use ambit_model::service::{IpFamilies, ServiceAddress};
use ambit_model::{NetworkAddress, Service};

use super::balancing::balancing;
use super::objects::Objects;
use super::ports::service_ports;

/// A headless Service has no addresses: its workloads are matched by their own.
pub(super) fn service(object: &Object, objects: &Objects) -> Service {
    let mut service = Service::new(&object.metadata.name, objects.service_key(object));
    let address = |ip| ServiceAddress::Ip(NetworkAddress::new(objects.network().clone(), ip));
    service.addresses = object.addresses().into_iter().map(address).collect();
    service.ports = service_ports(object);
    service.load_balancing = balancing(object, objects.namespace(&object.metadata.namespace));
    service.ip_families = families(&object.spec.ip_families);
    service.canonical = true;
    service.ingress_use_waypoint = ingress_use_waypoint(object, objects);
    service
}

fn families(list: &[IpFamily]) -> IpFamilies {
    match (list.contains(&IpFamily::IPv4), list.contains(&IpFamily::IPv6)) {
        (false, false) => IpFamilies::Automatic,
        (true, false) => IpFamilies::V4,
        (false, true) => IpFamilies::V6,
        (true, true) => IpFamilies::Dual,
    }
}

/// The Service's own label, else its namespace's.
fn ingress_use_waypoint(object: &Object, objects: &Objects) -> bool {
    let own = object.metadata.label(labels::INGRESS_USE_WAYPOINT);
    let namespace =
        || objects.namespace(&object.metadata.namespace)?.metadata.label(labels::INGRESS_USE_WAYPOINT);
    own.or_else(namespace) == Some("true")
}
