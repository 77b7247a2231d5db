//! Which traffic of a pod goes to its proxy? Rules as data, equal in meaning to what Istio's node agent writes.

mod error;
mod iptables;
mod nftables;
mod redirection;
mod renderer;
mod routing;
mod succession;

pub use error::RuleError;
pub use iptables::Iptables;
pub use nftables::Nftables;
pub use redirection::{RedirectOptions, redirection};
pub use renderer::{Applied, Backend, BackendError, Drift, Renderer, Skipped, detect};

use std::net::IpAddr;

use crate::InterfaceName;

/// Where captured outbound connections arrive.
pub const OUTBOUND_PORT: u16 = 15001;
/// Where captured inbound plaintext connections arrive.
pub const INBOUND_PLAINTEXT_PORT: u16 = 15006;
/// Where HBONE arrives; never redirected.
pub const HBONE_PORT: u16 = 15008;
/// Where captured DNS questions arrive. Listen on `127.0.0.1` and `::1`: a UDP socket bound to no address would answer
/// from another one than the question was redirected to, and the client would not recognise the answer.
pub const DNS_PORT: u16 = 15053;
/// The mark on the proxy's own packets (`SO_MARK`).
pub const PACKET_MARK: Mark = Mark { value: 0x539, mask: 0xfff };
/// The connection mark on what the proxy dialled from a client's address.
pub const CONNECTION_MARK: Mark = Mark { value: 0x111, mask: 0xfff };

/// A mark and the bits of it that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The bits to compare or set.
    pub value: u32,
    /// Which bits count.
    pub mask: u32,
}

/// Which address families a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Whether IPv4 packets are meant.
    pub fn v4(self) -> bool {
        self != Self::V6
    }

    /// Whether IPv6 packets are meant.
    pub fn v6(self) -> bool {
        self != Self::V4
    }
}

/// The moment in a packet's way at which a chain looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// Arriving, before routing.
    Prerouting,
    /// Made by a local program.
    Output,
}

/// What a chain may do, in the order in which the kernel asks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Before connection tracking (priority -300).
    Raw,
    /// Marks; in `Output` a changed mark is routed again (priority -150).
    Mangle,
    /// Redirection, first packet of a connection only (priority -100).
    Nat,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

/// One test of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Match {
    /// The transport protocol. Stands before a port test.
    Protocol(Protocol),
    /// It came in by this interface.
    Input(InterfaceName),
    /// It leaves by this interface (`true`) or by another (`false`).
    Output(InterfaceName, bool),
    /// Its source is this address. The rule's families must be the address's.
    Source(IpAddr),
    /// Its destination is this address (`true`) or another (`false`). The rule's families must be the address's.
    Destination(IpAddr, bool),
    /// Its source port is this.
    SourcePort(u16),
    /// Its destination port is this (`true`) or another (`false`).
    DestinationPort(u16, bool),
    /// It has the mark (`true`) or has it not (`false`).
    Mark(Mark, bool),
    /// Its connection has the mark.
    ConnectionMark(Mark),
}

/// What happens to a packet that passes all tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Leave this stage, as it is.
    Accept,
    /// Leave this chain, as it is.
    Return,
    /// To this port of the namespace itself.
    Redirect(u16),
    /// Mark the connection, keeping the bits outside the mask.
    SetConnectionMark(Mark),
    /// Give the packet the whole mark of its connection.
    RestoreMark,
    /// Track the connection in this zone, apart from all others.
    Zone(u16),
}

/// One rule: for a packet that passes all `matches`, do `action`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// For which families.
    pub families: Families,
    /// All must pass; asked in this order.
    pub matches: Vec<Match>,
    /// What then.
    pub action: Action,
    /// Why it is there, in a few words; shown by `nft list ruleset`.
    pub comment: &'static str,
}

/// Rules asked in order at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain {
    /// When.
    pub hook: Hook,
    /// As what.
    pub stage: Stage,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// Policy routing: packets with `mark` are delivered locally, so that replies to a spoofed client reach the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Routing {
    /// Which packets.
    pub mark: Mark,
    /// The routing table with the local default route.
    pub table: u32,
    /// The place among the routing rules; lower is asked first.
    pub preference: u32,
    /// For which families.
    pub families: Families,
}

/// Everything that captures one pod's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RuleSet {
    /// The chains, each hook and stage at most once; none is empty.
    pub chains: Vec<Chain>,
    /// The policy routing.
    pub routing: Routing,
}
