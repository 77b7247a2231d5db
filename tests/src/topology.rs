//! Two nodes joined by a link, and pods on a bridge of each; IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use ambit_netns::Namespace;
use ambit_netns::links::{Links, Route, forward};

/// Which node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first, where the controller is too.
    A,
    /// The second.
    B,
}

/// Both.
pub const SIDES: [Side; 2] = [Side::A, Side::B];

/// The interface of a node that leads to the other one.
pub const LINK: &str = "link0";

impl Side {
    /// 0 or 1.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The node's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "node-a",
            Self::B => "node-b",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The node's address on the link.
    pub fn address(self) -> IpAddr {
        Ipv4Addr::new(192, 168, 77, self.number()).into()
    }

    fn number(self) -> u8 {
        self as u8 + 1
    }

    fn v4(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number(), host)
    }

    fn v6(self, host: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, u16::from(self.number()), 0, 0, 0, u16::from(host))
    }
}

/// The nodes.
#[derive(Debug)]
pub struct Topology {
    nodes: [Namespace; 2],
    /// Hosts given out on each node's bridge; 1 is the node.
    hosts: [u8; 2],
    links: u32,
}

/// A pod's place on the network.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where its processes run.
    pub netns: Namespace,
    /// Its addresses.
    pub v4: Ipv4Addr,
    /// See `v4`.
    pub v6: Ipv6Addr,
    /// The node's end of its link.
    pub port: String,
}

impl Topology {
    /// Two nodes without pods.
    pub fn new() -> Self {
        let nodes = [Namespace::create().unwrap(), Namespace::create().unwrap()];
        Links::open(&nodes[0]).unwrap().veth(LINK, &nodes[1], LINK).unwrap();
        for side in SIDES {
            let (node, other) = (&nodes[side.index()], side.other());
            forward(node).unwrap();
            let mut links = Links::open(node).unwrap();
            links.address(LINK, format!("{}/24", side.address()).parse().unwrap()).unwrap();
            links.address(LINK, format!("fd77:ffff::{}/64", side.number()).parse().unwrap()).unwrap();
            links.up(LINK).unwrap();
            links.bridge("pods").unwrap();
            // An address of its own: else it is its lowest port's, and changes when that pod goes.
            let hardware = format!("02:00:00:00:00:{:02x}", side.number());
            ip(node, &["link", "set", "pods", "address", &hardware]);
            links.address("pods", format!("{}/24", side.v4(1)).parse().unwrap()).unwrap();
            links.address("pods", format!("{}/64", side.v6(1)).parse().unwrap()).unwrap();
            links.up("pods").unwrap();
            let via4 = Some(other.address());
            let via6 = Some(format!("fd77:ffff::{}", other.number()).parse().unwrap());
            for (destination, via) in
                [(format!("{}/24", other.v4(0)), via4), (format!("{}/64", other.v6(0)), via6)]
            {
                let route =
                    Route { destination: destination.parse().unwrap(), via, interface: Some(LINK.into()) };
                links.route(&route).unwrap();
            }
        }
        Self { nodes, hosts: [1, 1], links: 0 }
    }

    /// A node's namespace.
    pub fn node(&self, side: Side) -> &Namespace {
        &self.nodes[side.index()]
    }

    /// A new pod's place on a node.
    pub fn attach(&mut self, side: Side) -> Place {
        self.hosts[side.index()] += 1;
        self.attach_at(side, self.hosts[side.index()])
    }

    /// The same as the host of an earlier pod, which must be gone.
    pub fn attach_at(&mut self, side: Side, host: u8) -> Place {
        self.links += 1;
        let (netns, port) = (Namespace::create().unwrap(), format!("pod{}", self.links));
        let mut links = Links::open(self.node(side)).unwrap();
        links.veth(&port, &netns, "eth0").unwrap();
        links.attach(&port, "pods").unwrap();
        links.up(&port).unwrap();
        let (v4, v6) = (side.v4(host), side.v6(host));
        let mut inside = Links::open(&netns).unwrap();
        inside.address("eth0", format!("{v4}/24").parse().unwrap()).unwrap();
        inside.address("eth0", format!("{v6}/64").parse().unwrap()).unwrap();
        inside.up("eth0").unwrap();
        for (destination, via) in [("0.0.0.0/0", IpAddr::from(side.v4(1))), ("::/0", side.v6(1).into())] {
            let destination = destination.parse().unwrap();
            inside.route(&Route { destination, via: Some(via), interface: Some("eth0".into()) }).unwrap();
        }
        Place { netns, v4, v6, port }
    }

    /// Takes a pod's link away, as a container runtime does when the pod ends.
    pub fn detach(&self, side: Side, place: &Place) {
        let node = self.node(side);
        Links::open(node).unwrap().delete(&place.port).unwrap();
        // Who comes in its place has another hardware address; in a cluster the node's routes make that known.
        for address in [IpAddr::from(place.v4), place.v6.into()] {
            ip(node, &["neigh", "flush", "to", &address.to_string()]);
        }
    }
}

/// The machine's own tool, for what the links have no words for.
fn ip(node: &Namespace, arguments: &[&str]) {
    let status = node.run(|| Command::new("ip").args(arguments).status()).unwrap().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}
