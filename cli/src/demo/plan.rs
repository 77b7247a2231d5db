//! What the demo consists of: two nodes, eight pods and a waypoint, their addresses. Data, nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where every program of the shop listens.
pub(crate) const POD_PORT: u16 = 8080;
/// Where every Service listens.
pub(crate) const SERVICE_PORT: u16 = 80;
/// Where the controller serves configuration and certificates.
pub(crate) const CONTROLLER_PORT: u16 = 15012;
/// Both ends of the link between the nodes have this name.
pub(crate) const LINK: &str = "uplink";
/// The port of every tunnel.
pub(crate) const HBONE_PORT: u16 = 15008;

/// The nodes; the first also runs the controller.
pub(crate) const NODES: [Node; 2] = [Node { name: "node-1", number: 1 }, Node { name: "node-2", number: 2 }];

/// The pods: so placed that most calls have to cross the link.
pub(crate) const PODS: [Pod; 8] = [
    pod("web", 0, 10, Role::Plain),
    pod("payments", 0, 11, Role::Plain),
    pod("cart", 1, 12, Role::Plain),
    pod("catalog", 1, 13, Role::Plain),
    Pod { namespace: "outside", ..pod("outsider", 0, 14, Role::Outsider) },
    pod("offers", 0, 15, Role::Guarded),
    pod("offers-v2", 1, 16, Role::Guarded),
    pod("prices", 1, 17, Role::Guarded),
];

/// The pod of the proxy for requests; no program of the shop runs there.
pub(crate) const WAYPOINT: Pod = pod("waypoint", 1, 18, Role::Waypoint);

/// A machine of the mesh: a network namespace with a bridge for its pods and a link to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name, and its network namespace's.
    pub(crate) name: &'static str,
    /// From 1; all its addresses follow from it.
    pub(crate) number: u8,
}

/// A pod: a network namespace with one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Its name, its Service's, its service account's and its network namespace's.
    pub(crate) name: &'static str,
    /// Its Kubernetes namespace.
    pub(crate) namespace: &'static str,
    /// Its node, as an index of [`NODES`].
    pub(crate) node: usize,
    /// All its addresses follow from it.
    pub(crate) number: u8,
    /// What the mesh has to do with it.
    pub(crate) role: Role,
}

/// What the mesh has to do with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Its traffic is captured.
    Plain,
    /// So it is, and requests to its Service go through the waypoint.
    Guarded,
    /// It is that waypoint, which speaks the mesh's language by itself.
    Waypoint,
    /// Nothing.
    Outsider,
}

impl Node {
    /// Its addresses on the link.
    pub(crate) fn link(&self) -> [IpNet; 2] {
        [
            v4(Ipv4Addr::new(192, 168, 77, self.number), 24),
            v6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, self.number.into()), 64),
        ]
    }

    /// Its address for the other node.
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 77, self.number)
    }

    /// The addresses of its bridge, which are its pods' gateways; their networks hold all its pods.
    pub(crate) fn bridge(&self) -> [IpNet; 2] {
        self.pod_networks(1)
    }

    fn pod_networks(&self, host: u8) -> [IpNet; 2] {
        [
            v4(Ipv4Addr::new(10, 244, self.number, host), 24),
            v6(Ipv6Addr::new(0xfd24, self.number.into(), 0, 0, 0, 0, 0, host.into()), 64),
        ]
    }
}

impl Pod {
    /// Every pod, the waypoint's too.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        PODS.iter().chain([&WAYPOINT])
    }

    /// Whether the mesh captures it.
    pub(crate) fn is_enrolled(&self) -> bool {
        matches!(self.role, Role::Plain | Role::Guarded)
    }

    /// The pod with this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        Self::all().find(|pod| pod.name == name)
    }

    /// The pod with this address.
    pub(crate) fn at(address: IpAddr) -> Option<&'static Self> {
        Self::all().find(|pod| pod.networks().iter().any(|network| network.addr() == address))
    }

    /// Its node.
    pub(crate) fn node(&self) -> &'static Node {
        NODES.get(self.node).unwrap_or(&NODES[0])
    }

    /// Its addresses with the length of their network.
    pub(crate) fn networks(&self) -> [IpNet; 2] {
        self.node().pod_networks(self.number)
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> [IpAddr; 2] {
        self.networks().map(|network| network.addr())
    }

    /// The virtual addresses of its Service.
    pub(crate) fn virtual_addresses(&self) -> [IpAddr; 2] {
        [
            Ipv4Addr::new(10, 96, 0, self.number).into(),
            Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, self.number.into()).into(),
        ]
    }

    /// Path of its network namespace in the demo's world.
    pub(crate) fn namespace_path(&self) -> PathBuf {
        namespace_path(self.name)
    }

    /// Who it is in the mesh.
    pub(crate) fn identity(&self) -> String {
        format!("spiffe://cluster.local/ns/{}/sa/{}", self.namespace, self.name)
    }
}

const fn pod(name: &'static str, node: usize, number: u8, role: Role) -> Pod {
    Pod { name, namespace: "shop", node, number, role }
}

/// Path of the network namespace with this name in the demo's world, as `ip netns` has it.
pub(crate) fn namespace_path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// Where the controller is reached from every node.
pub(crate) fn controller() -> SocketAddr {
    SocketAddr::from((NODES[0].address(), CONTROLLER_PORT))
}

fn v4(address: Ipv4Addr, length: u8) -> IpNet {
    Ipv4Net::new(address, length).unwrap_or_else(|_| address.into()).into()
}

fn v6(address: Ipv6Addr, length: u8) -> IpNet {
    Ipv6Net::new(address, length).unwrap_or_else(|_| address.into()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_address_is_given_twice() {
        let pods = Pod::all().flat_map(|pod| pod.addresses().into_iter().chain(pod.virtual_addresses()));
        let nodes = NODES.iter().flat_map(|node| node.link().into_iter().chain(node.bridge()));
        let all: Vec<IpAddr> = pods.chain(nodes.map(|network| network.addr())).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn a_pod_is_found_by_name_and_address() {
        for pod in Pod::all() {
            assert_eq!(Pod::named(pod.name), Some(pod));
            for address in pod.addresses() {
                assert_eq!(Pod::at(address), Some(pod));
                assert!(pod.node().bridge().iter().any(|network| network.contains(&address)));
            }
        }
        assert_eq!(Pod::named("warehouse"), None);
        assert_eq!(Pod::at(NODES[0].address().into()), None);
    }
}
