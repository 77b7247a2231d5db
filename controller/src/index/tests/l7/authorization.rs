//! AuthorizationPolicies with targets, as waypoints are told.

use ambit_model::l7::matching::Values;
use ambit_model::l7::policy::{Attribute, Condition, Operation, PolicyAction, PolicyRule, Source};
use ambit_model::l7::{RequestPolicy, Resource, Target};
use ambit_model::service::ServiceKey;

use super::{Index, istio, mesh};

fn policy(spec: &str) -> (Option<RequestPolicy>, Vec<String>) {
    let index = mesh(&istio("security", "AuthorizationPolicy", "p", spec));
    (index.request_policies().pop(), index.told())
}

fn cart() -> Target {
    Target::Service(ServiceKey::new("shop", "cart.shop.svc.cluster.local"))
}

fn values<T: Clone, U: From<T>>(any: &[T], none: &[T]) -> Values<U> {
    let list = |list: &[T]| list.iter().cloned().map(U::from).collect();
    Values { any: list(any), none: list(none) }
}

impl Index {
    fn request_policies(&self) -> Vec<RequestPolicy> {
        let policies = self.l7().into_iter().filter_map(|resource| match &**resource {
            Resource::Policy(policy) => Some(policy.clone()),
            _ => None,
        });
        policies.collect()
    }
}

#[test]
fn every_field_is_told() {
    let (policy, notes) = policy(
        "targetRefs: [{kind: Service, name: cart}]\naction: DENY\nrules:\n- from:\n  - source:\n      \
         principals: [a/ns/b/sa/c]\n      notPrincipals: [d]\n      requestPrincipals: [i/s]\n      notRequestPrincipals: ['*']\n      \
         namespaces: [ns]\n      notNamespaces: [m]\n      trustDomains: [t]\n      notTrustDomains: [u]\n      \
         ipBlocks: [10.0.0.1/8]\n      notIpBlocks: [10.1.0.0/16]\n      remoteIpBlocks: [fd00::/8]\n      notRemoteIpBlocks: [fd00::1]\n  \
         - source: {serviceAccounts: [x], notServiceAccounts: [y/z]}\n  \
         to:\n  - operation:\n      hosts: [A.b]\n      notHosts: ['*.c']\n      ports: ['80']\n      notPorts: ['81']\n      \
         methods: [GET]\n      notMethods: [PUT]\n      paths: ['/a/{*}']\n      notPaths: [/b*]\n  \
         when:\n  - {key: 'request.headers[X-Team]', values: [t], notValues: [u]}\n  \
         - {key: 'request.auth.claims[realm][roles]', values: [admin]}\n  - {key: source.serviceAccount, values: [s]}\n  \
         - {key: source.trustDomain, values: [t]}\n  - {key: connection.sni, notValues: [v]}",
    );
    assert_eq!(notes, [""; 0]);
    let policy = policy.unwrap();
    assert_eq!(
        (&policy.action, policy.dry_run, &policy.targets),
        (&PolicyAction::Deny, false, &vec![cart()])
    );
    let condition =
        |key, any: &[&'static str], none: &[&'static str]| Condition { key, values: values(any, none) };
    let expected = PolicyRule {
        from: vec![
            Source {
                principals: values(&["a/ns/b/sa/c"], &["d"]),
                request_principals: values(&["i/s"], &["*"]),
                namespaces: values(&["ns"], &["m"]),
                trust_domains: values(&["t"], &["u"]),
                ip_blocks: Values {
                    any: vec!["10.0.0.0/8".parse().unwrap()],
                    none: vec!["10.1.0.0/16".parse().unwrap()],
                },
                remote_ip_blocks: Values {
                    any: vec!["fd00::/8".parse().unwrap()],
                    none: vec!["fd00::1/128".parse().unwrap()],
                },
                ..Source::default()
            },
            Source { service_accounts: values(&["shop/x"], &["y/z"]), ..Source::default() },
        ],
        to: vec![Operation {
            hosts: values(&["A.b"], &["*.c"]),
            ports: values(&[80_u16], &[81]),
            methods: values(&["GET"], &["PUT"]),
            paths: values(&["/a/{*}"], &["/b*"]),
        }],
        when: vec![
            condition(Attribute::Header("x-team".into()), &["t"], &["u"]),
            condition(Attribute::Claim(vec!["realm".into(), "roles".into()]), &["admin"], &[]),
            condition(Attribute::SourceServiceAccount, &["shop/s"], &[]),
            condition(Attribute::SourceTrustDomain, &["t"], &[]),
            condition(Attribute::ServerName, &[], &["v"]),
        ],
        undecodable: None,
    };
    assert_eq!(policy.rules, [expected]);
}

