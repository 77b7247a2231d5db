//! Which port of its own pod may an inbound tunnel reach? Pure, and the only answer to attack A5.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_hbone::Authority;
use ambit_model::traffic::ports;
use ambit_model::{Service, Snapshot, Workload};

/// Envoy's and our own administration port: never a tunnel's target.
const ADMIN_PORTS: [u16; 2] = [ports::ADMIN, ports::DNS];

/// An application to connect a tunnel to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address, one of the pod's own.
    pub address: SocketAddr,
    /// The service that the tunnel named.
    pub service: Option<Arc<Service>>,
}

/// Why a CONNECT is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// The authority names another host than the pod that the tunnel arrived at.
    #[error("the tunnel arrived at {arrived} but asks for {asked}, which is not this pod")]
    NotThisPod {
        /// Where the tunnel's TCP connection arrived.
        arrived: IpAddr,
        /// What was asked for.
        asked: String,
    },
    /// An address that no tunnel may reach.
    #[error("{0} is not an address that a tunnel may reach")]
    Forbidden(SocketAddr),
    /// A port of the proxy itself.
    #[error("port {0} belongs to the proxy itself")]
    OwnPort(u16),
    /// The host name is no service of this pod's, or lacks the port.
    #[error("{host}:{port} is not a service port that this pod serves")]
    NotServed {
        /// What was asked for.
        host: String,
        /// Its port.
        port: u16,
    },
    /// The pod expects a protocol on the last hop that is not spoken here.
    #[error("the pod expects the PROXY protocol, which this proxy does not send yet")]
    ProxyProtocol,
}

impl BadTarget {
    /// The status of the refusal: 400 where the request is wrong, 503 where this proxy cannot serve it.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::OwnPort(_) | Self::NotServed { .. } | Self::ProxyProtocol => {
                http::StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NotThisPod { .. } | Self::Forbidden(_) => http::StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks where a tunnel wants to go. `arrived` is the canonical address that its TCP connection was made to.
pub fn target(
    snapshot: &Snapshot,
    own: &Workload,
    arrived: IpAddr,
    authority: &Authority,
) -> Result<Target, BadTarget> {
    let target = match authority {
        Authority::Address(address) => by_address(own, arrived, *address)?,
        Authority::Host { hostname, port } => by_service(snapshot, own, arrived, hostname, *port)?,
    };
    let port = target.address.port();
    if ports::is_proxy(port) || ADMIN_PORTS.contains(&port) {
        return Err(BadTarget::OwnPort(port));
    }
    if own.application_tunnel.is_some_and(|tunnel| tunnel.proxy_protocol) {
        return Err(BadTarget::ProxyProtocol);
    }
    Ok(target)
}

fn by_address(own: &Workload, arrived: IpAddr, address: SocketAddr) -> Result<Target, BadTarget> {
    let ip = address.ip().to_canonical();
    if is_forbidden(ip) || address.port() == 0 {
        return Err(BadTarget::Forbidden(address));
    }
    // Both must hold: the tunnel came to this address, and the address is the workload's own.
    if ip != arrived || !own.owns(ip) {
        return Err(BadTarget::NotThisPod { arrived, asked: address.to_string() });
    }
    Ok(Target { address: SocketAddr::new(ip, address.port()), service: None })
}

fn by_service(
    snapshot: &Snapshot,
    own: &Workload,
    arrived: IpAddr,
    hostname: &str,
    port: u16,
) -> Result<Target, BadTarget> {
    let refuse = || BadTarget::NotServed { host: hostname.into(), port };
    if !own.owns(arrived) {
        return Err(BadTarget::NotThisPod { arrived, asked: format!("{hostname}:{port}") });
    }
    let served = snapshot.services_named(hostname).iter().filter_map(|service| {
        let own_ports = own.services.get(&service.key)?;
        let listed = own_ports.iter().find(|listed| listed.service_port == port)?;
        let of_service = service.ports.iter().find(|listed| listed.service_port == port);
        let target = Some(listed.target_port).filter(|port| *port != 0);
        Some((service, target.or(of_service.map(|listed| listed.target_port)).filter(|port| *port != 0)?))
    });
    let best = served.max_by_key(|(service, _)| (service.key.namespace == own.namespace, service.canonical));
    let (service, target) = best.ok_or_else(refuse)?;
    Ok(Target { address: SocketAddr::new(arrived, target), service: Some(service.clone()) })
}

/// Loopback, unspecified, link-local (the metadata services live there), multicast and broadcast.
fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_model::Change;
    use ambit_model::service::{AppProtocol, Port, ServiceKey};

    fn own() -> Workload {
        let mut own = Workload::new("c//Pod/ns/a", "a", "ns").unwrap();
        own.addresses = vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        own
    }

    fn at(authority: &str) -> Result<Target, BadTarget> {
        target(&Snapshot::new(""), &own(), "10.0.0.5".parse().unwrap(), &authority.parse().unwrap())
    }

    #[test]
    fn the_pods_own_ports_are_reached() {
        assert_eq!(at("10.0.0.5:80").unwrap().address, "10.0.0.5:80".parse().unwrap());
        let six =
            target(&Snapshot::new(""), &own(), "fd00::5".parse().unwrap(), &"[fd00::5]:80".parse().unwrap());
        assert_eq!(six.unwrap().address, "[fd00::5]:80".parse().unwrap());
    }

    #[test]
    fn a05_nothing_but_the_pods_own_ports_is_reached() {
        for authority in [
            "127.0.0.1:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "169.254.169.254:80",
            "10.0.0.6:80",
            "[fd00::5]:80",
            "10.0.0.5:15000",
            "10.0.0.5:15001",
            "10.0.0.5:15006",
            "10.0.0.5:15008",
            "unknown.ns.svc.cluster.local:80",
        ] {
            let Ok(parsed) = authority.parse() else { continue };
            let arrived = "10.0.0.5".parse().unwrap();
            assert!(
                target(&Snapshot::new(""), &own(), arrived, &parsed).is_err(),
                "{authority} was accepted"
            );
        }
    }

    #[test]
    fn a_service_name_leads_to_the_pods_own_port_for_it() {
        let key = ServiceKey::new("ns", "a.ns.svc.cluster.local");
        let port =
            |service_port, target_port| Port { service_port, target_port, protocol: AppProtocol::Unknown };
        let mut service = Service::new("a", key.clone());
        service.ports = vec![port(80, 0)];
        let mut snapshot = Snapshot::new("");
        snapshot.apply([Change::Service(service.into())]);
        let mut own = own();
        let ask = |own: &Workload, authority: &str| {
            target(&snapshot, own, "10.0.0.5".parse().unwrap(), &authority.parse().unwrap())
        };
        assert!(ask(&own, "a.ns.svc.cluster.local:80").is_err(), "not an endpoint of the service");
        own.services.insert(key, vec![port(80, 8080)]);
        assert_eq!(ask(&own, "a.ns.svc.cluster.local:80").unwrap().address.port(), 8080);
        assert!(ask(&own, "a.ns.svc.cluster.local:81").is_err());
    }
}
