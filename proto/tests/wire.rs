//! Pins the number, type and order of every field: each message with all of its fields set, beside its bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Debug;

use ambit_proto::envoy::core::{self, ControlPlane, Node};
use ambit_proto::envoy::discovery::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource, resource::CacheControl,
};
use ambit_proto::google::rpc::Status;
use ambit_proto::istio::auth::{IstioCertificateRequest, IstioCertificateResponse};
use ambit_proto::istio::security::{
    self, Authorization, Clause, Match, Rule, ServiceAccountMatch, StringMatch, string_match::MatchType,
};
use ambit_proto::istio::workload::{
    Address, ApplicationTunnel, Extension, GatewayAddress, LoadBalancing, Locality, NamespacedHostname,
    NetworkAddress, Port, PortList, Service, WeightedWaypoint, Workload, address, gateway_address,
};
use ambit_proto::istio::zds::{
    Ack, AddWorkload, DelWorkload, KeepWorkload, SnapshotSent, WorkloadInfo, WorkloadRequest,
    WorkloadResponse, ZdsHello, workload_request, workload_response,
};
use ambit_proto::{ADDRESS_TYPE, AUTHORIZATION_TYPE, WORKLOAD_TYPE};
use prost::{Message, Name};
use prost_types::{Any, Duration, Struct};

/// The message is these bytes, and these bytes are the message.
#[track_caller]
fn pin<M: Message + Default + PartialEq + Debug>(message: M, fields: &[&str]) {
    let digits: String = fields.concat().split_whitespace().collect();
    let bytes: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    assert_eq!(message.encode_to_vec(), bytes, "{message:?}");
    assert_eq!(M::decode(bytes.as_slice()).unwrap(), message);
}

fn letter(letter: char) -> String {
    letter.to_string()
}

fn any() -> Any {
    Any { type_url: letter('t'), value: vec![9] }
}

fn named(name: char) -> Extension {
    Extension { name: letter(name), config: None }
}

fn port(port: u32) -> Port {
    Port { service_port: port, target_port: 0, app_protocol: 0 }
}

fn gateway(port: u32) -> GatewayAddress {
    GatewayAddress { destination: None, hbone_mtls_port: port }
}

#[test]
fn zds_messages() {
    pin(ZdsHello { version: 1 }, &["08 01"]);
    pin(
        WorkloadInfo { name: letter('n'), namespace: letter('s'), service_account: letter('a') },
        &["0a 01 6e", "12 01 73", "1a 01 61"],
    );
    let add = AddWorkload { uid: letter('u'), workload_info: Some(WorkloadInfo::default()) };
    pin(add.clone(), &["0a 01 75", "12 00"]);
    pin(KeepWorkload { uid: letter('u') }, &["0a 01 75"]);
    pin(DelWorkload { uid: letter('u') }, &["12 01 75"]);
    pin(Ack { error: letter('e') }, &["0a 01 65"]);

    let request = |payload| WorkloadRequest { payload: Some(payload) };
    pin(request(workload_request::Payload::Add(add)), &["0a 05 0a 01 75 12 00"]);
    pin(request(workload_request::Payload::Del(DelWorkload { uid: letter('u') })), &["12 03 12 01 75"]);
    pin(request(workload_request::Payload::SnapshotSent(SnapshotSent {})), &["1a 00"]);
    pin(request(workload_request::Payload::Keep(KeepWorkload { uid: letter('u') })), &["2a 03 0a 01 75"]);

    let ack = |error: &str| WorkloadResponse {
        payload: Some(workload_response::Payload::Ack(Ack { error: error.to_owned() })),
    };
    pin(ack(""), &["0a 00"]);
    pin(ack("e"), &["0a 03 0a 01 65"]);
}

