//! A connection as policy sees it.

use std::net::{IpAddr, SocketAddr};

use crate::{Identity, Text};

/// The facts about an inbound connection that authorization may use. Nothing here comes from a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Address of the TCP peer, canonical.
    pub source_ip: IpAddr,
    /// Network of the destination proxy, which the peer's address is read on.
    pub network: Text,
    /// Identity that the peer proved by its certificate; `None` for plaintext.
    pub source_identity: Option<Identity>,
    /// The application's address, canonical.
    pub destination: SocketAddr,
}

/// The well-known ports of the mesh (Istio's, facts of the wire).
pub mod ports {
    /// Captured outbound traffic, in the pod.
    pub const OUTBOUND: u16 = 15001;
    /// Captured plaintext inbound traffic, in the pod.
    pub const INBOUND_PLAINTEXT: u16 = 15006;
    /// HBONE.
    pub const HBONE: u16 = 15008;
    /// DNS, in the pod.
    pub const DNS: u16 = 15053;
    /// Administration, on the loopback address.
    pub const ADMIN: u16 = 15000;
    /// Metrics.
    pub const STATS: u16 = 15020;
    /// Readiness.
    pub const READINESS: u16 = 15021;
    /// Configuration and certificates.
    pub const CONTROLLER: u16 = 15012;

    /// Whether the port belongs to the proxy itself, so that forwarding to it would loop or open a way around it.
    pub fn is_proxy(port: u16) -> bool {
        matches!(port, OUTBOUND | INBOUND_PLAINTEXT | HBONE)
    }
}
