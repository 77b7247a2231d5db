//! Numbers of the wire that must be checked: IP addresses, blocks, ports, enum values; and why one is refused.

use std::net::IpAddr;

use ambit_model::address::canonical;
use ambit_model::identity::InvalidIdentity;
use ambit_model::service::InvalidServiceKey;
use ipnet::IpNet;

use super::fields::Broken;

/// Why a part of a resource cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("an IP address has {0} bytes; it must have 4 or 16")]
    IpLength(usize),
    #[error("prefix length {length} does not fit address {ip}")]
    Prefix { ip: IpAddr, length: u64 },
    #[error("{ip} with prefix length {length} covers IPv4-mapped and other addresses at once; split it")]
    MappedBlock { ip: IpAddr, length: u64 },
    #[error("{field} is {port}; a port is at most 65535")]
    Port { field: &'static str, port: u64 },
    #[error("{field} is 0; a port is 1 to 65535")]
    PortZero { field: &'static str },
    #[error("{field} has value {value}, which this version does not know")]
    Enum { field: &'static str, value: i64 },
    #[error("{message} has field {number}, which this version does not know")]
    Unknown { message: &'static str, number: u32 },
    #[error("{message} has field {number} in a form that is not its own")]
    Form { message: &'static str, number: u32 },
    #[error("{message} has field {number} twice")]
    Twice { message: &'static str, number: u32 },
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not UTF-8 text")]
    Text(&'static str),
    #[error("{0} has extensions, which this version does not know")]
    Extensions(&'static str),
    #[error("it uses Istio's legacy mutual TLS, which is not spoken here; let the workload use HBONE")]
    LegacyTunnel,
    #[error("it names itself {0:?}; the name of the resource and its content must agree")]
    Name(String),
    #[error(transparent)]
    Framing(#[from] Broken),
    #[error("its bytes are not the message its type says: {0}")]
    Decode(#[from] prost::DecodeError),
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    #[error(transparent)]
    ServiceKey(#[from] InvalidServiceKey),
}

/// An address in canonical form.
pub(crate) fn read_ip(bytes: &[u8]) -> Result<IpAddr, Fault> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::from(four));
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(sixteen) => Ok(canonical(IpAddr::from(sixteen))),
        Err(_) => Err(Fault::IpLength(bytes.len())),
    }
}

/// A block in canonical form: IPv4-mapped IPv6 becomes IPv4, because peers' addresses are compared in that form.
pub(crate) fn read_block(bytes: &[u8], length: u64) -> Result<IpNet, Fault> {
    let ip = read_ip(bytes)?;
    let mapped = ip.is_ipv4() && bytes.len() == 16;
    let length = match (mapped, length.checked_sub(96)) {
        (false, _) => length,
        (true, Some(length)) => length,
        (true, None) => return Err(Fault::MappedBlock { ip, length }),
    };
    let refuse = || Fault::Prefix { ip, length };
    IpNet::new(ip, u8::try_from(length).map_err(|_| refuse())?).map_err(|_| refuse())
}

pub(crate) fn write_ip(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

pub(crate) fn read_port(field: &'static str, port: u64) -> Result<u16, Fault> {
    u16::try_from(port).map_err(|_| Fault::Port { field, port })
}

/// An enum's value from its number.
pub(crate) fn read_enum<T: TryFrom<i32>>(field: &'static str, value: i32) -> Result<T, Fault> {
    T::try_from(value).map_err(|_| Fault::Enum { field, value: value.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(d: u8) -> Vec<u8> {
        let ip: std::net::Ipv6Addr = format!("::ffff:10.0.0.{d}").parse().unwrap();
        ip.octets().to_vec()
    }

    #[test]
    fn addresses_have_4_or_16_bytes_and_one_form() {
        assert_eq!(read_ip(&mapped(1)).unwrap(), read_ip(&[10, 0, 0, 1]).unwrap());
        for length in [0, 3, 5, 15, 17] {
            assert!(read_ip(&vec![0; length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn blocks_are_canonical_and_within_their_width() {
        assert_eq!(read_block(&mapped(0), 120).unwrap(), "10.0.0.0/24".parse().unwrap());
        assert_eq!(read_block(&[0; 16], 0).unwrap(), "::/0".parse().unwrap());
        assert!(read_block(&mapped(0), 90).is_err());
        assert!(read_block(&mapped(0), 129).is_err());
        assert!(read_block(&[10, 0, 0, 0], 33).is_err());
        assert!(read_block(&[0; 16], 129).is_err());
        assert!(read_block(&[10, 0, 0, 0], (1 << 32) + 8).is_err());
    }
}
