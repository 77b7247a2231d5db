//! The rules, followed rule by rule for any packet, against what is meant, said in a few lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ambit_netns::rules::{Action, Hook, Match, Protocol, RedirectOptions, RuleSet, Stage, redirection};
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

/// The first packet of a connection.
#[derive(Debug, Clone)]
struct Packet {
    protocol: Option<Protocol>,
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    destination_port: u16,
    /// By which it comes (`Prerouting`) or leaves (`Output`).
    interface: &'static str,
    mark: u32,
    connection_mark: u32,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Fate {
    redirected: Option<u16>,
    mark: u32,
    connection_mark: u32,
    zone: Option<u16>,
}

/// Follows the rules.
fn follow(rules: &RuleSet, hook: Hook, packet: &Packet) -> Fate {
    let mut fate = Fate { mark: packet.mark, connection_mark: packet.connection_mark, ..Fate::default() };
    for stage in [Stage::Raw, Stage::Mangle, Stage::Nat] {
        let chain = rules.chains.iter().find(|chain| chain.hook == hook && chain.stage == stage);
        for rule in chain.map(|chain| chain.rules.as_slice()).unwrap_or_default() {
            let family = if packet.source.is_ipv4() { rule.families.v4() } else { rule.families.v6() };
            if !family || !rule.matches.iter().all(|test| passes(test, packet, &fate)) {
                continue;
            }
            match rule.action {
                Action::Accept | Action::Return => break,
                Action::Redirect(port) => {
                    fate.redirected = Some(port);
                    break;
                }
                Action::SetConnectionMark(mark) => {
                    fate.connection_mark = fate.connection_mark & !mark.mask | mark.value;
                }
                Action::RestoreMark => fate.mark = fate.connection_mark,
                Action::Zone(zone) => fate.zone = Some(zone),
            }
        }
    }
    fate
}

fn passes(test: &Match, packet: &Packet, fate: &Fate) -> bool {
    match test {
        Match::Protocol(protocol) => packet.protocol == Some(*protocol),
        Match::Input(name) => packet.interface == name.as_str(),
        Match::Output(name, is) => (packet.interface == name.as_str()) == *is,
        Match::Source(address) => packet.source == *address,
        Match::Destination(address, is) => (packet.destination == *address) == *is,
        Match::SourcePort(port) => packet.source_port == *port,
        Match::DestinationPort(port, is) => (packet.destination_port == *port) == *is,
        Match::Mark(mark, is) => (fate.mark & mark.mask == mark.value) == *is,
        Match::ConnectionMark(mark) => fate.connection_mark & mark.mask == mark.value,
    }
}

/// What is meant for a packet that arrives: the words of `RedirectOptions`.
fn meant_inbound(options: &RedirectOptions, packet: &Packet) -> Option<u16> {
    let tcp = packet.protocol == Some(Protocol::Tcp);
    let of_the_proxy = packet.mark & 0xfff == 0x539;
    if !tcp || !options.ipv6 && packet.source.is_ipv6() {
        return None;
    }
    if options.virtual_interfaces.iter().any(|name| name.as_str() == packet.interface) {
        return Some(15001);
    }
    let probe = [options.probe_source_v4.map(IpAddr::V4), options.probe_source_v6.map(IpAddr::V6)];
    let left_alone = options.ingress_mode
        || probe.contains(&Some(packet.source))
        || packet.destination == loopback(packet)
        || packet.destination_port == 15008
        || of_the_proxy;
    (!left_alone).then_some(15006)
}

/// And for one that a program of the pod sends.
fn meant_outbound(options: &RedirectOptions, packet: &Packet) -> Option<u16> {
    let (tcp, udp) = (packet.protocol == Some(Protocol::Tcp), packet.protocol == Some(Protocol::Udp));
    // What replies to the proxy has the connection's mark by now.
    let reply = packet.connection_mark & 0xfff == 0x111;
    let mark = if reply { packet.connection_mark } else { packet.mark };
    let of_the_proxy = mark & 0xfff == 0x539;
    let question = options.dns && packet.destination_port == 53 && !of_the_proxy;
    if !options.ipv6 && packet.source.is_ipv6() {
        return None;
    }
    let probe = [options.probe_source_v4.map(IpAddr::V4), options.probe_source_v6.map(IpAddr::V6)];
    if tcp && probe.contains(&Some(packet.destination)) {
        return None;
    }
    if question && (udp && packet.interface != "lo" || tcp && packet.destination != loopback(packet)) {
        return Some(15053);
    }
    let left_alone = mark & 0xfff == 0x111
        || packet.destination == loopback(packet)
        || packet.interface == "lo"
        || of_the_proxy;
    (tcp && !left_alone).then_some(15001)
}

fn loopback(packet: &Packet) -> IpAddr {
    match packet.source {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn options() -> impl Strategy<Value = RedirectOptions> {
    (any::<[bool; 6]>()).prop_map(|[ipv6, dns, ingress_mode, virtual_interface, probe_v4, probe_v6]| {
        let defaults = RedirectOptions::default();
        RedirectOptions {
            ipv6,
            dns,
            ingress_mode,
            virtual_interfaces: virtual_interface.then(|| "vm0".parse().unwrap()).into_iter().collect(),
            probe_source_v4: defaults.probe_source_v4.filter(|_| probe_v4),
            probe_source_v6: defaults.probe_source_v6.filter(|_| probe_v6),
        }
    })
}

fn packets() -> impl Strategy<Value = Packet> {
    let v4 = ["127.0.0.1", "127.0.0.2", "169.254.7.127", "10.0.0.2", "10.0.0.1"];
    let v6 = ["::1", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff", "fd00::2", "fd00::1"];
    let pair = |list: &'static [&'static str]| (prop::sample::select(list), prop::sample::select(list));
    let addresses = prop_oneof![pair(Vec::leak(v4.to_vec())), pair(Vec::leak(v6.to_vec()))];
    let protocol = prop::sample::select(vec![Some(Protocol::Tcp), Some(Protocol::Udp), None]);
    let port = || prop::sample::select(vec![53, 80, 15001, 15006, 15008, 40000]);
    let interface = prop::sample::select(vec!["lo", "eth0", "vm0"]);
    let mark = || prop::sample::select(vec![0, 0x539, 0xabc539, 0x111, 0xdef111, 0x53a, 0x1111]);
    (protocol, addresses, port(), port(), interface, mark(), mark()).prop_map(
        |(
            protocol,
            (source, destination),
            source_port,
            destination_port,
            interface,
            mark,
            connection_mark,
        )| Packet {
            protocol,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            source_port,
            destination_port,
            interface,
            mark,
            connection_mark,
        },
    )
}

proptest! {
    #[test]
    fn inbound_goes_where_it_is_meant_to(options in options(), packet in packets()) {
        let fate = follow(&redirection(&options), Hook::Prerouting, &packet);
        prop_assert_eq!(fate.redirected, meant_inbound(&options, &packet));
        let touched = options.ipv6 || packet.source.is_ipv4();
        let dialled = touched && packet.mark & 0xfff == 0x539;
        let remembered = if dialled { packet.connection_mark & !0xfff | 0x111 } else { packet.connection_mark };
        prop_assert_eq!((fate.mark, fate.connection_mark), (packet.mark, remembered));
        let answer = touched && options.dns && packet.protocol == Some(Protocol::Udp) && packet.source_port == 53;
        prop_assert_eq!(fate.zone, (answer && packet.mark & 0xfff != 0x539).then_some(1));
    }

    #[test]
    fn outbound_goes_where_it_is_meant_to(options in options(), packet in packets()) {
        let fate = follow(&redirection(&options), Hook::Output, &packet);
        prop_assert_eq!(fate.redirected, meant_outbound(&options, &packet));
        let touched = options.ipv6 || packet.source.is_ipv4();
        let reply = touched && packet.connection_mark & 0xfff == 0x111;
        let mark = if reply { packet.connection_mark } else { packet.mark };
        prop_assert_eq!((fate.mark, fate.connection_mark), (mark, packet.connection_mark));
        let question = touched && options.dns && packet.protocol == Some(Protocol::Udp) && packet.destination_port == 53;
        prop_assert_eq!(fate.zone, (question && packet.mark & 0xfff == 0x539).then_some(1));
    }
}
