//! AuthorizationPolicies (facts: section 1.5; docs/decisions/0003-where-authorization-is-narrower-than-istios.md).

use ambit_model::Policy;
use ambit_model::policy::{Action, Clause, Match, Rule, Scope, ServiceAccount, StringMatch};

use super::index;

fn policy(namespace: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: {namespace}}}, spec: {{{spec}}}}}"
    )
}

fn converted(spec: &str) -> (Policy, Vec<String>) {
    let index = index(&policy("shop", spec));
    (index.policy("shop/p").clone(), index.notes().to_vec())
}

fn rules(spec: &str) -> Vec<Rule> {
    let (policy, notes) = converted(spec);
    assert_eq!(notes, [""; 0], "{spec}");
    policy.rules
}

fn rule(clauses: &[&[Match]]) -> Rule {
    let clause = |matches: &&[Match]| Clause { matches: matches.to_vec() };
    Rule { clauses: clauses.iter().map(clause).collect(), undecodable: None }
}

#[test]
fn scopes_follow_selector_and_namespace() {
    for (namespace, spec, scope) in [
        ("shop", "", Scope::Namespace),
        ("istio-system", "", Scope::Global),
        ("shop", "selector: {matchLabels: {app: a}}", Scope::WorkloadSelector),
        ("istio-system", "selector: {matchLabels: {app: a}}", Scope::WorkloadSelector),
    ] {
        let index = index(&policy(namespace, spec));
        let policy = index.policy(&format!("{namespace}/p"));
        assert_eq!((policy.scope, &*policy.namespace), (scope, namespace), "{spec}");
    }
}

#[test]
fn an_empty_policy_allows_nothing_and_an_empty_rule_everything() {
    assert!(rules("").is_empty());
    assert_eq!(rules("rules: [{}]"), [rule(&[])]);
}

#[test]
fn selectors_pick_pods_of_their_own_namespace_or_of_all_for_the_root() {
    let pods = "\
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {app: a, tier: web}}, status: {podIP: 10.0.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: shop, labels: {app: b}}, status: {podIP: 10.0.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: other, labels: {app: a}}, status: {podIP: 10.0.0.3}}
---
";
    let selecting = "selector: {matchLabels: {app: a}}";
    let all = [pods, &policy("shop", selecting), "\n---\n", &policy("istio-system", selecting), "\n---\n"]
        .concat()
        + &policy("other", "");
    let index = index(&all);
    let listed =
        |name: &str| index.workload(name).policies.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(listed("a"), ["istio-system/p", "shop/p"]);
    assert!(listed("b").is_empty());
    assert_eq!(listed("c"), ["istio-system/p"]);
}

#[test]
fn texts_are_exact_prefix_suffix_or_presence() {
    let expected = Match {
        principals: vec![
            StringMatch::Exact("cluster.local/ns/shop/sa/web".into()),
            StringMatch::Prefix("cluster.local/ns/shop/".into()),
            StringMatch::Suffix("/sa/web".into()),
            StringMatch::Presence,
        ],
        not_namespaces: vec![StringMatch::Exact("a.b".into())],
        ..Match::default()
    };
    let source = "principals: ['cluster.local/ns/shop/sa/web', 'cluster.local/ns/shop/*', '*/sa/web', '*'], notNamespaces: [a.b]";
    assert_eq!(rules(&format!("rules: [{{from: [{{source: {{{source}}}}}]}}]")), [rule(&[&[expected]])]);
}

#[test]
fn accounts_without_namespace_are_of_the_policys() {
    let account =
        |namespace: &str, name: &str| ServiceAccount { namespace: namespace.into(), name: name.into() };
    let expected = Match {
        service_accounts: vec![account("shop", "web"), account("other", "web")],
        not_service_accounts: vec![account("shop", "b.c")],
        ..Match::default()
    };
    let source = "serviceAccounts: [web, other/web], notServiceAccounts: [b.c]";
    assert_eq!(rules(&format!("rules: [{{from: [{{source: {{{source}}}}}]}}]")), [rule(&[&[expected]])]);
}

