//! The model to Istio's messages, leaving out what the reader adds by default, as Istio's control plane does.

use ambit_model::identity::DEFAULT_TRUST_DOMAIN;
use ambit_model::policy::{Action, Clause, Match, Rule, Scope, ServiceAccount, StringMatch};
use ambit_model::service::{
    AppProtocol, BalanceMode, IpFamilies, LoadBalancing, Port, Scope as Locality, ServiceAddress, Visibility,
};
use ambit_model::workload::{Gateway, GatewayDestination, Health, NetworkMode, Tunnel, WorkloadType};
use ambit_model::{NetworkAddress, Policy, Service, Text, Workload};
use ambit_proto::istio::{security, workload as proto};
use ipnet::IpNet;

use super::address::write_ip;
use super::service::WHOLE;
use super::workload::{DEFAULT_CLUSTER, DEFAULT_SERVICE_ACCOUNT};

fn unless(text: &str, default: &str) -> String {
    if text == default { String::new() } else { text.to_owned() }
}

/// The `Address` of a workload; its resource name is the uid.
pub fn encode_workload(workload: &Workload) -> proto::Address {
    let message = proto::Workload {
        uid: workload.uid.to_string(),
        name: workload.name.to_string(),
        namespace: workload.namespace.to_string(),
        addresses: workload.addresses.iter().map(|ip| write_ip(*ip)).collect(),
        hostname: workload.hostname.to_string(),
        network: workload.network.to_string(),
        tunnel_protocol: match workload.tunnel {
            Tunnel::None => proto::TunnelProtocol::None,
            Tunnel::Hbone => proto::TunnelProtocol::Hbone,
        }
        .into(),
        trust_domain: unless(workload.identity.trust_domain(), DEFAULT_TRUST_DOMAIN),
        service_account: unless(workload.identity.service_account(), DEFAULT_SERVICE_ACCOUNT),
        waypoint: workload.waypoint.as_deref().map(write_gateway),
        network_gateway: workload.network_gateway.as_deref().map(write_gateway),
        node: workload.node.to_string(),
        canonical_name: workload.canonical_name.to_string(),
        canonical_revision: workload.canonical_revision.to_string(),
        workload_type: match workload.workload_type {
            WorkloadType::Deployment => proto::WorkloadType::Deployment,
            WorkloadType::CronJob => proto::WorkloadType::Cronjob,
            WorkloadType::Pod => proto::WorkloadType::Pod,
            WorkloadType::Job => proto::WorkloadType::Job,
        }
        .into(),
        workload_name: workload.workload_name.to_string(),
        native_tunnel: workload.native_tunnel,
        application_tunnel: workload.application_tunnel.map(|tunnel| proto::ApplicationTunnel {
            protocol: match tunnel.proxy_protocol {
                true => proto::application_tunnel::Protocol::Proxy,
                false => proto::application_tunnel::Protocol::None,
            }
            .into(),
            port: tunnel.port.unwrap_or(0).into(),
        }),
        services: workload.services.iter().map(|(key, ports)| (key.to_string(), write_list(ports))).collect(),
        authorization_policies: workload.policies.iter().map(Text::to_string).collect(),
        status: match workload.health {
            Health::Healthy => proto::WorkloadStatus::Healthy,
            Health::Unhealthy => proto::WorkloadStatus::Unhealthy,
        }
        .into(),
        cluster_id: unless(&workload.cluster, DEFAULT_CLUSTER),
        locality: write_locality(&workload.locality),
        network_mode: match workload.network_mode {
            NetworkMode::Standard => proto::NetworkMode::Standard,
            NetworkMode::HostNetwork => proto::NetworkMode::HostNetwork,
        }
        .into(),
        extensions: Vec::new(),
        capacity: (workload.capacity != 1).then_some(workload.capacity),
    };
    proto::Address { r#type: Some(proto::address::Type::Workload(message)) }
}

/// The `Address` of a service; its resource name is `namespace/hostname`.
///
/// Several waypoints are sent as weighted ones, with the first also as `waypoint`, so that a reader that does not
/// know weights still sends everything through a waypoint.
pub fn encode_service(service: &Service) -> proto::Address {
    let alone = matches!(service.waypoints.as_slice(), [(_, WHOLE)]);
    let weighted = if alone { &[] } else { service.waypoints.as_slice() };
    let message = proto::Service {
        name: service.name.to_string(),
        namespace: service.key.namespace.to_string(),
        hostname: service.key.hostname.to_string(),
        addresses: service.addresses.iter().map(write_address).collect(),
        ports: write_list(&service.ports).ports,
        subject_alt_names: service.subject_alt_names.iter().map(Text::to_string).collect(),
        waypoint: service.waypoints.first().map(|(gateway, _)| write_gateway(gateway)),
        load_balancing: (service.load_balancing != LoadBalancing::default())
            .then(|| write_balancing(&service.load_balancing)),
        ip_families: match service.ip_families {
            IpFamilies::Automatic => proto::IpFamilies::Automatic,
            IpFamilies::V4 => proto::IpFamilies::Ipv4Only,
            IpFamilies::V6 => proto::IpFamilies::Ipv6Only,
            IpFamilies::Dual => proto::IpFamilies::Dual,
        }
        .into(),
        extensions: Vec::new(),
        canonical: service.canonical,
        ingress_use_waypoint: service.ingress_use_waypoint,
        weighted_waypoints: weighted
            .iter()
            .map(|(gateway, weight)| proto::WeightedWaypoint {
                destination: Some(write_gateway(gateway)),
                weight: *weight,
            })
            .collect(),
        visibility: match service.visibility {
            Visibility::Public => proto::service::Visibility::Public,
            Visibility::Namespace => proto::service::Visibility::Namespace,
        }
        .into(),
    };
    proto::Address { r#type: Some(proto::address::Type::Service(message)) }
}

fn write_locality(locality: &ambit_model::workload::Locality) -> Option<proto::Locality> {
    (*locality != ambit_model::workload::Locality::default()).then(|| proto::Locality {
        region: locality.region.to_string(),
        zone: locality.zone.to_string(),
        subzone: locality.subzone.to_string(),
    })
}

fn write_gateway(gateway: &Gateway) -> proto::GatewayAddress {
    use proto::gateway_address::Destination;
    let destination = match &gateway.destination {
        GatewayDestination::Service(key) => Destination::Hostname(proto::NamespacedHostname {
            namespace: key.namespace.to_string(),
            hostname: key.hostname.to_string(),
        }),
        GatewayDestination::Address(address) => Destination::Address(write_single(address)),
    };
    proto::GatewayAddress { destination: Some(destination), hbone_mtls_port: gateway.hbone_port.into() }
}

fn write_single(address: &NetworkAddress) -> proto::NetworkAddress {
    proto::NetworkAddress {
        network: address.network.to_string(),
        address: write_ip(address.ip),
        length: None,
    }
}

fn write_address(address: &ServiceAddress) -> proto::NetworkAddress {
    match address {
        ServiceAddress::Ip(single) => write_single(single),
        ServiceAddress::Block(network, block) => proto::NetworkAddress {
            network: network.to_string(),
            address: write_ip(block.addr()),
            length: Some(block.prefix_len().into()),
        },
    }
}

fn write_list(ports: &[Port]) -> proto::PortList {
    let write = |port: &Port| proto::Port {
        service_port: port.service_port.into(),
        target_port: port.target_port.into(),
        app_protocol: match port.protocol {
            AppProtocol::Unknown => proto::AppProtocol::Unknown,
            AppProtocol::Http11 => proto::AppProtocol::Http11,
            AppProtocol::Http2 => proto::AppProtocol::Http2,
            AppProtocol::Grpc => proto::AppProtocol::Grpc,
            AppProtocol::Tcp => proto::AppProtocol::Tcp,
            AppProtocol::Tls => proto::AppProtocol::Tls,
        }
        .into(),
    };
    proto::PortList { ports: ports.iter().map(write).collect() }
}

fn write_balancing(balancing: &LoadBalancing) -> proto::LoadBalancing {
    use proto::load_balancing::{HealthPolicy, Mode, Scope};
    let scope = |scope: &Locality| match scope {
        Locality::Region => Scope::Region.into(),
        Locality::Zone => Scope::Zone.into(),
        Locality::Subzone => Scope::Subzone.into(),
        Locality::Node => Scope::Node.into(),
        Locality::Cluster => Scope::Cluster.into(),
        Locality::Network => Scope::Network.into(),
    };
    proto::LoadBalancing {
        routing_preference: balancing.preference.iter().map(scope).collect(),
        mode: match balancing.mode {
            BalanceMode::Unspecified => Mode::UnspecifiedMode,
            BalanceMode::Strict => Mode::Strict,
            BalanceMode::Failover => Mode::Failover,
            BalanceMode::Passthrough => Mode::Passthrough,
        }
        .into(),
        health_policy: match balancing.allow_unhealthy {
            false => HealthPolicy::OnlyHealthy,
            true => HealthPolicy::AllowAll,
        }
        .into(),
    }
}

/// A policy; its resource name is [`Policy::key`].
///
/// What could not be understood is sent as what it does. A policy that is unusable becomes an enforced DENY without
/// conditions; a rule that could not be decoded is left out of an ALLOW and matches always in a DENY.
pub fn encode_policy(policy: &Policy) -> security::Authorization {
    let name = policy.key.split_once('/').map_or(&*policy.key, |(_, name)| name);
    let action = if policy.unusable.is_some() { Action::Deny } else { policy.action };
    let rules = match policy.unusable {
        Some(_) => vec![security::Rule::default()],
        None => policy.rules.iter().filter_map(|rule| write_rule(rule, action)).collect(),
    };
    security::Authorization {
        name: name.to_owned(),
        namespace: policy.namespace.to_string(),
        scope: match policy.scope {
            Scope::Global => security::Scope::Global,
            Scope::Namespace => security::Scope::Namespace,
            Scope::WorkloadSelector => security::Scope::WorkloadSelector,
        }
        .into(),
        action: match action {
            Action::Allow => security::Action::Allow,
            Action::Deny => security::Action::Deny,
        }
        .into(),
        rules,
        dry_run: policy.dry_run && policy.unusable.is_none(),
        extensions: Vec::new(),
    }
}

fn write_rule(rule: &Rule, action: Action) -> Option<security::Rule> {
    match (&rule.undecodable, action) {
        (None, _) => Some(security::Rule { clauses: rule.clauses.iter().map(write_clause).collect() }),
        (Some(_), Action::Allow) => None,
        (Some(_), Action::Deny) => Some(security::Rule::default()),
    }
}

fn write_clause(clause: &Clause) -> security::Clause {
    security::Clause { matches: clause.matches.iter().map(write_match).collect() }
}

fn write_match(attributes: &Match) -> security::Match {
    let texts = |list: &[StringMatch]| list.iter().map(write_text).collect();
    let blocks = |list: &[IpNet]| list.iter().map(write_block).collect();
    let ports = |list: &[u16]| list.iter().map(|port| u32::from(*port)).collect();
    let accounts = |list: &[ServiceAccount]| list.iter().map(write_account).collect();
    security::Match {
        namespaces: texts(&attributes.namespaces),
        not_namespaces: texts(&attributes.not_namespaces),
        principals: texts(&attributes.principals),
        not_principals: texts(&attributes.not_principals),
        source_ips: blocks(&attributes.source_ips),
        not_source_ips: blocks(&attributes.not_source_ips),
        destination_ips: blocks(&attributes.destination_ips),
        not_destination_ips: blocks(&attributes.not_destination_ips),
        destination_ports: ports(&attributes.destination_ports),
        not_destination_ports: ports(&attributes.not_destination_ports),
        service_accounts: accounts(&attributes.service_accounts),
        not_service_accounts: accounts(&attributes.not_service_accounts),
        extensions: Vec::new(),
    }
}

fn write_text(text: &StringMatch) -> security::StringMatch {
    use security::string_match::MatchType;
    let kind = match text {
        StringMatch::Exact(text) => MatchType::Exact(text.to_string()),
        StringMatch::Prefix(text) => MatchType::Prefix(text.to_string()),
        StringMatch::Suffix(text) => MatchType::Suffix(text.to_string()),
        StringMatch::Presence => MatchType::Presence(()),
    };
    security::StringMatch { match_type: Some(kind) }
}

fn write_block(block: &IpNet) -> security::Address {
    security::Address { address: write_ip(block.addr()), length: block.prefix_len().into() }
}

fn write_account(account: &ServiceAccount) -> security::ServiceAccountMatch {
    security::ServiceAccountMatch {
        namespace: account.namespace.to_string(),
        service_account: account.name.to_string(),
    }
}
