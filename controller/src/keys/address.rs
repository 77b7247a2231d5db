//! May this address be dialled for keys? What users write must not make the controller ask its own machine, its
//! network or a cloud's metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why an address is not dialled; `None` for one that is public, or in one of the permitted networks.
pub fn refusal(address: IpAddr, permitted: &[IpNet]) -> Option<&'static str> {
    let plain = address.to_canonical();
    if permitted.iter().any(|network| network.contains(&plain)) {
        return None;
    }
    match plain {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

/// IANA's special-purpose registry, as far as it is not globally reachable.
fn v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, _, _) => Some("it is unspecified"),
        (127, _, _) => Some("it is this machine's own"),
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) => Some("it is private"),
        (100, 64..=127, _) => Some("it is a provider's own"),
        (169, 254, _) => Some("it is link-local, where metadata services are"),
        (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => Some("it is reserved"),
        (224.., _, _) => Some("it is no single host's"),
        _ => None,
    }
}

fn v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("it is unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("it is this machine's own"),
        // Addresses in which an IPv4 address is: compatible, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low).or((segments[0] == 0).then_some("it is reserved"))
        }
        [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => Some("it is private"),
        [0x2001, 0 | 0xdb8, ..] | [0x100, 0, 0, 0, ..] => Some("it is reserved"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("it is private"),
        [first, ..] if first & 0xff80 == 0xfe80 => Some("it is link-local or site-local"),
        [first, ..] if first & 0xff00 == 0xff00 => Some("it is no single host's"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_dialled() {
        for refused in [
            "0.0.0.0",
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:a00:1::1",
            "fd00:ec2::254",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
        ] {
            assert!(refusal(refused.parse().unwrap(), &[]).is_some(), "{refused}");
        }
        for dialled in [
            "8.8.8.8",
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.1.0.1",
            "2606:4700::1111",
            "2002:808:808::1",
            "64:ff9b::808:808",
            "2001:4860::8888",
        ] {
            assert_eq!(refusal(dialled.parse().unwrap(), &[]), None, "{dialled}");
        }
    }

    #[test]
    fn permitted_networks_are_dialled_however_they_are_spelt() {
        let permitted = ["10.1.0.0/16".parse().unwrap(), "::1/128".parse().unwrap()];
        for dialled in ["10.1.2.3", "::ffff:10.1.2.3", "::1"] {
            assert_eq!(refusal(dialled.parse().unwrap(), &permitted), None, "{dialled}");
        }
        for refused in ["10.2.0.1", "127.0.0.1"] {
            assert!(refusal(refused.parse().unwrap(), &permitted).is_some(), "{refused}");
        }
    }
}
