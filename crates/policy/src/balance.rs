//! Which endpoint of a service gets this connection? Weighted random choice as Istio's ztunnel does it.
//!
//! Two passes over the endpoints, no allocation: the first finds the best rank and the weight that has it, the second
//! walks to the one that the random number names.

mod candidates;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::service::{BalanceMode, IpFamilies, LoadBalancing, Scope, ServiceKey};
use ambit_model::snapshot::Endpoint;
use ambit_model::workload::Health;
use ambit_model::{Service, Snapshot, Workload};
use rand::{Rng, RngExt};

pub use candidates::{Candidate, candidates};

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// An endpoint to forward to.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The endpoint.
    pub workload: Arc<Workload>,
    /// Its port.
    pub target_port: u16,
    /// Its address, of a family that the service has, of the wanted one if possible. `None` for an endpoint that is
    /// reached by its host name or through its network's gateway. On another network than the client's, an address does
    /// not make the gateway needless.
    pub address: Option<IpAddr>,
}

/// Why there is no endpoint to forward to. Its text is one line that names the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service {service}: {reason}")]
pub struct NoEndpoint {
    /// The service.
    pub service: ServiceKey,
    /// What is missing.
    pub reason: NoEndpointReason,
}

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEndpointReason {
    /// No failure: the service wants the address that the client dialled (Istio mode PASSTHROUGH).
    Passthrough,
    /// The service has no such port.
    PortUnknown(u16),
    /// No workload is selected by the service.
    NoEndpoints,
    /// It has endpoints, none of which has the port by this name or number.
    PortNotOnEndpoints(u16),
    /// It has endpoints, none of which is healthy.
    NoneHealthy,
    /// It has healthy endpoints, none of which has an address, host name or gateway by which it could be reached.
    NoneAddressable,
    /// It has usable endpoints, none of which is where the service's strict traffic policy demands.
    NoneInScope,
}

impl fmt::Display for NoEndpointReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passthrough => f.write_str("it is forwarded to the address that was dialled"),
            Self::PortUnknown(port) => write!(f, "it has no port {port}; add it to the service's ports"),
            Self::NoEndpoints => f.write_str("no workload is selected by it"),
            Self::PortNotOnEndpoints(port) => {
                write!(f, "no endpoint has the target of port {port}; name that port in the pods")
            }
            Self::NoneHealthy => f.write_str("no healthy endpoint; none of its pods is ready"),
            Self::NoneAddressable => f.write_str("no endpoint can be reached: none has an address of its IP family, host name or gateway"),
            Self::NoneInScope => f.write_str("no endpoint is where its strict traffic policy demands (same node, zone or region as the client)"),
        }
    }
}

/// Chooses an endpoint of `service` for a connection from `client` to the service's `port`.
///
/// Every endpoint that is eligible and closest by the service's preference is chosen with a probability in proportion
/// to its capacity. `wanted` is the family of the address that the client dialled.
///
/// # Errors
/// [`NoEndpoint`] says what is missing. [`NoEndpointReason::Passthrough`] is an instruction, not a failure.
pub fn choose(
    snapshot: &Snapshot,
    service: &Service,
    port: u16,
    client: &Workload,
    wanted: Family,
    rng: &mut impl Rng,
) -> Result<Chosen, NoEndpoint> {
    Choice { snapshot, service, port, client, wanted, waypoint: false }.make(rng)
}

/// [`choose`] among the pods of a waypoint, for its HBONE port: an endpoint with an application tunnel is reached on that
/// port even though the service does not list it.
///
/// # Errors
/// As [`choose`].
pub fn choose_waypoint(
    snapshot: &Snapshot,
    service: &Service,
    port: u16,
    client: &Workload,
    wanted: Family,
    rng: &mut impl Rng,
) -> Result<Chosen, NoEndpoint> {
    Choice { snapshot, service, port, client, wanted, waypoint: true }.make(rng)
}

struct Choice<'a> {
    snapshot: &'a Snapshot,
    service: &'a Service,
    port: u16,
    client: &'a Workload,
    wanted: Family,
    waypoint: bool,
}

/// An eligible endpoint, before ranks are compared.
struct Eligible<'a> {
    workload: &'a Arc<Workload>,
    target_port: u16,
    address: Option<IpAddr>,
    rank: usize,
}

impl Eligible<'_> {
    fn weight(&self) -> u64 {
        u64::from(self.workload.capacity.max(1))
    }
}

