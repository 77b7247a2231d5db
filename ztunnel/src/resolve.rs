//! Where a captured connection goes: a pure function over one snapshot (Istio ztunnel's order, first match wins).

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_model::snapshot::Destination;
use ambit_model::traffic::ports;
use ambit_model::workload::{Gateway, GatewayDestination, Tunnel};
use ambit_model::{Service, Snapshot, Text, Workload};
use ambit_policy::balance::{self, Family, NoEndpoint, NoEndpointReason};
use rand::{Rng, RngExt};

/// The next hop of an outbound connection.
#[derive(Debug, Clone)]
pub enum NextHop {
    /// Not of the mesh: plain TCP to the address that was dialled.
    Passthrough {
        /// Where to.
        address: SocketAddr,
        /// The service of mode passthrough that owns the address, if any.
        service: Option<Arc<Service>>,
    },
    /// A known workload that does not speak HBONE: plain TCP.
    Direct {
        /// Where to.
        address: SocketAddr,
        /// Who is there.
        workload: Arc<Workload>,
        /// The service it was chosen for.
        service: Option<Arc<Service>>,
    },
    /// A workload's own proxy, or a waypoint, through a tunnel.
    Hbone {
        /// Where the tunnel ends.
        gateway: SocketAddr,
        /// `:authority` of the CONNECT.
        authority: SocketAddr,
        /// Who is at the end of the tunnel.
        workload: Arc<Workload>,
        /// The service it was chosen for.
        service: Option<Arc<Service>>,
        /// SPIFFE IDs of which the peer must prove one.
        expected: Arc<[Text]>,
    },
    /// Nowhere.
    Reject(Rejection),
}

/// Why there is no next hop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The proxy's own port on the loopback address.
    #[error("{0} is a port of the proxy itself")]
    SelfCall(SocketAddr),
    /// The service has no endpoint that may be chosen.
    #[error("no healthy upstream, {0}")]
    NoEndpoint(NoEndpoint),
    /// The destination asks for a waypoint that cannot be reached: going around it would skip its policies.
    #[error("waypoint {0} of the destination is not available: {1}")]
    Waypoint(String, String),
    /// Somebody is announced at the address whom this version cannot read: a mesh pod, or a service with a waypoint.
    #[error("{0} is at the address and cannot be read, so nothing is sent there in plaintext: {1}")]
    Unreadable(Text, Text),
    /// The workload is on another network, which needs a network gateway.
    #[error("workload {0} is on network {1:?}, which this proxy has no way to: networks are not joined yet")]
    OtherNetwork(Text, Text),
    /// The workload has no address.
    #[error("workload {0} has only a host name, which this proxy does not resolve yet")]
    NoAddress(Text),
}

/// Resolves `destination` (canonical) for the workload `own`. `dice` decides between endpoints.
pub fn resolve(snapshot: &Snapshot, own: &Workload, destination: SocketAddr, dice: &mut impl Rng) -> NextHop {
    if destination.ip().is_loopback() && ports::is_proxy(destination.port()) {
        return NextHop::Reject(Rejection::SelfCall(destination));
    }
    match snapshot.destination(&own.network, destination.ip(), &own.namespace) {
        Some(Destination::Service(service)) => to_service(snapshot, own, destination, service, dice),
        Some(Destination::Workload(workload)) => to_workload(snapshot, own, destination, workload, dice),
        None => match snapshot.unreadable_at(&own.network, destination.ip()) {
            Some(claim) => NextHop::Reject(Rejection::Unreadable(claim.key.clone(), claim.reason.clone())),
            None => NextHop::Passthrough { address: destination, service: None },
        },
    }
}

fn to_service(
    snapshot: &Snapshot,
    own: &Workload,
    destination: SocketAddr,
    service: Arc<Service>,
    dice: &mut impl Rng,
) -> NextHop {
    if let Some(waypoint) = pick_waypoint(&service, dice) {
        return to_waypoint(snapshot, own, destination, waypoint, Some(service.clone()), dice);
    }
    let family = Family::of(destination.ip());
    match balance::choose(snapshot, &service, destination.port(), own, family, dice) {
        Ok(chosen) => match chosen.address {
            Some(ip) => {
                to_endpoint(own, SocketAddr::new(ip, chosen.target_port), chosen.workload, Some(service))
            }
            None => NextHop::Reject(unaddressed(own, &chosen.workload)),
        },
        Err(NoEndpoint { reason: NoEndpointReason::Passthrough, .. }) => {
            NextHop::Passthrough { address: destination, service: Some(service) }
        }
        Err(reason) => NextHop::Reject(Rejection::NoEndpoint(reason)),
    }
}

fn to_workload(
    snapshot: &Snapshot,
    own: &Workload,
    destination: SocketAddr,
    workload: Arc<Workload>,
    dice: &mut impl Rng,
) -> NextHop {
    match workload.waypoint.clone() {
        Some(waypoint) if !is_behind(snapshot, own, &waypoint) => {
            to_waypoint(snapshot, own, destination, &waypoint, None, dice)
        }
        _ => to_endpoint(own, destination, workload, None),
    }
}