#[test]
fn to_from_and_each_condition_must_all_hold_their_items_are_alternatives() {
    let spec = "rules: [{\
        to: [{operation: {ports: ['80', '443']}}, {operation: {notPorts: ['22']}}], \
        from: [{source: {ipBlocks: [10.1.2.3/8], notIpBlocks: [10.0.0.1]}}], \
        when: [{key: source.namespace, values: [a], notValues: [b]}, {key: destination.ip, values: ['fd00::/8']}, \
               {key: destination.port, notValues: ['1']}, {key: source.ip, values: [192.0.2.1]}, {key: source.principal, values: ['*']}]}]";
    let to = [
        Match { destination_ports: vec![80, 443], ..Match::default() },
        Match { not_destination_ports: vec![22], ..Match::default() },
    ];
    let from = Match {
        source_ips: vec!["10.0.0.0/8".parse().unwrap()],
        not_source_ips: vec!["10.0.0.1/32".parse().unwrap()],
        ..Match::default()
    };
    let namespace = Match {
        namespaces: vec![StringMatch::Exact("a".into())],
        not_namespaces: vec![StringMatch::Exact("b".into())],
        ..Match::default()
    };
    let address = Match { destination_ips: vec!["fd00::/8".parse().unwrap()], ..Match::default() };
    let port = Match { not_destination_ports: vec![1], ..Match::default() };
    let peer = Match { source_ips: vec!["192.0.2.1/32".parse().unwrap()], ..Match::default() };
    let principal = Match { principals: vec![StringMatch::Presence], ..Match::default() };
    assert_eq!(
        rules(spec),
        [rule(&[&to, &[from], &[namespace], &[address], &[port], &[peer], &[principal]])]
    );
}

/// Rules with a part that only a waypoint could decide.
const LAYER_7: [&str; 6] = [
    "to: [{operation: {methods: [GET]}}]",
    "to: [{operation: {ports: ['80']}}, {operation: {notPaths: [/x]}}]",
    "to: [{operation: {hosts: [a]}}], from: [{source: {namespaces: [a]}}]",
    "from: [{source: {requestPrincipals: ['*']}}]",
    "from: [{source: {namespaces: [a], remoteIpBlocks: [10.0.0.0/8]}}]",
    "when: [{key: 'request.headers[x]', values: [a]}]",
];

#[test]
fn an_allow_rule_with_layer_7_never_allows() {
    for written in LAYER_7 {
        let (policy, notes) =
            converted(&format!("rules: [{{{written}}}, {{to: [{{operation: {{ports: ['1']}}}}]}}]"));
        assert_eq!(
            policy.rules,
            [rule(&[&[Match { destination_ports: vec![1], ..Match::default() }]])],
            "{written}"
        );
        assert!(notes[0].contains("shop/p: rules[0] allows nothing here"), "{notes:?}");
    }
}

#[test]
fn a_deny_rule_with_layer_7_denies_by_the_rest() {
    let namespaces = [Match { namespaces: vec![StringMatch::Exact("a".into())], ..Match::default() }];
    let expected = [
        (rule(&[]), "denies everything"),
        // The other alternative may hold, so the ports say nothing.
        (rule(&[]), "denies everything"),
        (rule(&[&namespaces]), "denies more than it says"),
        (rule(&[]), "denies everything"),
        (rule(&[&namespaces]), "denies more than it says"),
        (rule(&[]), "denies everything"),
    ];
    for (written, (rule, said)) in LAYER_7.into_iter().zip(expected) {
        let (policy, notes) = converted(&format!("action: DENY, rules: [{{{written}}}]"));
        assert_eq!((policy.action, policy.rules), (Action::Deny, vec![rule]), "{written}");
        assert!(notes[0].contains(said), "{notes:?}");
    }
}

#[test]
fn what_is_not_for_a_node_proxy_is_not_published() {
    for spec in ["action: AUDIT, rules: [{}]", "action: CUSTOM, provider: {name: p}, rules: [{}]"] {
        let index = index(&policy("shop", spec));
        assert!(index.policies().into_iter().all(|policy| &*policy.key != "shop/p"), "{spec}");
        assert!(index.notes()[0].contains("no effect here"), "{:?}", index.notes());
    }
    let index = index(&policy("shop", "targetRefs: [{kind: Service, name: s}]"));
    assert!(index.policies().into_iter().all(|policy| &*policy.key != "shop/p"));
}

#[test]
fn dry_run_is_passed_on() {
    let yaml = policy("shop", "").replace("name: p,", "name: p, annotations: {istio.io/dry-run: 'true'},");
    assert!(index(&yaml).policy("shop/p").dry_run);
}

#[test]
fn a_principal_with_its_scheme_is_reported() {
    let (_, notes) =
        converted("rules: [{from: [{source: {principals: ['spiffe://cluster.local/ns/a/sa/b']}}]}]");
    assert!(notes[0].contains("matches nobody"), "{notes:?}");
    let (_, notes) = converted("rules: [{when: [{key: source.principal, values: ['spiffe://a']}]}]");
    assert!(notes[0].contains("matches nobody"), "{notes:?}");
}
