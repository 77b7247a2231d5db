//! Round trips, and that nothing unreadable ever widens access (A12).

mod evaluate;
mod generate;

use ambit_model::policy::Scope;
use ambit_model::{Change, Text};
use ambit_proto::istio::{security, workload as proto};
use proptest::prelude::*;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::fields::{Fields, Value};
use super::*;
use evaluate::allows;
use generate::{connection, policy, service, workload};

fn policy_of(message: &security::Authorization) -> (ambit_model::Policy, Option<Rejection>) {
    let name: Text = format!("{}/{}", message.namespace, message.name).into();
    decode_policy(&message.encode_to_vec(), &name, None, &mut Texts::default())
}

fn address_of(address: &proto::Address, name: &str) -> Result<Change, Rejection> {
    decode_address(&address.encode_to_vec(), &name.into(), &mut Texts::default())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn workloads_round_trip(workload in workload()) {
        let change = address_of(&encode_workload(&workload), &workload.uid);
        prop_assert_eq!(change, Ok(Change::Workload(Box::new(workload))));
    }

    #[test]
    fn services_round_trip(service in service()) {
        let change = address_of(&encode_service(&service), &service.key.to_string());
        prop_assert_eq!(change, Ok(Change::Service(Box::new(service))));
    }

    #[test]
    fn policies_round_trip(policy in policy()) {
        let (decoded, rejection) = policy_of(&encode_policy(&policy));
        prop_assert_eq!(rejection, None);
        prop_assert_eq!(decoded, policy);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), name in ".{0,12}") {
        let name: Text = name.into();
        let (policy, rejection) = decode_policy(&bytes, &name, None, &mut Texts::default());
        prop_assert_eq!(&policy.key, &name);
        prop_assert_eq!(rejection.is_some(), is_flagged(&policy));
        let _ = decode_address(&bytes, &name, &mut Texts::default());
    }

    #[test]
    fn damaged_policies_never_panic_and_damage_is_reported(
        policy in policy(), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut bytes = encode_policy(&policy).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let (decoded, rejection) = decode_policy(&bytes, &policy.key, None, &mut Texts::default());
        prop_assert_eq!(rejection.is_some(), is_flagged(&decoded));
    }

    /// A12: a field that is not known, in any message of a policy, narrows and is reported.
    #[test]
    fn an_unknown_field_never_widens(
        policy in policy(), connection in connection(), number in 14u32..20, wire in 0usize..3,
    ) {
        let wire = [WireType::Varint, WireType::LengthDelimited, WireType::ThirtyTwoBit][wire];
        let bytes = encode_policy(&policy).encode_to_vec();
        for mutated in with_unknown(Shape::Authorization, &bytes, number, wire) {
            let (decoded, rejection) = decode_policy(&mutated, &policy.key, None, &mut Texts::default());
            prop_assert!(rejection.is_some() && is_flagged(&decoded), "{:?}", decoded);
            prop_assert!(!allows(&decoded, &connection) || allows(&policy, &connection), "{:?}", decoded);
        }
    }

    /// A policy that was narrowed is passed on as narrow as it is.
    #[test]
    fn what_is_flagged_is_encoded_as_what_it_does(
        mut policy in policy(), connection in connection(), flags: [bool; 4], unusable: bool,
    ) {
        for (rule, flag) in policy.rules.iter_mut().zip(flags) {
            rule.undecodable = flag.then(|| "unknown".into());
        }
        policy.unusable = unusable.then(|| "unknown".into());
        let (decoded, rejection) = policy_of(&encode_policy(&policy));
        prop_assert_eq!(rejection, None);
        prop_assert_eq!(allows(&decoded, &connection), allows(&policy, &connection));
        prop_assert_eq!(decoded.scope, policy.scope);
    }
}

fn is_flagged(policy: &ambit_model::Policy) -> bool {
    policy.unusable.is_some() || policy.rules.iter().any(|rule| rule.undecodable.is_some())
}

#[derive(Clone, Copy)]
enum Shape {
    Authorization,
    Rule,
    Clause,
    Match,
    Leaf,
}

impl Shape {
    fn child(self, number: u32) -> Option<Self> {
        match (self, number) {
            (Self::Authorization, 5) => Some(Self::Rule),
            (Self::Rule, 1) => Some(Self::Clause),
            (Self::Clause, 2) => Some(Self::Match),
            (Self::Match, 1..=8 | 11 | 12) => Some(Self::Leaf),
            _ => None,
        }
    }
}