#[test]
fn workload() {
    pin(
        Workload {
            name: letter('n'),
            namespace: letter('s'),
            addresses: vec![vec![10, 0, 0, 1], vec![0; 16]],
            network: letter('k'),
            tunnel_protocol: 1,
            trust_domain: letter('d'),
            service_account: letter('a'),
            waypoint: Some(gateway(1)),
            node: letter('o'),
            canonical_name: letter('c'),
            canonical_revision: letter('r'),
            workload_type: 2,
            workload_name: letter('w'),
            native_tunnel: true,
            authorization_policies: vec![letter('p'), letter('q')],
            status: 1,
            cluster_id: letter('i'),
            network_gateway: Some(gateway(2)),
            uid: letter('u'),
            hostname: letter('h'),
            services: [
                (letter('x'), PortList { ports: vec![] }),
                (letter('y'), PortList { ports: vec![port(5)] }),
            ]
            .into(),
            application_tunnel: Some(ApplicationTunnel { protocol: 1, port: 8 }),
            locality: Some(Locality { region: letter('r'), zone: letter('z'), subzone: letter('b') }),
            network_mode: 1,
            extensions: vec![named('e')],
            capacity: Some(7),
        },
        &[
            "0a 01 6e",                               // 1 name
            "12 01 73",                               // 2 namespace
            "1a 04 0a000001",                         // 3 addresses
            "1a 10 00000000000000000000000000000000", // 3 addresses
            "22 01 6b",                               // 4 network
            "28 01",                                  // 5 tunnel_protocol
            "32 01 64",                               // 6 trust_domain
            "3a 01 61",                               // 7 service_account
            "42 02 1801",                             // 8 waypoint
            "4a 01 6f",                               // 9 node
            "52 01 63",                               // 10 canonical_name
            "5a 01 72",                               // 11 canonical_revision
            "60 02",                                  // 12 workload_type
            "6a 01 77",                               // 13 workload_name
            "70 01",                                  // 14 native_tunnel
            "8201 01 70",                             // 16 authorization_policies
            "8201 01 71",                             // 16 authorization_policies
            "8801 01",                                // 17 status
            "9201 01 69",                             // 18 cluster_id
            "9a01 02 1802",                           // 19 network_gateway
            "a201 01 75",                             // 20 uid
            "aa01 01 68",                             // 21 hostname
            "b201 03 0a0178",                         // 22 services, an empty list is the default
            "b201 09 0a0179 1204 0a020805",           // 22 services
            "ba01 04 0801 1008",                      // 23 application_tunnel
            "c201 09 0a0172 12017a 1a0162",           // 24 locality
            "c801 01",                                // 25 network_mode
            "d201 03 0a0165",                         // 26 extensions
            "da01 02 0807",                           // 27 capacity
        ],
    );
}

#[test]
fn service() {
    let address = NetworkAddress { network: letter('k'), address: vec![10, 0, 0, 1], length: Some(0) };
    pin(
        Service {
            name: letter('n'),
            namespace: letter('s'),
            hostname: letter('h'),
            addresses: vec![address],
            ports: vec![Port { service_port: 80, target_port: 81, app_protocol: 4 }],
            subject_alt_names: vec![letter('a')],
            waypoint: Some(gateway(1)),
            load_balancing: Some(LoadBalancing { routing_preference: vec![1, 6], mode: 2, health_policy: 1 }),
            ip_families: 3,
            extensions: vec![named('e')],
            canonical: true,
            ingress_use_waypoint: true,
            weighted_waypoints: vec![WeightedWaypoint { destination: Some(gateway(2)), weight: 9 }],
            visibility: 1,
        },
        &[
            "0a 01 6e",
            "12 01 73",
            "1a 01 68",
            "22 0b 0a016b 12040a000001 1800", // 4 addresses: a length of 0 is sent, it means everything
            "2a 06 0850 1051 1804",
            "32 01 61",
            "3a 02 1801",
            "42 08 0a020106 1002 1801",
            "48 03",
            "52 03 0a0165",
            "58 01",
            "60 01",
            "6a 06 0a021802 1009",
            "70 01",
        ],
    );
}

