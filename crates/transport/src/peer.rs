//! One address, one spelling: IPv4 seen through a dual-stack socket becomes plain IPv4 again.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The address without the IPv4-in-IPv6 mapping (`::ffff:10.0.0.1` becomes `10.0.0.1`, RFC 4291 section 2.5.5.2).
///
/// Any other IPv6 address keeps its scope and loses its flow label, which is no part of who a peer is.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), v6.port()),
            None => SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id())),
        },
    }
}

/// The same for an address without a port.
pub fn canonical_ip(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn mapped_addresses_become_ipv4() {
        let mapped = SocketAddr::new(IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped()), 80);
        assert_eq!(canonical(mapped), "10.0.0.1:80".parse().unwrap());
        assert_eq!(canonical_ip(mapped.ip()), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn other_addresses_stay() {
        let plain: SocketAddr = "10.0.0.1:80".parse().unwrap();
        assert_eq!(canonical(plain), plain);
        let scoped = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 7, 3));
        assert_eq!(canonical(scoped), SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 3)));
    }
}
