//! A workload: one addressable instance of an application, usually a pod (Istio `workload.Workload`).

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::identity::{DEFAULT_TRUST_DOMAIN, Identity, InvalidIdentity};
use crate::service::ServiceKey;
use crate::{Memberships, NetworkAddress, Text};

/// How a workload's inbound traffic is carried (Istio `TunnelProtocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tunnel {
    /// Plain TCP.
    #[default]
    None,
    /// HBONE on port 15008. A peer that is known to speak it is never sent plaintext.
    Hbone,
}

/// Whether load balancing may choose the workload (Istio `WorkloadStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Health {
    /// Ready for traffic.
    #[default]
    Healthy,
    /// Not ready, or terminating; chosen only by services that ask for it.
    Unhealthy,
}

/// Whether a workload owns its addresses (Istio `NetworkMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NetworkMode {
    /// It does, and may be found by them.
    #[default]
    Standard,
    /// It shares the node's network; its addresses name the node and are not indexed.
    HostNetwork,
}

/// The kind of the object that owns the workload (Istio `WorkloadType`), for telemetry only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WorkloadType {
    /// A Deployment.
    Deployment,
    /// A CronJob.
    CronJob,
    /// A bare pod; what Istio sends for everything.
    #[default]
    Pod,
    /// A Job.
    Job,
}

impl WorkloadType {
    /// The lower-case word used in `baggage` keys (`k8s.<word>.name`).
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::CronJob => "cronjob",
            Self::Pod => "pod",
            Self::Job => "job",
        }
    }
}

/// Where a workload runs (Istio `Locality`); empty texts are unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// Region, from the node label `topology.kubernetes.io/region`.
    pub region: Text,
    /// Zone, from `topology.kubernetes.io/zone`.
    pub zone: Text,
    /// Subzone, from `topology.istio.io/subzone`.
    pub subzone: Text,
}

/// A protocol spoken on the last hop into the pod (Istio `ApplicationTunnel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApplicationTunnel {
    /// Whether a PROXY protocol v2 header precedes the bytes.
    pub proxy_protocol: bool,
    /// The port to dial instead of the requested one; `None` keeps it.
    pub port: Option<u16>,
}

/// How a gateway or waypoint is addressed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GatewayDestination {
    /// By the key of its service.
    Service(ServiceKey),
    /// By an address.
    Address(NetworkAddress),
}

/// A waypoint or network gateway (Istio `GatewayAddress`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Where it is.
    pub destination: GatewayDestination,
    /// Its HBONE port, normally 15008.
    pub hbone_port: u16,
}

/// One workload. Field semantics and defaults are those of Istio's `workload.proto`.
///
/// What it has alike with many others ([`Traits`]) is shared by them, and read and written as if it were its own: the
/// first write copies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Globally unique key, `<cluster>//Pod/<namespace>/<name>` for pods.
    pub uid: Text,
    /// Pod name.
    pub name: Text,
    /// All addresses, canonical; empty when `hostname` is set.
    pub addresses: Vec<IpAddr>,
    /// Trust domain, service account and namespace as one identity.
    pub identity: Identity,
    /// Node the workload runs on.
    pub node: Text,
    /// Canonical service name, for telemetry.
    pub canonical_name: Text,
    /// Name of the owning controller, for telemetry.
    pub workload_name: Text,
    /// Whether load balancing may choose it.
    pub health: Health,
    /// This workload's ports for each service it is an endpoint of.
    pub services: Memberships,
    /// Load-balancing weight, at least 1.
    pub capacity: u32,
    /// What it has alike with others.
    pub traits: Arc<Traits>,
}

/// What many workloads of a mesh have alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Traits {
    /// Namespace.
    pub namespace: Text,
    /// DNS name to resolve when there is no address; `""` otherwise.
    pub hostname: Text,
    /// Network the addresses belong to.
    pub network: Text,
    /// How inbound traffic is carried.
    pub tunnel: Tunnel,
    /// The process speaks HBONE itself.
    pub native_tunnel: bool,
    /// Waypoint for workload-addressed traffic.
    pub waypoint: Option<Arc<Gateway>>,
    /// Gateway to the workload's network, when that is not the local one.
    pub network_gateway: Option<Arc<Gateway>>,
    /// Canonical service revision, for telemetry.
    pub canonical_revision: Text,
    /// Kind of the owning controller.
    pub workload_type: WorkloadType,
    /// Keys `namespace/name` of the selector-scoped policies that apply.
    pub policies: Vec<Text>,
    /// Cluster it belongs to.
    pub cluster: Text,
    /// Protocol of the last hop.
    pub application_tunnel: Option<ApplicationTunnel>,
    /// Locality.
    pub locality: Locality,
    /// Whether it owns its addresses.
    pub network_mode: NetworkMode,
}

impl Deref for Workload {
    type Target = Traits;

    fn deref(&self) -> &Traits {
        &self.traits
    }
}

impl DerefMut for Workload {
    fn deref_mut(&mut self) -> &mut Traits {
        Arc::make_mut(&mut self.traits)
    }
}

impl Workload {
    /// A workload with the defaults of the wire: no addresses, no tunnel, healthy, capacity 1, service account
    /// `default` in the default trust domain.
    pub fn new(uid: &str, name: &str, namespace: &str) -> Result<Self, InvalidIdentity> {
        let empty: Text = "".into();
        let identity = Identity::new(DEFAULT_TRUST_DOMAIN, namespace, "default")?;
        Ok(Self {
            uid: uid.into(),
            name: name.into(),
            addresses: Vec::new(),
            node: empty.clone(),
            canonical_name: empty.clone(),
            workload_name: empty.clone(),
            health: Health::Healthy,
            services: Memberships::default(),
            capacity: 1,
            traits: Arc::new(Traits {
                namespace: identity.namespace().clone(),
                hostname: empty.clone(),
                network: empty.clone(),
                tunnel: Tunnel::None,
                native_tunnel: false,
                waypoint: None,
                network_gateway: None,
                canonical_revision: empty.clone(),
                workload_type: WorkloadType::Pod,
                policies: Vec::new(),
                cluster: "Kubernetes".into(),
                application_tunnel: None,
                locality: Locality { region: empty.clone(), zone: empty.clone(), subzone: empty },
                network_mode: NetworkMode::Standard,
            }),
            identity,
        })
    }

    /// Whether `ip` (canonical) is one of the workload's own addresses.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node knows a hundred thousand of them: with the count of its `Arc` one fits an allocation of 192 bytes.
    #[test]
    fn a_workload_stays_small() {
        assert!(size_of::<Workload>() + 2 * size_of::<usize>() <= 192, "{} bytes", size_of::<Workload>());
    }
}