/// The last hop: a tunnel if the workload speaks it, never plaintext then.
fn to_endpoint(
    own: &Workload,
    address: SocketAddr,
    workload: Arc<Workload>,
    service: Option<Arc<Service>>,
) -> NextHop {
    if workload.network != own.network {
        return NextHop::Reject(Rejection::OtherNetwork(workload.uid.clone(), workload.network.clone()));
    }
    match workload.tunnel {
        Tunnel::None => NextHop::Direct { address, workload, service },
        Tunnel::Hbone => NextHop::Hbone {
            gateway: SocketAddr::new(address.ip(), ports::HBONE),
            authority: address,
            expected: expected(&workload, service.as_deref()),
            workload,
            service,
        },
    }
}

/// The workload's own identity, or any that its service vouches for.
fn expected(workload: &Workload, service: Option<&Service>) -> Arc<[Text]> {
    let own: Text = workload.identity.to_string().into();
    service.into_iter().flat_map(|service| service.subject_alt_names.iter().cloned()).chain([own]).collect()
}

/// One of the service's waypoints by weight.
fn pick_waypoint<'a>(service: &'a Service, dice: &mut impl Rng) -> Option<&'a Gateway> {
    let total: u64 = service.waypoints.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if total == 0 {
        return service.waypoints.first().map(|(gateway, _)| gateway);
    }
    let mut left = dice.random_range(0..total);
    service.waypoints.iter().find_map(|(gateway, weight)| match left.checked_sub(u64::from(*weight)) {
        Some(rest) => {
            left = rest;
            None
        }
        None => Some(gateway),
    })
}

/// Whether the caller is one of the waypoint's own pods, which reach the workload directly.
fn is_behind(snapshot: &Snapshot, own: &Workload, waypoint: &Gateway) -> bool {
    match &waypoint.destination {
        GatewayDestination::Service(key) => own.services.contains_key(key),
        GatewayDestination::Address(address) if address.network != own.network => false,
        GatewayDestination::Address(address) => {
            let service = snapshot.service_at(&address.network, address.ip, &own.namespace);
            own.owns(address.ip) || service.is_some_and(|service| own.services.contains_key(&service.key))
        }
    }
}

/// A tunnel to one of the waypoint's pods. Anything missing on the way rejects: the waypoint's policies must apply.
fn to_waypoint(
    snapshot: &Snapshot,
    own: &Workload,
    authority: SocketAddr,
    waypoint: &Gateway,
    service: Option<Arc<Service>>,
    dice: &mut impl Rng,
) -> NextHop {
    let refuse = |name: String, reason: String| NextHop::Reject(Rejection::Waypoint(name, reason));
    let (name, through) = match &waypoint.destination {
        GatewayDestination::Service(key) => (key.to_string(), snapshot.service(key).cloned()),
        GatewayDestination::Address(address) => {
            if let Some(workload) = snapshot.workload_at(&address.network, address.ip) {
                let tunnel = SocketAddr::new(address.ip, waypoint.hbone_port);
                return to_waypoint_pod(own, tunnel, authority, workload.clone(), service, None);
            }
            let found = snapshot.service_at(&address.network, address.ip, &own.namespace);
            (address.to_string(), found.cloned())
        }
    };
    let Some(through) = through else { return refuse(name, "it is not known".into()) };
    let family = Family::of(authority.ip());
    match balance::choose_waypoint(snapshot, &through, waypoint.hbone_port, own, family, dice) {
        Ok(chosen) => match chosen.address {
            Some(ip) => {
                let tunnel = SocketAddr::new(ip, chosen.target_port);
                to_waypoint_pod(own, tunnel, authority, chosen.workload, service, Some(&through))
            }
            None => NextHop::Reject(unaddressed(own, &chosen.workload)),
        },
        Err(reason) => refuse(name, reason.to_string()),
    }
}

fn to_waypoint_pod(
    own: &Workload,
    gateway: SocketAddr,
    authority: SocketAddr,
    workload: Arc<Workload>,
    service: Option<Arc<Service>>,
    through: Option<&Service>,
) -> NextHop {
    if workload.network != own.network {
        return NextHop::Reject(Rejection::OtherNetwork(workload.uid.clone(), workload.network.clone()));
    }
    let expected = expected(&workload, through);
    NextHop::Hbone { gateway, authority, workload, service, expected }
}

/// Why a chosen endpoint without an address cannot be dialled.
fn unaddressed(own: &Workload, workload: &Workload) -> Rejection {
    if workload.network == own.network {
        Rejection::NoAddress(workload.uid.clone())
    } else {
        Rejection::OtherNetwork(workload.uid.clone(), workload.network.clone())
    }
}

#[cfg(test)]
mod tests;
