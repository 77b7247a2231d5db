//! Which rules does a pod with these options need?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Action, CONNECTION_MARK, Chain, DNS_PORT, Families, HBONE_PORT, Hook, INBOUND_PLAINTEXT_PORT, Match,
    OUTBOUND_PORT, PACKET_MARK, Protocol, Routing, Rule, RuleSet, Stage,
};
use crate::InterfaceName;

/// The port DNS servers listen on.
const DNS: u16 = 53;
/// The connection-tracking zone of the proxy's own DNS questions.
const DNS_ZONE: u16 = 1;
/// Istio's routing table and rule preference.
const TABLE: u32 = 100;
const PREFERENCE: u32 = 32764;

/// What is redirected in a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RedirectOptions {
    /// IPv6 too. Without it, IPv6 traffic is not touched at all.
    pub ipv6: bool,
    /// DNS questions go to 15053 (Istio's `ambient.istio.io/dns-capture`).
    pub dns: bool,
    /// The pod is a gateway that receives outside traffic itself: inbound traffic is not redirected to 15006
    /// (Istio's `ambient.istio.io/bypass-inbound-capture`).
    pub ingress_mode: bool,
    /// Traffic that arrives by these interfaces is somebody's outbound traffic: virtual machines in the pod
    /// (Istio's `istio.io/reroute-virtual-interfaces`).
    pub virtual_interfaces: Vec<InterfaceName>,
    /// The address of the node's own probes, let through unchanged both ways. `None`: no such exception.
    pub probe_source_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub probe_source_v6: Option<Ipv6Addr>,
}

impl Default for RedirectOptions {
    /// Istio's defaults: both families, DNS, probe addresses `169.254.7.127` and
    /// `fd16:9254:7127:1337:ffff:ffff:ffff:ffff` (its `HOST_PROBE_SNAT_IP` and `HOST_PROBE_SNAT_IPV6`).
    fn default() -> Self {
        Self {
            ipv6: true,
            dns: true,
            ingress_mode: false,
            virtual_interfaces: Vec::new(),
            probe_source_v4: Some(Ipv4Addr::new(169, 254, 7, 127)),
            probe_source_v6: Some(Ipv6Addr::new(
                0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff,
            )),
        }
    }
}

/// The rules for a pod with these options.
pub fn redirection(options: &RedirectOptions) -> RuleSet {
    let families = if options.ipv6 { Families::Both } else { Families::V4 };
    let all = [
        (Stage::Raw, Hook::Prerouting, raw_prerouting(options, families)),
        (Stage::Raw, Hook::Output, raw_output(options, families)),
        (Stage::Mangle, Hook::Prerouting, mangle_prerouting(families)),
        (Stage::Mangle, Hook::Output, mangle_output(families)),
        (Stage::Nat, Hook::Prerouting, nat_prerouting(options, families)),
        (Stage::Nat, Hook::Output, nat_output(options, families)),
    ];
    let chains = all.into_iter().filter(|(_, _, rules)| !rules.is_empty());
    RuleSet {
        chains: chains.map(|(stage, hook, rules)| Chain { hook, stage, rules }).collect(),
        routing: Routing { mark: CONNECTION_MARK, table: TABLE, preference: PREFERENCE, families },
    }
}

/// The proxy's own DNS questions and their answers are tracked apart, or they would be taken for the client's.
fn raw_prerouting(options: &RedirectOptions, families: Families) -> Vec<Rule> {
    let matches =
        vec![Match::Protocol(Protocol::Udp), Match::Mark(PACKET_MARK, false), Match::SourcePort(DNS)];
    let rule =
        Rule { families, matches, action: Action::Zone(DNS_ZONE), comment: "answers to the proxy's DNS" };
    if options.dns { vec![rule] } else { Vec::new() }
}

fn raw_output(options: &RedirectOptions, families: Families) -> Vec<Rule> {
    let matches = vec![
        Match::Protocol(Protocol::Udp),
        Match::Mark(PACKET_MARK, true),
        Match::DestinationPort(DNS, true),
    ];
    let rule = Rule { families, matches, action: Action::Zone(DNS_ZONE), comment: "the proxy's DNS" };
    if options.dns { vec![rule] } else { Vec::new() }
}

/// What the proxy dials from a client's address is remembered on the connection ...
fn mangle_prerouting(families: Families) -> Vec<Rule> {
    vec![Rule {
        families,
        matches: vec![Match::Mark(PACKET_MARK, true)],
        action: Action::SetConnectionMark(CONNECTION_MARK),
        comment: "dialled by the proxy",
    }]
}

