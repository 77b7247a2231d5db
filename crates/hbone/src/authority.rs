//! Where a CONNECT wants to go: the one strict reading of its `:authority` (RFC 9110 section 7.2, RFC 9113 section 8.5).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ambit_model::Text;
use ambit_model::address::canonical;

/// A host of DNS has at most 253 bytes (RFC 1035), a port five digits.
const MAX_LENGTH: usize = 253 + 1 + 5;
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// The target of a CONNECT. A value that exists names a port from 1 on and either a plain unicast address or a name.
///
/// An address may still be loopback, link-local or another pod's: which addresses are allowed is the flow's decision,
/// made on this value, in which an IPv4-mapped address has already become IPv4.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Authority {
    /// An address, canonical ([`ambit_model::address::canonical`]), without zone or flow label.
    Address(SocketAddr),
    /// A DNS name in lower case.
    Host {
        /// The name, such as `echo.default.svc.cluster.local`.
        hostname: Text,
        /// The port, never 0.
        port: u16,
    },
}

/// Why a text is not the target of a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the CONNECT authority is refused: {reason}; send IPv4:PORT, [IPv6]:PORT or HOSTNAME:PORT")]
pub struct InvalidAuthority {
    reason: &'static str,
}

impl InvalidAuthority {
    /// What is wrong, in a few words without any of the peer's bytes.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

const fn refuse<T>(reason: &'static str) -> Result<T, InvalidAuthority> {
    Err(InvalidAuthority { reason })
}

impl Authority {
    /// A target address, made canonical and checked as a parsed one is.
    pub fn address(address: SocketAddr) -> Result<Self, InvalidAuthority> {
        checked(address.ip(), address.port())
    }

    /// A target name, made lower-case and checked as a parsed one is.
    pub fn host(hostname: &str, port: u16) -> Result<Self, InvalidAuthority> {
        if port == 0 {
            return refuse("port 0");
        }
        Ok(Self::Host { hostname: parse_hostname(hostname)?, port })
    }

    /// Reads the bytes of an `:authority`; anything but ASCII in one of the three forms is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidAuthority> {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.parse(),
            Err(_) => refuse("it is not ASCII"),
        }
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Host { port, .. } => *port,
        }
    }
}

impl FromStr for Authority {
    type Err = InvalidAuthority;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH {
            return refuse("it is too long");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("it is not ASCII without spaces and control characters");
        }
        if text.contains('@') {
            return refuse("it carries user information");
        }
        if let Some(bracketed) = text.strip_prefix('[') {
            let Some((ip, port)) = bracketed.split_once("]:") else {
                return refuse("it has no port");
            };
            // The standard parser knows neither zones (RFC 6874) nor prefixes.
            let Ok(ip) = ip.parse::<Ipv6Addr>() else {
                return refuse("its IPv6 address is malformed or has a zone");
            };
            return checked(IpAddr::V6(ip), parse_port(port)?);
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return refuse("it has no port");
        };
        let port = parse_port(port)?;
        match host.parse() {
            Ok(ip) => checked(IpAddr::V4(ip), port),
            Err(_) => Ok(Self::Host { hostname: parse_hostname(host)?, port }),
        }
    }
}

fn checked(ip: IpAddr, port: u16) -> Result<Authority, InvalidAuthority> {
    let ip = canonical(ip);
    if port == 0 {
        return refuse("port 0");
    }
    if ip.is_unspecified() {
        return refuse("the unspecified address");
    }
    if ip.is_multicast() || matches!(ip, IpAddr::V4(four) if four.is_broadcast()) {
        return refuse("a multicast or broadcast address");
    }
    Ok(Authority::Address(SocketAddr::new(ip, port)))
}

fn parse_port(digits: &str) -> Result<u16, InvalidAuthority> {
    let plain = (1..=5).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    match digits.parse() {
        Ok(port) if plain => Ok(port),
        _ => refuse("its port is not a number from 1 to 65535"),
    }
}

