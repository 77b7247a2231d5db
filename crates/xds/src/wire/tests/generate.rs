//! Values of the model, small enough that conditions and connections meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ambit_model::policy::{Action, Clause, Match, Rule, Scope, ServiceAccount, StringMatch};
use ambit_model::service::{
    AppProtocol, BalanceMode, IpFamilies, LoadBalancing, Port, Scope as Level, ServiceAddress, ServiceKey,
    Visibility,
};
use ambit_model::traffic::Connection;
use ambit_model::workload::{
    ApplicationTunnel, Gateway, GatewayDestination, Health, Locality, NetworkMode, Traits, Tunnel,
    WorkloadType,
};
use ambit_model::{Identity, NetworkAddress, Policy, Service, Text, Workload};
use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "shop"]).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = Text> {
    prop_oneof!["[a-z]{0,4}", ".{0,8}"].prop_map(Text::from)
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..4).prop_map(|d| IpAddr::from(Ipv4Addr::new(10, 0, 0, d))),
        (0u16..4).prop_map(|d| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, d))),
        any::<Ipv4Addr>().prop_map(IpAddr::from),
        any::<Ipv6Addr>().prop_map(|ip| ambit_model::address::canonical(ip.into())),
    ]
}

fn block() -> impl Strategy<Value = IpNet> {
    (ip(), 0u8..=128).prop_map(|(ip, length)| {
        let width = if ip.is_ipv4() { 32 } else { 128 };
        IpNet::new(ip, length % (width + 1)).unwrap()
    })
}

fn identity() -> impl Strategy<Value = Identity> {
    (select(vec!["cluster.local", "td"]), name(), select(vec!["default", "sa"]))
        .prop_map(|(domain, namespace, account)| Identity::new(domain, &namespace, account).unwrap())
}

fn key() -> impl Strategy<Value = ServiceKey> {
    (name(), "[a-z*.]{1,6}").prop_map(|(namespace, hostname)| ServiceKey::new(&namespace, &hostname))
}

fn address() -> impl Strategy<Value = NetworkAddress> {
    (text(), ip()).prop_map(|(network, ip)| NetworkAddress::new(network, ip))
}

fn gateway() -> impl Strategy<Value = Gateway> {
    let destination = prop_oneof![
        key().prop_map(GatewayDestination::Service),
        address().prop_map(GatewayDestination::Address),
    ];
    (destination, any::<u16>()).prop_map(|(destination, hbone_port)| Gateway { destination, hbone_port })
}

fn port() -> impl Strategy<Value = Port> {
    use AppProtocol::{Grpc, Http2, Http11, Tcp, Tls, Unknown};
    (any::<u16>(), any::<u16>(), select(vec![Unknown, Http11, Http2, Grpc, Tcp, Tls]))
        .prop_map(|(service_port, target_port, protocol)| Port { service_port, target_port, protocol })
}

