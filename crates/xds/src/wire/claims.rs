//! Where an unreadable workload or service is: its addresses, read on their own from a message that decodes.

use ambit_model::service::ServiceAddress;
use ambit_model::{NetworkAddress, Text};
use ambit_proto::istio::workload as proto;
use prost::Message;

use super::Texts;
use super::address::read_ip;
use super::service::read_address;

/// The addresses of an `istio.workload.Address`, whatever else is in it; addresses of other than 4 or 16 bytes are
/// left out. `None` when the bytes are no such message or it has neither a workload nor a service.
///
/// A host-network workload claims none: its address is the node's.
pub fn decode_claims(bytes: &[u8], texts: &mut Texts) -> Option<Vec<ServiceAddress>> {
    match proto::Address::decode(bytes).ok()?.r#type? {
        proto::address::Type::Workload(workload) => {
            if workload.network_mode == i32::from(proto::NetworkMode::HostNetwork) {
                return Some(Vec::new());
            }
            let network = texts.share(&workload.network);
            let ips = workload.addresses.iter().filter_map(|ip| read_ip(ip).ok());
            Some(ips.map(|ip| single(&network, ip)).collect())
        }
        proto::address::Type::Service(service) => {
            let addresses = service.addresses.iter();
            Some(addresses.filter_map(|address| claim(address, texts)).collect())
        }
    }
}

/// A block whose length makes no sense is at least its address.
fn claim(address: &proto::NetworkAddress, texts: &mut Texts) -> Option<ServiceAddress> {
    let whole = read_address(address, texts).ok();
    whole.or_else(|| Some(single(&texts.share(&address.network), read_ip(&address.address).ok()?)))
}

fn single(network: &Text, ip: std::net::IpAddr) -> ServiceAddress {
    ServiceAddress::Ip(NetworkAddress::new(network.clone(), ip))
}