/// A DNS name in lower case. Underscores are allowed (RFC 2181 section 11); a last label that looks like a number is
/// not, because other parsers read `127.1` or `0x7f000001` as addresses.
pub(crate) fn parse_hostname(host: &str) -> Result<Text, InvalidAuthority> {
    if !(1..=MAX_HOST).contains(&host.len()) {
        return refuse("its host is empty or too long");
    }
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !host.split('.').all(is_label) {
        return refuse("its host is neither an address nor a DNS name");
    }
    let last = host.rsplit('.').next().unwrap_or(host);
    let hexadecimal = last.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse("its host is a number that is not an IPv4 address");
    }
    Ok(host.to_ascii_lowercase().into())
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Host { hostname, port } => write!(f, "{hostname}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a5_refuses_what_no_mesh_peer_sends() {
        for text in [
            "",
            ":",
            ":80",
            "10.0.0.1",
            "10.0.0.1:",
            "10.0.0.1:0",
            "10.0.0.1:00",
            "10.0.0.1:080",
            "10.0.0.1:+80",
            "10.0.0.1:65536",
            "10.0.0.1:65616",
            "10.0.0.1:123456",
            "10.0.0.1:80 ",
            " 10.0.0.1:80",
            "10.0.0.1:80\0",
            "10.0.0.1:80\r\nx:y",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:0.0.0.0]:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[ff02::1]:80",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[::1]:",
            "[[::1]]:80",
            "[fe80::1%eth0]:80",
            "[fe80::1%25eth0]:80",
            "fe80::1%eth0:80",
            "[10.0.0.1]:80",
            "[v1.x]:80",
            "user@10.0.0.1:80",
            "user:word@10.0.0.1:80",
            "@10.0.0.1:80",
            "10.0.0.1:80@[::1]:80",
            "127.1:80",
            "2130706433:80",
            "0x7f000001:80",
            "0x7f.1:80",
            "0177.0.0.1:80",
            "1.2.3.4.:80",
            "1.2.3.256:80",
            "echo..svc:80",
            ".echo:80",
            "echo.:80",
            "-echo:80",
            "echo-:80",
            "*.example:80",
            "exa%6dple:80",
            "exämple:80",
            "http://echo:80",
            "echo/path:80",
            "echo:80/path",
            "echo,other:80",
        ] {
            assert!(text.parse::<Authority>().is_err(), "{text:?} was accepted");
        }
        assert!(Authority::from_bytes(b"\xff\xfe:80").is_err());
        assert!(format!("{}:80", "a".repeat(64)).parse::<Authority>().is_err());
        assert!(format!("{}com:80", "a.".repeat(126)).parse::<Authority>().is_err());
    }

    #[test]
    fn reads_the_three_forms() {
        let address = |text: &str| Ok(Authority::Address(text.parse().unwrap()));
        assert_eq!("10.0.0.1:80".parse::<Authority>(), address("10.0.0.1:80"));
        assert_eq!("[fd00::1]:65535".parse::<Authority>(), address("[fd00::1]:65535"));
        assert_eq!("[::ffff:10.0.0.1]:80".parse::<Authority>(), address("10.0.0.1:80"));
        assert_eq!("Echo.Default.svc:8080".parse::<Authority>(), Authority::host("echo.default.svc", 8080));
        assert_eq!("my_db-0:5432".parse::<Authority>().unwrap().to_string(), "my_db-0:5432");
    }

    #[test]
    fn mapped_loopback_cannot_hide() {
        let Authority::Address(address) = "[::ffff:127.0.0.1]:80".parse().unwrap() else {
            panic!("not an address")
        };
        assert!(address.ip().is_loopback());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_what_parses_is_written_back(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(authority) = Authority::from_bytes(&bytes) {
                prop_assert_eq!(authority.to_string().parse::<Authority>(), Ok(authority));
            }
        }

        #[test]
        fn near_misses_never_panic_and_what_parses_is_written_back(text in "[\\[\\]0-9a-fx:.%@_-]{0,40}(:[0-9]{0,6})?") {
            if let Ok(authority) = text.parse::<Authority>() {
                prop_assert_eq!(authority.to_string().parse::<Authority>(), Ok(authority));
            }
        }

        #[test]
        fn every_unicast_address_round_trips(ip in any::<IpAddr>(), port in 1u16..) {
            let address = SocketAddr::new(ip, port);
            if let Ok(authority) = Authority::address(address) {
                prop_assert_eq!(address.to_string().parse::<Authority>(), Ok(authority));
            } else {
                prop_assert!(address.to_string().parse::<Authority>().is_err());
            }
        }
    }
}