/// The message with an unknown field put into it, and into each message within it, one at a time.
fn with_unknown(shape: Shape, bytes: &[u8], number: u32, wire: WireType) -> Vec<Vec<u8>> {
    let mut own = bytes.to_vec();
    encode_key(number, wire, &mut own);
    own.extend_from_slice(match wire {
        WireType::Varint => &[1],
        WireType::LengthDelimited => &[1, b'x'],
        _ => &[1, 2, 3, 4],
    });
    let mut variants = vec![own];
    for (at, field) in Fields::new(bytes).enumerate() {
        let (number_of_child, value) = field.unwrap();
        let (Some(child), Value::Bytes(content)) = (shape.child(number_of_child), value) else { continue };
        for variant in with_unknown(child, content, number, wire) {
            variants.push(replaced(bytes, at, &variant));
        }
    }
    variants
}

/// The message with the content of its field number `at` replaced.
fn replaced(bytes: &[u8], at: usize, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, field) in Fields::new(bytes).enumerate() {
        match field.unwrap() {
            (number, Value::Bytes(old)) => {
                let content = if index == at { content } else { old };
                encode_key(number, WireType::LengthDelimited, &mut out);
                encode_varint(content.len() as u64, &mut out);
                out.extend_from_slice(content);
            }
            (number, Value::Number(value)) => {
                encode_key(number, WireType::Varint, &mut out);
                encode_varint(value, &mut out);
            }
            (_, Value::Fixed) => unreachable!("no field of a policy is of fixed width"),
        }
    }
    out
}

fn authorization(matches: security::Match) -> security::Authorization {
    let clause = security::Clause { matches: vec![matches] };
    security::Authorization {
        name: "p".into(),
        namespace: "ns".into(),
        rules: vec![security::Rule { clauses: vec![clause] }],
        ..Default::default()
    }
}

/// A12: each thing that a rule may hold and that cannot be read.
#[test]
fn an_unreadable_condition_makes_its_rule_undecodable() {
    let block = |address: &[u8], length| vec![security::Address { address: address.to_vec(), length }];
    let cases = [
        security::Match { source_ips: block(&[10, 0, 0, 0], 33), ..Default::default() },
        security::Match { not_source_ips: block(&[0; 16], 129), ..Default::default() },
        security::Match { destination_ips: block(&[1, 2, 3], 8), ..Default::default() },
        security::Match { not_destination_ips: block(&[], 0), ..Default::default() },
        security::Match { destination_ports: vec![80, 65616], ..Default::default() },
        security::Match { not_destination_ports: vec![0], ..Default::default() },
        security::Match { principals: vec![Default::default()], ..Default::default() },
        security::Match { extensions: vec![Default::default()], ..Default::default() },
    ];
    for matches in cases {
        let message = authorization(matches);
        let (policy, rejection) = policy_of(&message);
        assert!(policy.rules[0].undecodable.is_some(), "{message:?}");
        assert_eq!(policy.unusable, None);
        assert!(rejection.unwrap().to_string().starts_with("ns/p: rule 0: "), "{message:?}");
    }
}

#[test]
fn a_long_text_is_no_pattern_and_no_problem() {
    use security::string_match::MatchType;
    let long = "(a+)+".repeat(200_000);
    let text = security::StringMatch { match_type: Some(MatchType::Exact(long.clone())) };
    let message = authorization(security::Match { principals: vec![text], ..Default::default() });
    let (policy, rejection) = policy_of(&message);
    assert_eq!(rejection, None);
    assert!(policy.rules[0].clauses[0].matches[0].principals[0].matches(&long));
}

#[test]
fn what_is_unknown_outside_of_the_rules_makes_the_policy_unusable() {
    let base = authorization(security::Match::default());
    let cases = [
        (security::Authorization { scope: 9, ..base.clone() }, Scope::Namespace),
        (security::Authorization { scope: 2, action: 9, ..base.clone() }, Scope::WorkloadSelector),
        (security::Authorization { extensions: vec![Default::default()], ..base.clone() }, Scope::Global),
        (security::Authorization { dry_run: true, action: -1, ..base }, Scope::Global),
    ];
    for (message, scope) in cases {
        let (policy, rejection) = policy_of(&message);
        assert!(policy.unusable.is_some() && rejection.is_some(), "{message:?}");
        assert_eq!((policy.scope, policy.dry_run, &*policy.namespace), (scope, false, "ns"), "{message:?}");
    }
}

#[test]
fn a_policy_of_which_nothing_can_be_read_denies_where_its_name_says() {
    for (name, scope, namespace) in
        [("shop/p", Scope::Namespace, "shop"), ("/p", Scope::Global, ""), ("p", Scope::Global, "")]
    {
        let (policy, rejection) = decode_policy(&[0xff; 3], &name.into(), None, &mut Texts::default());
        assert_eq!((policy.scope, &*policy.namespace), (scope, namespace));
        assert!(policy.unusable.is_some());
        assert_eq!(&*rejection.unwrap().name, name);
    }
    let mismatched = authorization(security::Match::default()).encode_to_vec();
    let (policy, _) = decode_policy(&mismatched, &"ns/other".into(), None, &mut Texts::default());
    assert!(policy.unusable.is_some_and(|reason| reason.contains("ns/p")));
}

