//! The network of one path: one or two nodes, a bridge on each, and pods on the bridges.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ambit_netns::Namespace;
use ambit_netns::links::{Links, Route, forward};
use anyhow::Context;

const LINK: &str = "link0";
const BRIDGE: &str = "pods";

/// What is set in every pod, for every path alike: enough ports for tens of thousands of short connections a second.
const PORTS: [(&str, &str); 2] =
    [("/proc/sys/net/ipv4/ip_local_port_range", "16384 65535"), ("/proc/sys/net/ipv4/tcp_tw_reuse", "1")];

/// Where a pod is.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name, also its service account's.
    pub name: String,
    /// 0 or 1.
    pub node: usize,
    /// Where its processes run.
    pub netns: Namespace,
    /// The name of the namespace in the file system.
    pub path: PathBuf,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Pod {
    /// Its address with a port.
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }
}

/// Nodes and their bridges. Vanishes with the last process and handle.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<Namespace>,
    directory: PathBuf,
    attached: u16,
}

impl Network {
    /// So many nodes (1 or 2), joined by a link. Names of namespaces are kept in `directory`.
    pub fn new(nodes: usize, directory: &Path) -> anyhow::Result<Self> {
        let nodes = (0..nodes).map(|_| Ok(Namespace::create()?)).collect::<anyhow::Result<Vec<_>>>()?;
        if let [first, second] = nodes.as_slice() {
            Links::open(first)?.veth(LINK, second, LINK)?;
        }
        for (index, node) in nodes.iter().enumerate() {
            forward(node)?;
            let mut links = Links::open(node)?;
            links.bridge(BRIDGE)?;
            links.address(BRIDGE, format!("{}/20", gateway(index)).parse()?)?;
            links.up(BRIDGE)?;
            if nodes.len() > 1 {
                links.address(LINK, format!("{}/24", node_address(index)).parse()?)?;
                links.up(LINK)?;
                let destination = format!("10.77.{}.0/20", 16 * (2 - index)).parse()?;
                links.route(&Route {
                    destination,
                    via: Some(node_address(1 - index).into()),
                    interface: Some(LINK.into()),
                })?;
            }
        }
        Ok(Self { nodes, directory: directory.to_owned(), attached: 0 })
    }

    /// How many.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// A node's namespace.
    pub fn node(&self, index: usize) -> anyhow::Result<&Namespace> {
        self.nodes.get(index).with_context(|| format!("there is no node {index}"))
    }

    /// A node's own address, which the other one reaches.
    pub fn node_address(&self, index: usize) -> Ipv4Addr {
        if self.nodes.len() > 1 { node_address(index) } else { gateway(index) }
    }

    /// A new pod.
    pub fn attach(&mut self, name: &str, node: usize) -> anyhow::Result<Pod> {
        self.attached += 1;
        let host = self.attached + 1;
        let address = Ipv4Addr::from(u32::from(gateway(node)) - 1 + u32::from(host));
        let netns = Namespace::create()?;
        let path = self.directory.join(name);
        netns.persist(&path)?;
        let port = format!("pod{}", self.attached);
        let mut links = Links::open(self.node(node)?)?;
        links.veth(&port, &netns, "eth0")?;
        links.attach(&port, BRIDGE)?;
        links.up(&port)?;
        let mut inside = Links::open(&netns)?;
        inside.address("eth0", format!("{address}/20").parse()?)?;
        inside.up("eth0")?;
        inside.route(&Route {
            destination: "0.0.0.0/0".parse()?,
            via: Some(IpAddr::from(gateway(node))),
            interface: Some("eth0".into()),
        })?;
        netns.run(|| PORTS.iter().try_for_each(|(path, value)| std::fs::write(path, value)))??;
        Ok(Pod { name: name.to_owned(), node, netns, path, address })
    }
}

fn gateway(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 16 * (node as u8 + 1), 1)
}

fn node_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 77, node as u8 + 1)
}