/// ... so that the program's replies are marked and routed back to the proxy's transparent socket.
fn mangle_output(families: Families) -> Vec<Rule> {
    vec![Rule {
        families,
        matches: vec![Match::ConnectionMark(CONNECTION_MARK)],
        action: Action::RestoreMark,
        comment: "replies to the proxy",
    }]
}

fn nat_prerouting(options: &RedirectOptions, families: Families) -> Vec<Rule> {
    let mut rules = Vec::new();
    for interface in &options.virtual_interfaces {
        let tcp = [Match::Input(interface.clone()), Match::Protocol(Protocol::Tcp)];
        rules.push(Rule {
            families,
            matches: tcp.to_vec(),
            action: Action::Redirect(OUTBOUND_PORT),
            comment: "outbound of a virtual machine",
        });
        rules.push(Rule {
            families,
            matches: tcp.to_vec(),
            action: Action::Return,
            comment: "nothing more for it",
        });
    }
    if options.ingress_mode {
        return rules;
    }
    rules.extend(probe_sources(options).map(|(families, address)| Rule {
        families,
        matches: vec![Match::Source(address), Match::Protocol(Protocol::Tcp)],
        action: Action::Accept,
        comment: "the node's probes",
    }));
    rules.extend(loopbacks(options).map(|(families, loopback)| Rule {
        families,
        matches: vec![
            Match::Destination(loopback, false),
            Match::Protocol(Protocol::Tcp),
            Match::DestinationPort(HBONE_PORT, false),
            Match::Mark(PACKET_MARK, false),
        ],
        action: Action::Redirect(INBOUND_PLAINTEXT_PORT),
        comment: "inbound plaintext",
    }));
    rules
}

fn nat_output(options: &RedirectOptions, families: Families) -> Vec<Rule> {
    let mut rules: Vec<Rule> = probe_sources(options)
        .map(|(families, address)| Rule {
            families,
            matches: vec![Match::Destination(address, true), Match::Protocol(Protocol::Tcp)],
            action: Action::Accept,
            comment: "to the node's probes",
        })
        .collect();
    if options.dns {
        rules.extend(dns_output(options, families));
    }
    rules.push(Rule {
        families,
        matches: vec![Match::Protocol(Protocol::Tcp), Match::Mark(CONNECTION_MARK, true)],
        action: Action::Accept,
        comment: "replies to the proxy",
    });
    rules.extend(loopbacks(options).map(|(families, loopback)| Rule {
        families,
        matches: vec![Match::Destination(loopback, false), Match::Output(InterfaceName::loopback(), true)],
        action: Action::Accept,
        comment: "the pod to itself",
    }));
    rules.extend(loopbacks(options).map(|(families, loopback)| Rule {
        families,
        matches: vec![
            Match::Destination(loopback, false),
            Match::Protocol(Protocol::Tcp),
            Match::Mark(PACKET_MARK, false),
        ],
        action: Action::Redirect(OUTBOUND_PORT),
        comment: "outbound",
    }));
    rules
}

fn dns_output(options: &RedirectOptions, families: Families) -> Vec<Rule> {
    let mut rules = vec![Rule {
        families,
        matches: vec![
            Match::Output(InterfaceName::loopback(), false),
            Match::Protocol(Protocol::Udp),
            Match::Mark(PACKET_MARK, false),
            Match::DestinationPort(DNS, true),
        ],
        action: Action::Redirect(DNS_PORT),
        comment: "DNS over UDP",
    }];
    rules.extend(loopbacks(options).map(|(families, loopback)| Rule {
        families,
        matches: vec![
            Match::Destination(loopback, false),
            Match::Protocol(Protocol::Tcp),
            Match::DestinationPort(DNS, true),
            Match::Mark(PACKET_MARK, false),
        ],
        action: Action::Redirect(DNS_PORT),
        comment: "DNS over TCP",
    }));
    rules
}

fn loopbacks(options: &RedirectOptions) -> impl Iterator<Item = (Families, IpAddr)> {
    let v6 = options.ipv6.then_some((Families::V6, IpAddr::V6(Ipv6Addr::LOCALHOST)));
    std::iter::once((Families::V4, IpAddr::V4(Ipv4Addr::LOCALHOST))).chain(v6)
}

fn probe_sources(options: &RedirectOptions) -> impl Iterator<Item = (Families, IpAddr)> {
    let v4 = options.probe_source_v4.map(|address| (Families::V4, IpAddr::V4(address)));
    let v6 = options.probe_source_v6.filter(|_| options.ipv6);
    v4.into_iter().chain(v6.map(|address| (Families::V6, IpAddr::V6(address))))
}