impl Choice<'_> {
    fn make(&self, rng: &mut impl Rng) -> Result<Chosen, NoEndpoint> {
        if self.service.load_balancing.mode == BalanceMode::Passthrough {
            return Err(self.nothing(NoEndpointReason::Passthrough));
        }
        let listed = self.listed_target();
        if listed.is_none() && !self.waypoint {
            return Err(self.nothing(NoEndpointReason::PortUnknown(self.port)));
        }
        let endpoints = self.snapshot.endpoints(&self.service.key);
        // The furthest that any endpoint came says what is missing.
        let mut missing = NoEndpointReason::NoEndpoints;
        let mut best = 0;
        let mut total = 0;
        for endpoint in endpoints {
            match self.eligible(endpoint, listed) {
                Ok(eligible) if total == 0 || eligible.rank > best => {
                    best = eligible.rank;
                    total = eligible.weight();
                }
                Ok(eligible) if eligible.rank == best => total += eligible.weight(),
                Ok(_) => {}
                Err(reason) => missing = later(missing, reason),
            }
        }
        if total == 0 {
            return Err(self.nothing(missing));
        }
        let mut left = rng.random_range(0..total);
        let eligible = endpoints.iter().filter_map(|endpoint| self.eligible(endpoint, listed).ok());
        for eligible in eligible.filter(|eligible| eligible.rank == best) {
            match left.checked_sub(eligible.weight()) {
                Some(rest) => left = rest,
                None => {
                    let Eligible { workload, target_port, address, .. } = eligible;
                    return Ok(Chosen { workload: workload.clone(), target_port, address });
                }
            }
        }
        Err(self.nothing(missing))
    }

    fn nothing(&self, reason: NoEndpointReason) -> NoEndpoint {
        NoEndpoint { service: self.service.key.clone(), reason }
    }

    /// What the service's own port list says: `None` where it lacks the port, 0 where each endpoint says.
    fn listed_target(&self) -> Option<u16> {
        let port = self.service.ports.iter().find(|port| port.service_port == self.port);
        port.map(|port| port.target_port)
    }

    fn eligible<'e>(
        &self,
        endpoint: &'e Endpoint,
        listed: Option<u16>,
    ) -> Result<Eligible<'e>, NoEndpointReason> {
        let workload = &endpoint.workload;
        let target_port =
            self.target_port(endpoint, listed).ok_or(NoEndpointReason::PortNotOnEndpoints(self.port))?;
        if workload.health != Health::Healthy && !self.service.load_balancing.allow_unhealthy {
            return Err(NoEndpointReason::NoneHealthy);
        }
        let address = self.address(workload);
        let elsewhere = workload.network != self.client.network && workload.network_gateway.is_some();
        if address.is_none() && workload.hostname.is_empty() && !elsewhere {
            return Err(NoEndpointReason::NoneAddressable);
        }
        let rank =
            rank(&self.service.load_balancing, self.client, workload).ok_or(NoEndpointReason::NoneInScope)?;
        Ok(Eligible { workload, target_port, address, rank })
    }

    /// The endpoint's own word counts before the service's.
    fn target_port(&self, endpoint: &Endpoint, listed: Option<u16>) -> Option<u16> {
        let own =
            endpoint.ports.iter().find(|port| port.service_port == self.port).map(|port| port.target_port);
        let known = own.filter(|port| *port != 0).or(listed.filter(|port| *port != 0));
        match endpoint.workload.application_tunnel {
            Some(_) if known.is_none() && self.waypoint => Some(self.port),
            _ => known,
        }
    }

    /// An address of a family that the service has, of the wanted one if there is one.
    fn address(&self, workload: &Workload) -> Option<IpAddr> {
        let has = |ip: &&IpAddr| match self.service.ip_families {
            IpFamilies::Automatic | IpFamilies::Dual => true,
            IpFamilies::V4 => ip.is_ipv4(),
            IpFamilies::V6 => ip.is_ipv6(),
        };
        let mut usable = workload.addresses.iter().filter(has);
        let first = usable.clone().next();
        usable.find(|ip| Family::of(**ip) == self.wanted).or(first).copied()
    }
}

/// Of two reasons the one that an endpoint met later in its examination.
fn later(one: NoEndpointReason, other: NoEndpointReason) -> NoEndpointReason {
    let stage = |reason| match reason {
        NoEndpointReason::Passthrough | NoEndpointReason::PortUnknown(_) | NoEndpointReason::NoEndpoints => 0,
        NoEndpointReason::PortNotOnEndpoints(_) => 1,
        NoEndpointReason::NoneHealthy => 2,
        NoEndpointReason::NoneAddressable => 3,
        NoEndpointReason::NoneInScope => 4,
    };
    if stage(other) > stage(one) { other } else { one }
}

/// How many scopes match, counted from the first until one does not; `None` where STRICT demands more.
///
/// NETWORK as the first scope is a wish: an endpoint of another network competes by the other scopes, below every
/// endpoint of the client's network.
fn rank(balancing: &LoadBalancing, client: &Workload, endpoint: &Workload) -> Option<usize> {
    let scopes = &balancing.preference[..];
    let strict = match balancing.mode {
        BalanceMode::Unspecified | BalanceMode::Passthrough => return Some(0),
        BalanceMode::Strict => true,
        BalanceMode::Failover => false,
    };
    let matches = |scope: &&Scope| match scope {
        Scope::Region => client.locality.region == endpoint.locality.region,
        Scope::Zone => client.locality.zone == endpoint.locality.zone,
        Scope::Subzone => client.locality.subzone == endpoint.locality.subzone,
        Scope::Node => client.node == endpoint.node,
        Scope::Cluster => client.cluster == endpoint.cluster,
        Scope::Network => client.network == endpoint.network,
    };
    let (network, others) = match scopes {
        [first @ Scope::Network, others @ ..] => (Some(matches(&first)), others),
        _ => (None, scopes),
    };
    let matched = others.iter().take_while(matches).count();
    if strict && (matched < others.len() || network == Some(false)) {
        return None;
    }
    Some(matched + if network == Some(true) { scopes.len() } else { 0 })
}