#[test]
fn the_wire_has_defaults() {
    let message = proto::Workload {
        uid: "c//Pod/ns/p".into(),
        name: "p".into(),
        namespace: "ns".into(),
        ..Default::default()
    };
    let wrap = |workload| proto::Address { r#type: Some(proto::address::Type::Workload(workload)) };
    let Ok(Change::Workload(workload)) = address_of(&wrap(message.clone()), "c//Pod/ns/p") else {
        panic!("refused")
    };
    assert_eq!(workload.identity.to_string(), "spiffe://cluster.local/ns/ns/sa/default");
    assert_eq!((&*workload.cluster, workload.capacity), ("Kubernetes", 1));
    let plain = ambit_model::Workload::new("c//Pod/ns/p", "p", "ns").unwrap();
    let expected = proto::Workload { workload_type: proto::WorkloadType::Pod.into(), ..message.clone() };
    assert_eq!(encode_workload(&plain), wrap(expected), "defaults are left out");

    let refused = [
        proto::Workload { tunnel_protocol: 2, ..message.clone() },
        proto::Workload { tunnel_protocol: 9, ..message.clone() },
        proto::Workload { addresses: vec![vec![1, 2, 3]], ..message.clone() },
        proto::Workload { namespace: String::new(), ..message.clone() },
        proto::Workload { uid: "other".into(), ..message.clone() },
        proto::Workload { services: [("nohost".to_owned(), Default::default())].into(), ..message },
    ];
    for workload in refused {
        let refused = address_of(&wrap(workload.clone()), "c//Pod/ns/p");
        assert!(refused.is_err_and(|rejection| &*rejection.name == "c//Pod/ns/p"), "{workload:?}");
    }
    assert!(address_of(&proto::Address::default(), "x").is_err());
}

#[test]
fn service_ports_and_blocks_are_checked() {
    let wrap = |service| proto::Address { r#type: Some(proto::address::Type::Service(service)) };
    let message = proto::Service { namespace: "ns".into(), hostname: "h.ns".into(), ..Default::default() };
    let block = |length| proto::NetworkAddress { network: "".into(), address: vec![10, 0, 0, 0], length };
    let port = |service_port| proto::Port { service_port, ..Default::default() };
    for (service, good) in [
        (proto::Service { ports: vec![port(65535)], ..message.clone() }, true),
        (proto::Service { ports: vec![port(65616)], ..message.clone() }, false),
        (
            proto::Service {
                addresses: vec![block(Some(8)), block(Some(32)), block(None)],
                ..message.clone()
            },
            true,
        ),
        (proto::Service { addresses: vec![block(Some(33))], ..message.clone() }, false),
        (proto::Service { waypoint: Some(Default::default()), ..message.clone() }, false),
        (proto::Service { hostname: String::new(), ..message }, false),
    ] {
        assert_eq!(address_of(&wrap(service.clone()), "ns/h.ns").is_ok(), good, "{service:?}");
    }
}

#[test]
fn claims_are_read_whatever_else_is_wrong() {
    use ambit_model::NetworkAddress;
    use ambit_model::service::ServiceAddress;
    let claims = |kind| {
        let address = proto::Address { r#type: Some(kind) };
        decode_claims(&address.encode_to_vec(), &mut Texts::default())
    };
    let single =
        |network: &str, ip: [u8; 4]| ServiceAddress::Ip(NetworkAddress::new(network.into(), ip.into()));
    let workload = proto::Workload {
        addresses: vec![vec![10, 0, 0, 1], vec![1]],
        network: "n".into(),
        tunnel_protocol: 9,
        ..Default::default()
    };
    let found = claims(proto::address::Type::Workload(workload.clone()));
    assert_eq!(found, Some(vec![single("n", [10, 0, 0, 1])]));
    let host = proto::Workload { network_mode: proto::NetworkMode::HostNetwork.into(), ..workload };
    assert_eq!(claims(proto::address::Type::Workload(host)), Some(Vec::new()));
    let address = |length| proto::NetworkAddress { network: "n".into(), address: vec![10, 0, 0, 0], length };
    let service = proto::Service {
        addresses: vec![address(None), address(Some(8)), address(Some(99))],
        waypoint: Some(Default::default()),
        ..Default::default()
    };
    let block = ServiceAddress::Block("n".into(), "10.0.0.0/8".parse().unwrap());
    let ip = single("n", [10, 0, 0, 0]);
    assert_eq!(claims(proto::address::Type::Service(service)), Some(vec![ip.clone(), block, ip]));
    assert_eq!(decode_claims(&[0xff], &mut Texts::default()), None);
    assert_eq!(decode_claims(&[], &mut Texts::default()), None);
}
