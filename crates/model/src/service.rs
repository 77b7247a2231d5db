//! A service: a name and virtual addresses in front of workloads (Istio `workload.Service`).

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;

use crate::workload::Gateway;
use crate::{NetworkAddress, Text};

/// The key of a service, `<namespace>/<hostname>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceKey {
    /// Namespace.
    pub namespace: Text,
    /// Fully qualified host name, such as `cart.shop.svc.cluster.local`.
    pub hostname: Text,
}

impl ServiceKey {
    /// A key from its parts.
    pub fn new(namespace: &str, hostname: &str) -> Self {
        Self { namespace: namespace.into(), hostname: hostname.into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}

/// A text that is not `<namespace>/<hostname>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a service key; it must be NAMESPACE/HOSTNAME")]
pub struct InvalidServiceKey(String);

impl FromStr for ServiceKey {
    type Err = InvalidServiceKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, hostname))
                if !namespace.is_empty() && !hostname.is_empty() && !hostname.contains('/') =>
            {
                Ok(Self::new(namespace, hostname))
            }
            _ => Err(InvalidServiceKey(text.chars().take(300).collect())),
        }
    }
}

/// The application protocol of a port, as far as declared (Istio `AppProtocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AppProtocol {
    /// Not declared.
    #[default]
    Unknown,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2, cleartext.
    Http2,
    /// gRPC.
    Grpc,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
}

/// One port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Port {
    /// Port on the service's address.
    pub service_port: u16,
    /// Port on the endpoint; 0 means it is named and each workload says which.
    pub target_port: u16,
    /// Declared protocol.
    pub protocol: AppProtocol,
}

/// A locality level that endpoints can be matched on (Istio `LoadBalancing.Scope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Same region.
    Region,
    /// Same zone.
    Zone,
    /// Same subzone.
    Subzone,
    /// Same node.
    Node,
    /// Same cluster.
    Cluster,
    /// Same network.
    Network,
}

/// What to do with the scopes (Istio `LoadBalancing.Mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BalanceMode {
    /// No locality preference.
    #[default]
    Unspecified,
    /// Only endpoints that match every scope.
    Strict,
    /// The endpoints that match most scopes, counted from the first.
    Failover,
    /// Forward to the address the client dialled.
    Passthrough,
}

/// How endpoints of a service are chosen (Istio `LoadBalancing`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LoadBalancing {
    /// Scopes, most important first.
    pub preference: Vec<Scope>,
    /// What the scopes mean.
    pub mode: BalanceMode,
    /// Also choose unhealthy endpoints (`publishNotReadyAddresses`).
    pub allow_unhealthy: bool,
}

/// Which address families a service has (Istio `IPFamilies`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IpFamilies {
    /// Not said.
    #[default]
    Automatic,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
}

/// Who may resolve a service (Istio `Visibility`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Visibility {
    /// Everybody.
    #[default]
    Public,
    /// Only clients in its namespace.
    Namespace,
}

/// A virtual address: one IP, or a block (Istio `NetworkAddress` with `length`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServiceAddress {
    /// One IP.
    Ip(NetworkAddress),
    /// A block on a network.
    Block(Text, IpNet),
}

/// One service. Field semantics are those of Istio's `workload.proto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Short name.
    pub name: Text,
    /// Key: namespace and host name.
    pub key: ServiceKey,
    /// Virtual addresses; empty for a headless service.
    pub addresses: Vec<ServiceAddress>,
    /// Ports.
    pub ports: Vec<Port>,
    /// Further SPIFFE IDs that an endpoint may present, verbatim.
    pub subject_alt_names: Vec<Text>,
    /// Waypoints with their weights; one entry of weight 100 where only `waypoint` is set on the wire.
    pub waypoints: Vec<(Gateway, u32)>,
    /// Endpoint choice.
    pub load_balancing: LoadBalancing,
    /// Address families.
    pub ip_families: IpFamilies,
    /// A Kubernetes Service, which wins over other claims to the same host or address.
    pub canonical: bool,
    /// Ingress gateways send its traffic through the waypoint.
    pub ingress_use_waypoint: bool,
    /// Who may resolve it.
    pub visibility: Visibility,
}

impl Service {
    /// A service with the defaults of the wire: no addresses, ports or waypoint, public, not canonical.
    pub fn new(name: &str, key: ServiceKey) -> Self {
        Self {
            name: name.into(),
            key,
            addresses: Vec::new(),
            ports: Vec::new(),
            subject_alt_names: Vec::new(),
            waypoints: Vec::new(),
            load_balancing: LoadBalancing::default(),
            ip_families: IpFamilies::Automatic,
            canonical: false,
            ingress_use_waypoint: false,
            visibility: Visibility::Public,
        }
    }
}
