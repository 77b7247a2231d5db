//! Addresses: an IP on a named network, and the one canonical form of an IP.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::Text;

/// An IP address on a network (Istio `NetworkAddress`). Networks may reuse addresses, so an IP alone names nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkAddress {
    /// The network, `""` in a mesh with one network.
    pub network: Text,
    /// The address in canonical form ([`canonical`]).
    pub ip: IpAddr,
}

impl NetworkAddress {
    /// An address with its IP made canonical.
    pub fn new(network: Text, ip: IpAddr) -> Self {
        Self { network, ip: canonical(ip) }
    }
}

impl fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.ip)
    }
}

/// The canonical form of an IP: an IPv4-mapped IPv6 address (`::ffff:10.0.0.1`, RFC 4291 section 2.5.5.2) is IPv4.
///
/// Dual-stack sockets report IPv4 peers in mapped form; comparing the two forms would let a policy on
/// `10.0.0.0/8` miss its target.
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// [`canonical`] for a socket address; the IPv6 scope and flow label of a mapped address are dropped with it.
pub fn canonical_socket(address: SocketAddr) -> SocketAddr {
    match canonical(address.ip()) {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_become_ipv4() {
        assert_eq!(canonical_socket("[::ffff:10.1.2.3]:80".parse().unwrap()), "10.1.2.3:80".parse().unwrap());
        let six: SocketAddr = "[fd00::1]:80".parse().unwrap();
        assert_eq!(canonical_socket(six), six);
    }
}
