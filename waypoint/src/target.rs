//! What does a CONNECT ask for, and is that ours to serve? Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_hbone::Authority;
use ambit_model::service::AppProtocol;
use ambit_model::traffic::ports;
use ambit_model::{Identity, Service, Snapshot, Workload};

use crate::ingress::Entrance;
use crate::own::Own;
use crate::settings::Settings;

/// What a connection is for.
#[derive(Debug, Clone)]
pub enum Target {
    /// A port of a service that is bound to this waypoint.
    Service {
        /// The service as it was when the connection came.
        service: Arc<Service>,
        /// Its port.
        port: u16,
        /// What the port declares.
        protocol: AppProtocol,
        /// The address that the client dialled, where it named one.
        dialled: Option<IpAddr>,
    },
    /// A port of a workload that is bound to this waypoint.
    Workload {
        /// The workload as it was when the connection came.
        workload: Arc<Workload>,
        /// Its address and port.
        address: SocketAddr,
        /// What the services that it is behind agree on for the port.
        protocol: AppProtocol,
    },
    /// A listener of this proxy's own Gateway: routes alone say where its requests go.
    Entrance(Entrance),
}

/// Why a CONNECT is answered 400. One line, for the client's operator too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Nothing is known by that name or address.
    #[error("{0} is no service or workload that this waypoint knows: check that the controller announces it")]
    Unknown(Authority),
    /// It exists, and another way leads there.
    #[error("{0} is not bound to this waypoint: label it istio.io/use-waypoint, or connect to it directly")]
    NotBound(Authority),
    /// The service lacks the port.
    #[error("{0} has no such port: add it to the service's ports")]
    NoPort(Authority),
    /// A port of the endpoint's proxy itself.
    #[error("port {0} belongs to the endpoint's own proxy")]
    ProxyPort(u16),
}

impl Target {
    /// What its port declares.
    pub fn protocol(&self) -> AppProtocol {
        match self {
            Self::Service { protocol, .. } | Self::Workload { protocol, .. } => *protocol,
            Self::Entrance(_) => AppProtocol::Http11,
        }
    }

    /// The port that the client asked for.
    pub fn port(&self) -> u16 {
        match self {
            Self::Service { port, .. } => *port,
            Self::Workload { address, .. } => address.port(),
            Self::Entrance(entrance) => entrance.local.port(),
        }
    }
}

/// Reads what a CONNECT of `client` asks for. Names and addresses are those of this proxy's network.
///
/// # Errors
/// It is not this waypoint's to serve.
pub fn target(
    snapshot: &Snapshot,
    settings: &Settings,
    own: &Own,
    client: &Identity,
    authority: &Authority,
) -> Result<Target, BadTarget> {
    match authority {
        Authority::Host { hostname, port } => {
            let named = snapshot.services_named(hostname);
            if named.is_empty() {
                return Err(BadTarget::Unknown(authority.clone()));
            }
            let bound = named.iter().filter(|service| is_bound(snapshot, settings, own, service));
            let nearest =
                bound.max_by_key(|service| (service.key.namespace == *client.namespace(), service.canonical));
            let service = nearest.ok_or_else(|| BadTarget::NotBound(authority.clone()))?;
            of_service(service, *port, None, authority)
        }
        Authority::Address(address) => {
            let network = &own.workload.network;
            if let Some(workload) = snapshot.workload_at(network, address.ip()) {
                return of_workload(snapshot, settings, own, workload, *address, authority);
            }
            let service = snapshot.service_at(network, address.ip(), client.namespace());
            let service = service.ok_or_else(|| BadTarget::Unknown(authority.clone()))?;
            if !is_bound(snapshot, settings, own, service) {
                return Err(BadTarget::NotBound(authority.clone()));
            }
            of_service(service, address.port(), Some(address.ip()), authority)
        }
    }
}

/// Whether the service names this waypoint among its waypoints.
pub fn is_bound(snapshot: &Snapshot, settings: &Settings, own: &Own, service: &Service) -> bool {
    service.waypoints.iter().any(|(waypoint, _)| own.is(snapshot, settings, waypoint))
}

fn of_service(
    service: &Arc<Service>,
    port: u16,
    dialled: Option<IpAddr>,
    authority: &Authority,
) -> Result<Target, BadTarget> {
    let listed = service.ports.iter().find(|listed| listed.service_port == port);
    let listed = listed.ok_or_else(|| BadTarget::NoPort(authority.clone()))?;
    Ok(Target::Service { service: service.clone(), port, protocol: listed.protocol, dialled })
}

fn of_workload(
    snapshot: &Snapshot,
    settings: &Settings,
    own: &Own,
    workload: &Arc<Workload>,
    address: SocketAddr,
    authority: &Authority,
) -> Result<Target, BadTarget> {
    if !workload.waypoint.as_ref().is_some_and(|waypoint| own.is(snapshot, settings, waypoint)) {
        return Err(BadTarget::NotBound(authority.clone()));
    }
    if ports::is_proxy(address.port()) {
        return Err(BadTarget::ProxyPort(address.port()));
    }
    let protocol = agreed(snapshot, workload, address.port());
    Ok(Target::Workload { workload: workload.clone(), address, protocol })
}

/// The protocol that every service which leads to this port of the workload declares.
fn agreed(snapshot: &Snapshot, workload: &Workload, port: u16) -> AppProtocol {
    let mut declared = workload.services.iter().filter_map(|(key, own)| {
        let service = snapshot.service(key)?;
        let target = |listed: &ambit_model::service::Port| {
            let of_own = own.iter().find(|each| each.service_port == listed.service_port);
            of_own.map(|each| each.target_port).filter(|port| *port != 0).unwrap_or(listed.target_port)
        };
        service.ports.iter().find(|listed| target(listed) == port).map(|listed| listed.protocol)
    });
    let first = declared.next().unwrap_or_default();
    if declared.all(|other| other == first) { first } else { AppProtocol::Unknown }
}