#[test]
fn gateways_and_addresses() {
    pin(
        GatewayAddress {
            destination: Some(gateway_address::Destination::Hostname(NamespacedHostname {
                namespace: letter('s'),
                hostname: letter('h'),
            })),
            hbone_mtls_port: 15008,
        },
        &["0a 06 0a0173 120168", "18 a075"],
    );
    pin(
        GatewayAddress {
            destination: Some(gateway_address::Destination::Address(NetworkAddress {
                network: letter('k'),
                address: vec![],
                length: None,
            })),
            hbone_mtls_port: 0,
        },
        &["12 03 0a016b"],
    );
    pin(Extension { name: letter('e'), config: Some(any()) }, &["0a 01 65", "12 06 0a0174 120109"]);
    pin(Address { r#type: Some(address::Type::Workload(Workload::default())) }, &["0a 00"]);
    pin(Address { r#type: Some(address::Type::Service(Service::default())) }, &["12 00"]);
}

#[test]
fn authorization() {
    let exact = |text: char| StringMatch { match_type: Some(MatchType::Exact(letter(text))) };
    let range = |length| security::Address { address: vec![], length };
    let account = |name| ServiceAccountMatch { namespace: letter('s'), service_account: letter(name) };
    pin(
        Authorization {
            name: letter('n'),
            namespace: letter('s'),
            scope: 2,
            action: 1,
            rules: vec![Rule { clauses: vec![Clause { matches: vec![Match::default()] }] }],
            dry_run: true,
            extensions: vec![named('e')],
        },
        &["0a 01 6e", "12 01 73", "18 02", "20 01", "2a 04 0a021200", "30 01", "3a 03 0a0165"],
    );
    pin(
        Match {
            namespaces: vec![exact('a')],
            not_namespaces: vec![exact('b')],
            principals: vec![exact('c')],
            not_principals: vec![exact('d')],
            source_ips: vec![range(5)],
            not_source_ips: vec![range(6)],
            destination_ips: vec![range(7)],
            not_destination_ips: vec![range(8)],
            destination_ports: vec![80, 443],
            not_destination_ports: vec![22],
            service_accounts: vec![account('x')],
            not_service_accounts: vec![account('y')],
            extensions: vec![named('e')],
        },
        &[
            "0a 03 0a0161",
            "12 03 0a0162",
            "1a 03 0a0163",
            "22 03 0a0164",
            "2a 02 1005",
            "32 02 1006",
            "3a 02 1007",
            "42 02 1008",
            "4a 03 50bb03",
            "52 01 16",
            "5a 06 0a0173 120178",
            "62 06 0a0173 120179",
            "6a 03 0a0165",
        ],
    );
    pin(security::Address { address: vec![10, 0, 0, 0], length: 8 }, &["0a 04 0a000000", "10 08"]);
    let text = |match_type| StringMatch { match_type: Some(match_type) };
    pin(text(MatchType::Exact(letter('a'))), &["0a 01 61"]);
    pin(text(MatchType::Prefix(letter('a'))), &["12 01 61"]);
    pin(text(MatchType::Suffix(letter('a'))), &["1a 01 61"]);
    pin(text(MatchType::Presence(())), &["22 00"]);
}

#[test]
fn certificates() {
    pin(
        IstioCertificateRequest {
            csr: letter('c'),
            validity_duration: 86_400,
            metadata: Some(Struct::default()),
        },
        &["0a 01 63", "18 80a305", "22 00"],
    );
    pin(IstioCertificateResponse { cert_chain: vec![letter('l'), letter('r')] }, &["0a 01 6c", "0a 01 72"]);
}

#[test]
fn discovery() {
    let locality = core::Locality { region: letter('r'), zone: letter('z'), sub_zone: letter('s') };
    let node = Node {
        id: letter('i'),
        cluster: letter('c'),
        metadata: Some(Struct::default()),
        locality: Some(locality),
    };
    pin(node.clone(), &["0a 01 69", "12 01 63", "1a 00", "22 09 0a0172 12017a 1a0173"]);
    pin(
        Status { code: 3, message: letter('m'), details: vec![any()] },
        &["08 03", "12 01 6d", "1a 06 0a0174 120109"],
    );
    pin(
        DeltaDiscoveryRequest {
            node: Some(Node::default()),
            type_url: letter('t'),
            resource_names_subscribe: vec![letter('s')],
            resource_names_unsubscribe: vec![letter('u')],
            initial_resource_versions: [(letter('n'), letter('v'))].into(),
            response_nonce: letter('r'),
            error_detail: Some(Status::default()),
        },
        &["0a 00", "12 01 74", "1a 01 73", "22 01 75", "2a 06 0a016e 120176", "32 01 72", "3a 00"],
    );
    pin(
        DeltaDiscoveryResponse {
            system_version_info: letter('v'),
            resources: vec![Resource::default()],
            type_url: letter('t'),
            nonce: letter('n'),
            removed_resources: vec![letter('r')],
            control_plane: Some(ControlPlane { identifier: letter('i') }),
        },
        &["0a 01 76", "12 00", "22 01 74", "2a 01 6e", "32 01 72", "3a 03 0a0169"],
    );
    pin(
        Resource {
            version: letter('v'),
            resource: Some(any()),
            name: letter('n'),
            aliases: vec![letter('a')],
            ttl: Some(Duration { seconds: 1, nanos: 0 }),
            cache_control: Some(CacheControl { do_not_cache: true }),
        },
        &["0a 01 76", "12 06 0a0174 120109", "1a 01 6e", "22 01 61", "32 02 0801", "3a 02 0801"],
    );
}

#[test]
fn type_urls() {
    assert_eq!(Address::type_url(), ADDRESS_TYPE);
    assert_eq!(Workload::type_url(), WORKLOAD_TYPE);
    assert_eq!(Authorization::type_url(), AUTHORIZATION_TYPE);
}

#[test]
fn unknown_enum_values_survive() {
    let workload = Workload::decode([0x28, 99].as_slice()).unwrap();
    assert_eq!(workload.tunnel_protocol, 99);
    assert_eq!(workload.encode_to_vec(), [0x28, 99]);

    let policy = Authorization::decode([0x18, 77, 0x20, 78].as_slice()).unwrap();
    assert_eq!((policy.scope, policy.action), (77, 78));
    assert_eq!(security::Action::try_from(policy.action).ok(), None);
}

#[test]
fn unknown_fields_are_skipped() {
    let hello = ZdsHello::decode([0x7a, 1, 0, 8, 1].as_slice()).unwrap();
    assert_eq!(hello, ZdsHello { version: 1 });
}
