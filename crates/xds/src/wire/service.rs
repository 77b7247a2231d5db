//! `istio.workload.Service` to a service.

use ambit_model::service::{
    AppProtocol, BalanceMode, IpFamilies, LoadBalancing, Port, Scope, ServiceAddress, Visibility,
};
use ambit_model::workload::Gateway;
use ambit_model::{NetworkAddress, Service, Text};
use ambit_proto::istio::workload as proto;

use super::Texts;
use super::address::{Fault, read_block, read_enum, read_ip, read_port};
use super::workload::{read_gateway, read_key};

/// Weight of a waypoint that stands alone.
pub(super) const WHOLE: u32 = 100;

pub(super) fn read_service(
    service: &proto::Service,
    name: &Text,
    texts: &mut Texts,
) -> Result<Service, Fault> {
    let own = format!("{}/{}", service.namespace, service.hostname);
    let key = read_key(&own, texts)?;
    if own != **name {
        return Err(Fault::Name(own));
    }
    Ok(Service {
        name: texts.share(&service.name),
        key,
        addresses: service
            .addresses
            .iter()
            .map(|address| read_address(address, texts))
            .collect::<Result<_, _>>()?,
        ports: read_ports(&service.ports)?,
        subject_alt_names: service.subject_alt_names.iter().map(|name| texts.share(name)).collect(),
        waypoints: read_waypoints(service, texts)?,
        load_balancing: service.load_balancing.as_ref().map(read_balancing).transpose()?.unwrap_or_default(),
        ip_families: match read_enum("ip_families", service.ip_families)? {
            proto::IpFamilies::Automatic => IpFamilies::Automatic,
            proto::IpFamilies::Ipv4Only => IpFamilies::V4,
            proto::IpFamilies::Ipv6Only => IpFamilies::V6,
            proto::IpFamilies::Dual => IpFamilies::Dual,
        },
        canonical: service.canonical,
        ingress_use_waypoint: service.ingress_use_waypoint,
        // An unknown visibility is the narrower one.
        visibility: match proto::service::Visibility::try_from(service.visibility) {
            Ok(proto::service::Visibility::Public) => Visibility::Public,
            Ok(proto::service::Visibility::Namespace) | Err(_) => Visibility::Namespace,
        },
    })
}

pub(super) fn read_address(
    address: &proto::NetworkAddress,
    texts: &mut Texts,
) -> Result<ServiceAddress, Fault> {
    let network = texts.share(&address.network);
    let Some(length) = address.length else {
        return Ok(ServiceAddress::Ip(NetworkAddress::new(network, read_ip(&address.address)?)));
    };
    let block = read_block(&address.address, length.into())?;
    if block.prefix_len() == block.max_prefix_len() {
        return Ok(ServiceAddress::Ip(NetworkAddress::new(network, block.addr())));
    }
    Ok(ServiceAddress::Block(network, block))
}

pub(super) fn read_ports(ports: &[proto::Port]) -> Result<Vec<Port>, Fault> {
    ports
        .iter()
        .map(|port| {
            Ok(Port {
                service_port: read_port("service_port", port.service_port.into())?,
                target_port: read_port("target_port", port.target_port.into())?,
                protocol: read_protocol(port.app_protocol),
            })
        })
        .collect()
}

fn read_protocol(value: i32) -> AppProtocol {
    match proto::AppProtocol::try_from(value) {
        Ok(proto::AppProtocol::Http11) => AppProtocol::Http11,
        Ok(proto::AppProtocol::Http2) => AppProtocol::Http2,
        Ok(proto::AppProtocol::Grpc) => AppProtocol::Grpc,
        Ok(proto::AppProtocol::Tcp) => AppProtocol::Tcp,
        Ok(proto::AppProtocol::Tls) => AppProtocol::Tls,
        Ok(proto::AppProtocol::Unknown) | Err(_) => AppProtocol::Unknown,
    }
}

fn read_waypoints(service: &proto::Service, texts: &mut Texts) -> Result<Vec<(Gateway, u32)>, Fault> {
    if service.weighted_waypoints.is_empty() {
        let alone = service.waypoint.as_ref().map(|gateway| Ok((read_gateway(gateway, texts)?, WHOLE)));
        return alone.into_iter().collect();
    }
    service
        .weighted_waypoints
        .iter()
        .map(|weighted| {
            let gateway =
                weighted.destination.as_ref().ok_or(Fault::Missing("a weighted waypoint's destination"))?;
            Ok((read_gateway(gateway, texts)?, weighted.weight))
        })
        .collect()
}

fn read_balancing(balancing: &proto::LoadBalancing) -> Result<LoadBalancing, Fault> {
    use proto::load_balancing::{HealthPolicy, Mode};
    Ok(LoadBalancing {
        preference: balancing
            .routing_preference
            .iter()
            .map(|scope| read_scope(*scope))
            .collect::<Result<_, _>>()?,
        mode: match read_enum("load_balancing.mode", balancing.mode)? {
            Mode::UnspecifiedMode => BalanceMode::Unspecified,
            Mode::Strict => BalanceMode::Strict,
            Mode::Failover => BalanceMode::Failover,
            Mode::Passthrough => BalanceMode::Passthrough,
        },
        allow_unhealthy: match read_enum("load_balancing.health_policy", balancing.health_policy)? {
            HealthPolicy::OnlyHealthy => false,
            HealthPolicy::AllowAll => true,
        },
    })
}

fn read_scope(value: i32) -> Result<Scope, Fault> {
    use proto::load_balancing::Scope as Wire;
    match read_enum("load_balancing.routing_preference", value)? {
        Wire::UnspecifiedScope => {
            Err(Fault::Enum { field: "load_balancing.routing_preference", value: value.into() })
        }
        Wire::Region => Ok(Scope::Region),
        Wire::Zone => Ok(Scope::Zone),
        Wire::Subzone => Ok(Scope::Subzone),
        Wire::Node => Ok(Scope::Node),
        Wire::Cluster => Ok(Scope::Cluster),
        Wire::Network => Ok(Scope::Network),
    }
}
