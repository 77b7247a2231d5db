//! Which links, addresses and routes does a namespace have, and how are they made?

mod read;

pub use read::{Address, Link};

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;

use crate::namespace::{EnterError, Namespace};
use crate::netlink::{CREATE, EXCL, Failure, Message, Netlink};
use crate::{InterfaceName, InterfaceNameError, sysctl};

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

/// Why a link, address or route could not be made, changed or listed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] InterfaceNameError),
    /// The namespace could not be entered.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// No such interface.
    #[error("interface {0} does not exist in this network namespace: create it first")]
    Missing(String),
    /// It is there already.
    #[error("cannot {action}: it exists already; delete it or choose another")]
    Exists {
        /// What was asked.
        action: String,
    },
    /// Not allowed.
    #[error("may not {action}: CAP_NET_ADMIN is needed in the network namespace")]
    Denied {
        /// What was asked.
        action: String,
    },
    /// The kernel refused for another reason.
    #[error("cannot {action} ({reason}): correct the request")]
    Refused {
        /// What was asked.
        action: String,
        /// The kernel's words.
        reason: String,
    },
}

/// The links of one network namespace. Bound to it: usable from any thread, wherever that thread is.
pub struct Links {
    netlink: Netlink,
}

/// A route to add with [`Links::route`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to; the whole of a family as `0.0.0.0/0` or `::/0`.
    pub destination: IpNet,
    /// The next router, of the same family.
    pub via: Option<IpAddr>,
    /// The interface to leave by; may be left out when `via` tells it.
    pub interface: Option<String>,
}

impl Links {
    /// The links of `namespace`.
    pub fn open(namespace: &Namespace) -> Result<Self, LinkError> {
        namespace.run(Self::current)?
    }

    /// The links of the calling thread's namespace.
    pub fn current() -> Result<Self, LinkError> {
        let netlink =
            Netlink::open(libc::NETLINK_ROUTE as isize).map_err(|e| refused("open rtnetlink", e.into()))?;
        Ok(Self { netlink })
    }

    /// Makes a veth pair: `name` here, `peer_name` in `peer`. Both ends are down and have no address.
    pub fn veth(&mut self, name: &str, peer: &Namespace, peer_name: &str) -> Result<(), LinkError> {
        let (name, peer_name): (InterfaceName, InterfaceName) = (name.parse()?, peer_name.parse()?);
        let fd = peer.as_fd().as_raw_fd() as u32;
        let action = format!("create the link {name} - {peer_name}");
        self.change(&action, libc::RTM_NEWLINK, CREATE | EXCL, |m| {
            m.raw(&link_header(0, 0, 0));
            m.text(IFLA_IFNAME, name.as_str());
            m.nest(IFLA_LINKINFO, |m| {
                m.text(INFO_KIND, "veth");
                m.nest(INFO_DATA, |m| {
                    m.nest(VETH_INFO_PEER, |m| {
                        m.raw(&link_header(0, 0, 0));
                        m.text(IFLA_IFNAME, peer_name.as_str());
                        m.number(IFLA_NET_NS_FD, fd);
                    });
                });
            });
        })
    }

    /// Makes a bridge. It is down and has no ports.
    pub fn bridge(&mut self, name: &str) -> Result<(), LinkError> {
        let name: InterfaceName = name.parse()?;
        self.change(&format!("create the bridge {name}"), libc::RTM_NEWLINK, CREATE | EXCL, |m| {
            m.raw(&link_header(0, 0, 0));
            m.text(IFLA_IFNAME, name.as_str());
            m.nest(IFLA_LINKINFO, |m| m.text(INFO_KIND, "bridge"));
        })
    }

    /// Makes `name` a port of `bridge`.
    pub fn attach(&mut self, name: &str, bridge: &str) -> Result<(), LinkError> {
        let (port, bridge_index) = (self.index(name)?, self.index(bridge)?);
        self.change(&format!("attach {name} to {bridge}"), libc::RTM_NEWLINK, 0, |m| {
            m.raw(&link_header(port, 0, 0));
            m.number(IFLA_MASTER, bridge_index);
        })
    }

    /// Raises an interface.
    pub fn up(&mut self, name: &str) -> Result<(), LinkError> {
        self.flags(name, libc::IFF_UP as u32, &format!("raise {name}"))
    }

    /// Takes an interface down.
    pub fn down(&mut self, name: &str) -> Result<(), LinkError> {
        self.flags(name, 0, &format!("take down {name}"))
    }