#[test]
fn targets_are_found_or_missed_aloud() {
    let gateway = |kind: &str, name: &str| {
        format!("targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: {name}}}]")
    };
    let way = Target::Gateway { namespace: "shop".into(), name: "way".into() };
    for (spec, targets, note) in [
        ("targetRef: {kind: Service, name: cart}".to_owned(), vec![cart()], None),
        (gateway("Gateway", "way"), vec![way], None),
        (
            gateway("Gateway", "gone"),
            vec![Target::Gateway { namespace: "shop".into(), name: "gone".into() }],
            Some("Gateway gone does not exist"),
        ),
        (
            "targetRefs: [{kind: Service, name: gone}]".to_owned(),
            vec![Target::Service(ServiceKey::new("shop", "gone.shop.svc.cluster.local"))],
            Some("Service gone does not exist"),
        ),
        (gateway("GatewayClass", "ambit-waypoint"), vec![], Some("in namespace istio-system only")),
    ] {
        let (policy, notes) = policy(&spec);
        assert_eq!(policy.map(|policy| policy.targets).unwrap_or_default(), targets, "{spec}");
        assert_eq!(notes.len(), usize::from(note.is_some()), "{notes:?}");
        assert!(notes.iter().all(|line| line.contains(note.unwrap())), "{notes:?}");
    }
}

#[test]
fn a_class_is_a_target_from_the_root_namespace() {
    let class = "targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: ambit-waypoint}]";
    let yaml = istio("security", "AuthorizationPolicy", "p", class).replace("shop", "istio-system");
    let policy = mesh(&yaml).request_policies().pop().unwrap();
    assert_eq!(policy.targets, [Target::GatewayClass("ambit-waypoint".into())]);
}

#[test]
fn what_cannot_be_understood_narrows() {
    for part in [
        "when: [{key: 'experimental.envoy.filters.x[y]', values: [z]}]",
        "when: [{key: 'request.headers[a][b]', values: [z]}]",
        "from: [{source: {notPrincipals: ['spiffe://a/ns/b/sa/c']}}]",
    ] {
        let spec = format!("targetRefs: [{{kind: Service, name: cart}}]\nrules:\n- {part}");
        let (policy, notes) = policy(&spec);
        assert!(policy.unwrap().rules[0].undecodable.is_some(), "{part}");
        assert!(notes[0].contains("PartiallyInvalid") && notes[0].contains("it allows nothing"), "{notes:?}");
    }
}

#[test]
fn a_provider_that_nobody_configured_is_reported() {
    let spec =
        "targetRefs: [{kind: Service, name: cart}]\naction: CUSTOM\nprovider: {name: opa}\nrules: [{}]";
    let (policy, notes) = policy(spec);
    assert_eq!(policy.unwrap().action, PolicyAction::Custom("opa".into()));
    assert!(notes[0].contains("\"opa\" is not in the mesh's extensionProviders"), "{notes:?}");
}

#[test]
fn a_policy_without_targets_is_none_of_a_waypoints() {
    assert_eq!(policy("rules: [{to: [{operation: {methods: [GET]}}]}]").0, None);
}
