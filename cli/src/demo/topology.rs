//! How do the nodes and pods of the plan become namespaces, and how are they wired?

use std::collections::BTreeMap;
use std::net::IpAddr;

use ambit_netns::Namespace;
use ambit_netns::links::{Links, Route, forward};
use anyhow::Context;
use ipnet::IpNet;

use super::plan::{LINK, NODES, Node, Pod, namespace_path};

const BRIDGE: &str = "pods";
const POD_INTERFACE: &str = "eth0";

/// The namespaces of the plan, wired.
#[derive(Debug, Clone)]
pub(crate) struct Topology {
    namespaces: BTreeMap<&'static str, Namespace>,
    /// Whether the kernel has IPv6.
    pub ipv6: bool,
}

impl Topology {
    /// Makes everything. The calling process must be in a world of its own, where it all vanishes with it.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let mut topology = Self { namespaces: BTreeMap::new(), ipv6: ipv6() };
        for name in NODES.iter().map(|node| node.name).chain(Pod::all().map(|pod| pod.name)) {
            let namespace = Namespace::create()?;
            namespace.persist(namespace_path(name))?;
            if topology.ipv6 {
                namespace.run(no_duplicate_detection)??;
            }
            topology.namespaces.insert(name, namespace);
        }
        let [first, second] = &NODES;
        topology.bridge(first)?;
        // Between the bridges, so that its ends have different numbers: the kernel takes ends with the same one for no
        // link, and may report their carrier, for which IPv6 waits, a second late.
        topology.link()?;
        topology.bridge(second)?;
        for pod in Pod::all() {
            topology.attach(pod)?;
        }
        // Last, when it has carrier, for the same reason.
        for node in &NODES {
            Links::open(topology.namespace(node.name)?)?.up(BRIDGE)?;
        }
        Ok(topology)
    }

    /// The namespace of a node or pod.
    pub(crate) fn namespace(&self, name: &str) -> anyhow::Result<&Namespace> {
        self.namespaces.get(name).with_context(|| format!("there is no node or pod {name}"))
    }

    fn families(&self, networks: [IpNet; 2]) -> impl Iterator<Item = IpNet> {
        let ipv6 = self.ipv6;
        networks.into_iter().filter(move |network| ipv6 || network.addr().is_ipv4())
    }

    fn bridge(&self, node: &Node) -> anyhow::Result<()> {
        let namespace = self.namespace(node.name)?;
        let mut links = Links::open(namespace)?;
        links.bridge(BRIDGE)?;
        for network in self.families(node.bridge()) {
            links.address(BRIDGE, network)?;
        }
        Ok(forward(namespace)?)
    }

    /// The link between the nodes, and each node's way to the other's pods.
    fn link(&self) -> anyhow::Result<()> {
        let [first, second] = &NODES;
        Links::open(self.namespace(first.name)?)?.veth(LINK, self.namespace(second.name)?, LINK)?;
        for (own, other) in [(first, second), (second, first)] {
            let mut links = Links::open(self.namespace(own.name)?)?;
            for network in self.families(own.link()) {
                links.address(LINK, network)?;
            }
            links.up(LINK)?;
            let gateways = self.families(other.link());
            for (network, via) in self.families(other.bridge()).zip(gateways) {
                links.route(&route(network.trunc(), via.addr()))?;
            }
        }
        Ok(())
    }

    fn attach(&self, pod: &Pod) -> anyhow::Result<()> {
        let node = pod.node();
        let mut links = Links::open(self.namespace(node.name)?)?;
        links.veth(pod.name, self.namespace(pod.name)?, POD_INTERFACE)?;
        links.attach(pod.name, BRIDGE)?;
        links.up(pod.name)?;
        let mut links = Links::open(self.namespace(pod.name)?)?;
        for network in self.families(pod.networks()) {
            links.address(POD_INTERFACE, network)?;
        }
        links.up(POD_INTERFACE)?;
        for gateway in self.families(node.bridge()) {
            links.route(&route(everything(gateway.addr()), gateway.addr()))?;
        }
        Ok(())
    }
}

/// For the interfaces that the current namespace is going to have: it would hold up the first packets by two seconds,
/// and nobody else gives out addresses here.
fn no_duplicate_detection() -> anyhow::Result<()> {
    const SWITCH: &str = "/proc/sys/net/ipv6/conf/default/accept_dad";
    std::fs::write(SWITCH, "0").with_context(|| format!("cannot write {SWITCH}: mount /proc writable"))
}

fn route(destination: IpNet, via: IpAddr) -> Route {
    Route { destination, via: Some(via), interface: None }
}

/// The whole of an address's family.
fn everything(address: IpAddr) -> IpNet {
    let unspecified: IpAddr = match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNet::new(unspecified, 0).unwrap_or_else(|_| unspecified.into())
}

fn ipv6() -> bool {
    // In a new network namespace: what the kernel offers, not what this machine's network uses.
    std::fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6").is_ok_and(|value| value.trim() == "0")
}
