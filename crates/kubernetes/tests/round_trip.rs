//! What is written is read back as the same object, whatever texts it holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use ambit_kubernetes::{
    Action, AuthorizationPolicy, AuthorizationPolicySpec, ClusterIp, Condition, Container, ContainerPort,
    IpBlock, Metadata, MtlsMode, MutualTls, Object, Operation, PeerAuthentication, PeerAuthenticationSpec,
    Pod, PodCondition, PodIp, PodPhase, PodSpec, PodStatus, PortRef, Protocol, Rule, RuleFrom, RuleTo,
    Service, ServicePort, ServiceSpec, Source, WorkloadSelector, read_text, to_yaml, to_yaml_documents,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn back(text: &str) -> Vec<Object> {
    match read_text(Path::new("written.yaml"), text) {
        Ok(resources) => resources.objects.into_iter().map(|loaded| loaded.object).collect(),
        Err(problems) => panic!("{}\n{text}", problems[0]),
    }
}

/// Texts that YAML could take for something else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "y",
            "on",
            "No",
            "null",
            "~",
            "",
            "0644",
            "1_000",
            "0x1f",
            "1e3",
            "1.10",
            ".5",
            ".inf",
            "-",
            "---",
            "- a",
            "a: b",
            "a #b",
            "#",
            "!t",
            "&a",
            "*a",
            "<<",
            "{}",
            "[",
            "|",
            ">",
            "%",
            "@",
            "`",
            "'",
            "\"",
            "\\",
            " a ",
            "\t",
            "a\nb",
            "a\n",
            "\n",
            "\r\n",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{0}",
            "\u{7f}",
            "2026-01-01",
            "12:30:45",
            "true",
            "=",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        "[a-z0-9]{1,8}",
    ]
}

fn filled() -> impl Strategy<Value = String> {
    text().prop_filter("a policy holds no empty texts", |text| !text.is_empty())
}

prop_compose! {
    fn metadata()(labels in btree_map(text(), text(), 0..4), annotations in btree_map("[a-z]{1,5}", text(), 0..4),
                  uid in option::of(filled()), seconds in option::of(0..4_000_000_000_i64)) -> Metadata {
        let mut metadata = Metadata { labels, annotations, uid, ..Metadata::named("default", "thing") };
        metadata.labels.remove(ambit_kubernetes::labels::DATAPLANE_MODE);
        metadata.creation_timestamp = seconds.map(|seconds| jiff::Timestamp::from_second(seconds).unwrap());
        metadata
    }
}

prop_compose! {
    fn pod()(metadata in metadata(), ready in text(), port in 1..=u16::MAX, host_network in any::<bool>(),
             address in prop_oneof![Just("10.0.0.1"), Just("fd00::1")]) -> Object {
        Pod {
            metadata,
            spec: PodSpec {
                node_name: Some("node-a".to_owned()),
                host_network,
                containers: vec![Container {
                    name: "web".to_owned(),
                    ports: vec![ContainerPort { name: "http".to_owned(), container_port: port, protocol: Protocol::Sctp }],
                }],
                ..PodSpec::default()
            },
            status: PodStatus {
                phase: Some(PodPhase::Running),
                pod_ips: vec![PodIp { ip: address.parse().unwrap() }],
                conditions: vec![PodCondition { kind: "Ready".to_owned(), status: ready }],
                ..PodStatus::default()
            },
        }
        .into()
    }
}

prop_compose! {
    fn service()(metadata in metadata(), selector in btree_map(text(), text(), 0..3), port in 1..=u16::MAX,
                 target in option::of(prop_oneof![(1..=u16::MAX).prop_map(PortRef::Number), Just(PortRef::Name("y".to_owned()))])) -> Object {
        let port = ServicePort { name: "no".to_owned(), port, target_port: target, protocol: Protocol::Tcp, app_protocol: None };
        let cluster_ip = ClusterIp::Headless;
        Service { metadata, spec: ServiceSpec { cluster_ip, selector, ports: vec![port], ..ServiceSpec::default() } }.into()
    }
}

prop_compose! {
    fn source()(principals in vec(filled(), 1..3), not_namespaces in vec(filled(), 0..3), bits in any::<u32>(),
                prefix in 0..=32_u8) -> Source {
        let address = std::net::IpAddr::from(std::net::Ipv4Addr::from(bits));
        let block = IpBlock(ipnet::IpNet::new(address, prefix).unwrap());
        Source { principals, not_namespaces, not_ip_blocks: vec![block], ..Source::default() }
    }
}

prop_compose! {
    fn policy()(metadata in metadata(), deny in any::<bool>(), sources in vec(source(), 1..3), methods in vec(filled(), 0..3),
                header in filled(), labels in option::of(btree_map("[a-z]{1,5}", "[a-z]{0,5}", 0..3))) -> Object {
        let rule = Rule {
            from: sources.into_iter().map(|source| RuleFrom { source }).collect(),
            to: vec![RuleTo { operation: Operation { methods, ports: vec!["80".to_owned()], ..Operation::default() } }],
            when: vec![Condition { key: "request.headers[x]".to_owned(), values: vec![header], not_values: Vec::new() }],
        };
        let spec = AuthorizationPolicySpec {
            selector: labels.map(|match_labels| WorkloadSelector { match_labels }),
            rules: vec![rule, Rule::default()],
            action: if deny { Action::Deny } else { Action::Allow },
            ..AuthorizationPolicySpec::default()
        };
        AuthorizationPolicy { metadata, spec }.into()
    }
}

prop_compose! {
    fn peer()(metadata in metadata(), strict in any::<bool>(), port in 1..=u16::MAX) -> Object {
        let mode = if strict { MtlsMode::Strict } else { MtlsMode::Unset };
        let spec = PeerAuthenticationSpec {
            selector: Some(WorkloadSelector { match_labels: [("app".to_owned(), "on".to_owned())].into() }),
            mtls: Some(MutualTls { mode }),
            port_level_mtls: [(port, MutualTls { mode: MtlsMode::Permissive })].into(),
        };
        PeerAuthentication { metadata, spec }.into()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn written_then_read_is_the_same(objects in vec(prop_oneof![pod(), service(), policy(), peer()], 1..4)) {
        let text = to_yaml_documents(&objects).unwrap();
        prop_assert_eq!(back(&text), objects, "{}", text);
    }
}

#[test]
fn the_written_form_is_short_and_what_people_write() {
    let mut pod = Pod { metadata: Metadata::named("shop", "web"), ..Pod::default() };
    pod.metadata.annotations.insert("ambit.mesh/netns".to_owned(), "/run/netns/web".to_owned());
    pod.spec.node_name = Some("node-a".to_owned());
    pod.status.pod_ips = vec![PodIp { ip: "10.0.0.1".parse().unwrap() }];
    assert_eq!(
        to_yaml(&pod.into()).unwrap(),
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: shop\n  annotations:\n    ambit.mesh/netns: /run/netns/web\nspec:\n  nodeName: node-a\nstatus:\n  podIPs:\n  - ip: \"10.0.0.1\"\n"
    );
    let policy = AuthorizationPolicy {
        metadata: Metadata::named("shop", "nothing"),
        ..AuthorizationPolicy::default()
    };
    let text = to_yaml(&policy.clone().into()).unwrap();
    assert_eq!(
        text,
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: nothing\n  namespace: shop\nspec: {}\n"
    );
    assert_eq!(back(&text), [Object::from(policy)]);
}