pub(super) fn workload() -> impl Strategy<Value = Workload> {
    let texts = vec(text(), 11);
    let numbers = (1u32.., any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let kind =
        select(vec![WorkloadType::Deployment, WorkloadType::CronJob, WorkloadType::Pod, WorkloadType::Job]);
    let tunnel = option::of((any::<bool>(), option::of(1u16..)))
        .prop_map(|tunnel| tunnel.map(|(proxy_protocol, port)| ApplicationTunnel { proxy_protocol, port }));
    let places = (option::of(gateway()), option::of(gateway()), vec(ip(), 0..3), identity());
    let lists = (btree_map(key(), vec(port(), 0..3), 0..3), vec(text(), 0..3));
    ("[a-z/]{1,8}", texts, numbers, kind, tunnel, places, lists).prop_map(
        |(uid, texts, numbers, workload_type, application_tunnel, places, (services, policies))| {
            let (capacity, native_tunnel, hbone, healthy, host) = numbers;
            let (waypoint, network_gateway, addresses, identity) = places;
            let namespace = identity.namespace().clone();
            let mut texts = texts.into_iter();
            let mut text = || texts.next().unwrap();
            let cluster = text();
            Workload {
                uid: uid.into(),
                name: text(),
                addresses,
                identity,
                node: text(),
                canonical_name: text(),
                workload_name: text(),
                health: if healthy { Health::Healthy } else { Health::Unhealthy },
                services: services.into(),
                capacity,
                traits: Arc::new(Traits {
                    namespace,
                    hostname: text(),
                    network: text(),
                    tunnel: if hbone { Tunnel::Hbone } else { Tunnel::None },
                    native_tunnel,
                    waypoint: waypoint.map(Into::into),
                    network_gateway: network_gateway.map(Into::into),
                    canonical_revision: text(),
                    workload_type,
                    policies,
                    cluster: if cluster.is_empty() { "Kubernetes".into() } else { cluster },
                    application_tunnel,
                    locality: Locality { region: text(), zone: text(), subzone: text() },
                    network_mode: if host { NetworkMode::HostNetwork } else { NetworkMode::Standard },
                }),
            }
        },
    )
}

fn balancing() -> impl Strategy<Value = LoadBalancing> {
    use BalanceMode::{Failover, Passthrough, Strict, Unspecified};
    use Level::{Cluster, Network, Node, Region, Subzone, Zone};
    (
        vec(select(vec![Region, Zone, Subzone, Node, Cluster, Network]), 0..4),
        select(vec![Unspecified, Strict, Failover, Passthrough]),
        any::<bool>(),
    )
        .prop_map(|(preference, mode, allow_unhealthy)| LoadBalancing {
            preference,
            mode,
            allow_unhealthy,
        })
}

fn service_address() -> impl Strategy<Value = ServiceAddress> {
    prop_oneof![
        address().prop_map(ServiceAddress::Ip),
        (text(), block()).prop_map(|(network, block)| {
            if block.prefix_len() == block.max_prefix_len() {
                ServiceAddress::Ip(NetworkAddress::new(network, block.addr()))
            } else {
                ServiceAddress::Block(network, block)
            }
        }),
    ]
}

pub(super) fn service() -> impl Strategy<Value = Service> {
    use IpFamilies::{Automatic, Dual, V4, V6};
    let waypoints = prop_oneof![
        gateway().prop_map(|gateway| vec![(gateway, 100)]),
        vec((gateway(), any::<u32>()), 0..3),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), select(vec![Automatic, V4, V6, Dual]));
    let lists = (vec(service_address(), 0..3), vec(port(), 0..3), vec(text(), 0..3));
    (text(), key(), lists, waypoints, balancing(), flags).prop_map(
        |(name, key, (addresses, ports, subject_alt_names), waypoints, load_balancing, flags)| Service {
            name,
            key,
            addresses,
            ports,
            subject_alt_names,
            waypoints,
            load_balancing,
            ip_families: flags.3,
            canonical: flags.0,
            ingress_use_waypoint: flags.1,
            visibility: if flags.2 { Visibility::Namespace } else { Visibility::Public },
        },
    )
}

fn string_match(text: impl Strategy<Value = String>) -> impl Strategy<Value = StringMatch> {
    (0..4, text).prop_map(|(kind, text)| match kind {
        0 => StringMatch::Exact(text.into()),
        1 => StringMatch::Prefix(text.chars().take(1).collect::<String>().into()),
        2 => StringMatch::Suffix(text.into()),
        _ => StringMatch::Presence,
    })
}

fn attributes() -> impl Strategy<Value = Match> {
    let namespaces = || vec(string_match(name()), 0..2);
    let principals = || vec(string_match(identity().prop_map(|identity| identity.principal())), 0..2);
    let account = || {
        identity().prop_map(|identity| ServiceAccount {
            namespace: identity.namespace().clone(),
            name: identity.service_account().clone(),
        })
    };
    let ports = || vec(prop_oneof![Just(80u16), 1u16..], 0..2);
    (
        (namespaces(), namespaces(), principals(), principals(), vec(account(), 0..2), vec(account(), 0..2)),
        (vec(block(), 0..2), vec(block(), 0..2), vec(block(), 0..2), vec(block(), 0..2), ports(), ports()),
    )
        .prop_map(|(who, what)| Match {
            namespaces: who.0,
            not_namespaces: who.1,
            principals: who.2,
            not_principals: who.3,
            service_accounts: who.4,
            not_service_accounts: who.5,
            source_ips: what.0,
            not_source_ips: what.1,
            destination_ips: what.2,
            not_destination_ips: what.3,
            destination_ports: what.4,
            not_destination_ports: what.5,
        })
}

pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let clause = vec(attributes(), 0..3).prop_map(|matches| Clause { matches });
    let rule = vec(clause, 0..3).prop_map(|clauses| Rule { clauses, undecodable: None });
    let scope = select(vec![Scope::Global, Scope::Namespace, Scope::WorkloadSelector]);
    let action = select(vec![Action::Allow, Action::Deny]);
    (
        prop_oneof![name(), Just(String::new())],
        name(),
        scope,
        action,
        vec(rule, 0..3),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(namespace, name, scope, action, rules, dry_run)| Policy {
            key: format!("{namespace}/{name}").into(),
            namespace: namespace.into(),
            scope,
            action,
            rules,
            dry_run,
            unusable: None,
        })
}

pub(super) fn connection() -> impl Strategy<Value = Connection> {
    (ip(), option::of(identity()), ip(), prop_oneof![Just(80u16), any::<u16>()]).prop_map(
        |(source_ip, source_identity, destination, port)| Connection {
            source_ip,
            network: "".into(),
            source_identity,
            destination: (destination, port).into(),
        },
    )
}
