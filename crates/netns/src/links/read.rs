//! Which links and addresses are there?

use std::net::IpAddr;

use ipnet::IpNet;

use super::{IFA_ADDRESS, IFA_LOCAL, IFLA_IFNAME, IFLA_MTU, LinkError, Links, refused};
use crate::InterfaceName;
use crate::netlink::{Attributes, u32_at};

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it, unique in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it was raised.
    pub up: bool,
    /// Its largest packet in bytes.
    pub mtu: u32,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface.
    pub interface: String,
    /// The address with its prefix length (host bits kept).
    pub network: IpNet,
}

impl Links {
    /// Every interface of the namespace.
    pub fn list(&mut self) -> Result<Vec<Link>, LinkError> {
        self.netlink
            .dump(libc::RTM_GETLINK, |m| m.raw(&super::link_header(0, 0, 0)), |_, body| link(body))
            .map_err(|failure| refused("list the interfaces", failure))
    }

    /// Every address of the namespace, loopback's too.
    pub fn addresses(&mut self) -> Result<Vec<Address>, LinkError> {
        let links = self.list()?;
        let found = self
            .netlink
            .dump(libc::RTM_GETADDR, |m| m.raw(&[0; 8]), |_, body| address(body))
            .map_err(|failure| refused("list the addresses", failure))?;
        let named = found.into_iter().filter_map(|(index, network)| {
            let interface = links.iter().find(|link| link.index == index)?.name.clone();
            Some(Address { interface, network })
        });
        Ok(named.collect())
    }

    /// The kernel's number for `name`.
    pub fn index(&mut self, name: &str) -> Result<u32, LinkError> {
        let name: InterfaceName = name.parse()?;
        let links = self.list()?;
        let found = links.iter().find(|link| link.name == name.as_str());
        found.map(|link| link.index).ok_or_else(|| LinkError::Missing(name.to_string()))
    }
}

fn link(body: &[u8]) -> Option<Link> {
    let attributes = Attributes::new(body.get(16..)?);
    Some(Link {
        index: u32_at(body, 4)?,
        name: attributes.text(IFLA_IFNAME)?,
        up: u32_at(body, 8)? & libc::IFF_UP as u32 != 0,
        mtu: attributes.number(IFLA_MTU)?,
    })
}

fn address(body: &[u8]) -> Option<(u32, IpNet)> {
    let prefix = *body.get(1)?;
    let attributes = Attributes::new(body.get(8..)?);
    // On a point-to-point link ADDRESS is the other end; LOCAL is absent for most of IPv6.
    let bytes = attributes.value(IFA_LOCAL).or_else(|| attributes.value(IFA_ADDRESS))?;
    let address = ip(bytes)?;
    Some((u32_at(body, 4)?, IpNet::new(address, prefix).ok()?))
}

/// Four or sixteen bytes as an address.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