    fn flags(&mut self, name: &str, flags: u32, action: &str) -> Result<(), LinkError> {
        let index = self.index(name)?;
        self.change(action, libc::RTM_NEWLINK, 0, |m| {
            m.raw(&link_header(index, flags, libc::IFF_UP as u32));
        })
    }

    /// Sets the largest packet, in bytes.
    pub fn mtu(&mut self, name: &str, bytes: u32) -> Result<(), LinkError> {
        let index = self.index(name)?;
        self.change(&format!("set the MTU of {name} to {bytes}"), libc::RTM_NEWLINK, 0, |m| {
            m.raw(&link_header(index, 0, 0));
            m.number(IFLA_MTU, bytes);
        })
    }

    /// Moves an interface to another namespace; its addresses are lost and it is down there.
    pub fn move_to(&mut self, name: &str, namespace: &Namespace) -> Result<(), LinkError> {
        let index = self.index(name)?;
        let fd = namespace.as_fd().as_raw_fd() as u32;
        self.change(&format!("move {name} to {}", namespace.id()), libc::RTM_NEWLINK, 0, |m| {
            m.raw(&link_header(index, 0, 0));
            m.number(IFLA_NET_NS_FD, fd);
        })
    }

    /// Deletes an interface; of a veth pair both ends go.
    pub fn delete(&mut self, name: &str) -> Result<(), LinkError> {
        let index = self.index(name)?;
        self.change(&format!("delete {name}"), libc::RTM_DELLINK, 0, |m| m.raw(&link_header(index, 0, 0)))
    }

    /// Gives an interface an address; the prefix becomes an on-link route. An IPv6 address is usable at once
    /// (no duplicate detection).
    pub fn address(&mut self, name: &str, address: IpNet) -> Result<(), LinkError> {
        const NODAD: u32 = 2;
        let index = self.index(name)?;
        self.change(&format!("add {address} to {name}"), libc::RTM_NEWADDR, CREATE | EXCL, |m| {
            let mut header = [0; 8];
            let (front, back) = header.split_at_mut(4);
            front.copy_from_slice(&[family(address.addr()), address.prefix_len(), 0, 0]);
            back.copy_from_slice(&index.to_ne_bytes());
            m.raw(&header);
            m.attribute(IFA_LOCAL, &octets(address.addr()));
            m.attribute(IFA_ADDRESS, &octets(address.addr()));
            if address.addr().is_ipv6() {
                m.number(IFA_FLAGS, NODAD);
            }
        })
    }

    /// Adds a route to the main table.
    pub fn route(&mut self, route: &Route) -> Result<(), LinkError> {
        let index = match &route.interface {
            Some(name) => Some(self.index(name)?),
            None => None,
        };
        let scope = if route.via.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
        let mut action = format!("add the route to {}", route.destination);
        if let Some(via) = route.via {
            action.push_str(&format!(" via {via}"));
        }
        let network = route.destination.trunc();
        self.change(&action, libc::RTM_NEWROUTE, CREATE | EXCL, |m| {
            m.raw(&[
                family(network.addr()),
                network.prefix_len(),
                0,
                0,
                libc::RT_TABLE_MAIN,
                libc::RTPROT_BOOT,
                scope,
                libc::RTN_UNICAST,
                0,
                0,
                0,
                0,
            ]);
            m.attribute(RTA_DST, &octets(network.addr()));
            if let Some(via) = route.via {
                m.attribute(RTA_GATEWAY, &octets(via));
            }
            if let Some(index) = index {
                m.number(RTA_OIF, index);
            }
        })
    }

    fn change(
        &mut self,
        action: &str,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Message),
    ) -> Result<(), LinkError> {
        self.netlink.request(kind, flags, fill).map_err(|failure| refused(action, failure))
    }
}

/// Lets `namespace` pass packets on between its interfaces, IPv4 and (where present) IPv6.
pub fn forward(namespace: &Namespace) -> Result<(), LinkError> {
    namespace.run(|| {
        let written = sysctl::write("net/ipv4/ip_forward", "1").and_then(|()| {
            match sysctl::write("net/ipv6/conf/all/forwarding", "1") {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        });
        written.map_err(|e| refused("enable forwarding", e.into()))
    })?
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    let words = [0, index, flags, change];
    for (target, word) in header.chunks_exact_mut(4).zip(words) {
        target.copy_from_slice(&word.to_ne_bytes());
    }
    header
}

pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn refused(action: &str, failure: Failure) -> LinkError {
    let action = action.to_owned();
    match failure.errno() {
        libc::EPERM | libc::EACCES => LinkError::Denied { action },
        libc::EEXIST => LinkError::Exists { action },
        _ => LinkError::Refused { action, reason: failure.text() },
    }
}
