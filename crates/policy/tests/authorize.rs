//! Authorization against a naive evaluator, and against Istio's semantics where those are not narrowed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, SocketAddr};

use ambit_model::policy::{Action, Clause, Match, Rule, Scope, ServiceAccount, StringMatch};
use ambit_model::traffic::Connection;
use ambit_model::{Change, Identity, Policy, Snapshot, Workload};
use ambit_policy::{DenyReason, DryRunOutcome, Verdict, authorize};
use proptest::prelude::*;

const TRUST_DOMAINS: [&str; 2] = ["cluster.local", "cluster.lo"];
const NAMESPACES: [&str; 3] = ["shop", "shopping", "ops"];
const ACCOUNTS: [&str; 2] = ["a", "shop"];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "::ffff:10.0.0.1", "10.0.1.1", "fd00::1"];
const BLOCKS: [&str; 5] = ["10.0.0.0/24", "10.0.0.0/8", "10.0.1.1/32", "fd00::/64", "0.0.0.0/0"];

fn identity() -> impl Strategy<Value = Identity> {
    let select = proptest::sample::select::<&'static str>;
    (select(&TRUST_DOMAINS[..]), select(&NAMESPACES[..]), select(&ACCOUNTS[..]))
        .prop_map(|(td, ns, sa)| Identity::new(td, ns, sa).unwrap())
}

fn string_match(text: impl Strategy<Value = String>) -> impl Strategy<Value = StringMatch> {
    (text, 0u8..4, any::<prop::sample::Index>()).prop_map(|(text, kind, cut)| {
        let cut = cut.index(text.len() + 1);
        match kind {
            0 => StringMatch::Exact(text.into()),
            1 => StringMatch::Prefix(text[..cut].into()),
            2 => StringMatch::Suffix(text[cut..].into()),
            _ => StringMatch::Presence,
        }
    })
}

fn principal() -> impl Strategy<Value = StringMatch> {
    let scheme = prop_oneof![9 => Just(""), 1 => Just("spiffe://")];
    string_match((identity(), scheme).prop_map(|(id, scheme)| format!("{scheme}{}", id.principal())))
}

fn namespace() -> impl Strategy<Value = StringMatch> {
    string_match(proptest::sample::select(&NAMESPACES[..]).prop_map(str::to_owned))
}

fn account() -> impl Strategy<Value = ServiceAccount> {
    identity().prop_map(|id| ServiceAccount {
        namespace: id.namespace().clone(),
        name: id.service_account().clone(),
    })
}

/// Mostly empty, so that matches happen.
fn few<T: std::fmt::Debug + Clone>(each: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::option::weighted(0.25, proptest::collection::vec(each, 1..3))
        .prop_map(Option::unwrap_or_default)
}

fn attributes() -> impl Strategy<Value = Match> {
    let block = || few(proptest::sample::select(&BLOCKS[..]).prop_map(|block| block.parse().unwrap()));
    let port = || few(prop_oneof![Just(80u16), Just(443)]);
    (
        (few(namespace()), few(namespace()), few(principal()), few(principal())),
        (few(account()), few(account())),
        (block(), block(), block(), block()),
        (port(), port()),
    )
        .prop_map(|(names, accounts, blocks, ports)| Match {
            namespaces: names.0,
            not_namespaces: names.1,
            principals: names.2,
            not_principals: names.3,
            service_accounts: accounts.0,
            not_service_accounts: accounts.1,
            source_ips: blocks.0,
            not_source_ips: blocks.1,
            destination_ips: blocks.2,
            not_destination_ips: blocks.3,
            destination_ports: ports.0,
            not_destination_ports: ports.1,
        })
}

fn rule() -> impl Strategy<Value = Rule> {
    let clause = proptest::collection::vec(attributes(), 0..3).prop_map(|matches| Clause { matches });
    let undecodable = proptest::option::weighted(0.05, Just("unknown match kind".into()));
    (proptest::collection::vec(clause, 0..3), undecodable)
        .prop_map(|(clauses, undecodable)| Rule { clauses, undecodable })
}

fn policy(number: usize) -> impl Strategy<Value = Policy> {
    let scope = prop_oneof![Just(Scope::Global), Just(Scope::Namespace), Just(Scope::WorkloadSelector)];
    let action = prop_oneof![Just(Action::Allow), Just(Action::Deny)];
    (
        proptest::sample::select(&NAMESPACES[..]),
        scope,
        action,
        proptest::collection::vec(rule(), 0..3),
        proptest::bool::weighted(0.2),
        proptest::option::weighted(0.05, Just("unknown action".into())),
    )
        .prop_map(move |(namespace, scope, action, rules, dry_run, unusable)| Policy {
            key: format!("{namespace}/p{number}").into(),
            namespace: namespace.into(),
            scope,
            action,
            rules,
            dry_run,
            unusable,
        })
}

#[derive(Debug)]
struct Case {
    policies: Vec<Policy>,
    destination: Workload,
    connection: Connection,
}

impl Case {
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new("");
        snapshot.apply(self.policies.iter().cloned().map(|policy| Change::Policy(policy.into())));
        snapshot
    }

    fn verdict(&self) -> Verdict {
        authorize(&self.snapshot(), &self.destination, &self.connection).verdict
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    proptest::sample::select(&ADDRESSES[..]).prop_map(|ip| ip.parse().unwrap())
}

fn case() -> impl Strategy<Value = Case> {
    let listed = proptest::collection::vec(proptest::bool::weighted(0.5), 4);
    let pending = proptest::bool::weighted(0.05);
    (
        (policy(0), policy(1), policy(2), policy(3), 0usize..5),
        (listed, pending),
        identity(),
        (proptest::option::weighted(0.8, identity()), address(), address(), prop_oneof![Just(80), Just(443)]),
    )
        .prop_map(|((a, b, c, d, many), (listed, pending), own, (peer, source, target, port))| {
            let policies: Vec<_> = [a, b, c, d].into_iter().take(many).collect();
            let mut destination = Workload::new("c//Pod/x/y", "y", own.namespace()).unwrap();
            let keys = policies.iter().zip(listed).filter(|(_, listed)| *listed);
            destination.policies = keys.map(|(policy, _)| policy.key.clone()).collect();
            if pending {
                destination.policies.insert(0, "shop/pending".into());
            }
            destination.identity = own;
            let connection = Connection {
                source_ip: source,
                network: "".into(),
                source_identity: peer,
                destination: SocketAddr::new(target, port),
            };
            Case { policies, destination, connection }
        })
}

/// How the two semantics differ.
#[derive(Clone, Copy, PartialEq)]
enum Semantics {
    Istio,
    Ours,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Allowed,
    Denied,
    Unusable,
    Pending,
    NoneAllowed,
}

/// The evaluator of a few lines: every text is built, every list is walked.
fn naive(case: &Case, semantics: Semantics) -> Outcome {
    let applies = |policy: &&Policy| match policy.scope {
        Scope::Global => true,
        Scope::Namespace if policy.namespace == case.destination.namespace => true,
        _ => case.destination.policies.contains(&policy.key),
    };
    let enforced: Vec<_> = case.policies.iter().filter(applies).filter(|policy| !policy.dry_run).collect();
    let usable: Vec<_> = enforced.iter().filter(|policy| policy.unusable.is_none()).collect();
    let hit = |action| {
        usable
            .iter()
            .any(|p| p.action == action && p.rules.iter().any(|r| matches(r, action, case, semantics)))
    };
    if hit(Action::Deny) {
        return Outcome::Denied;
    }
    if semantics == Semantics::Ours {
        if usable.len() < enforced.len() {
            return Outcome::Unusable;
        }
        let known = |key: &_| case.policies.iter().any(|policy| policy.key == *key);
        if !case.destination.policies.iter().all(known) {
            return Outcome::Pending;
        }
    }
    if !usable.iter().any(|policy| policy.action == Action::Allow) || hit(Action::Allow) {
        return Outcome::Allowed;
    }
    Outcome::NoneAllowed
}

fn matches(rule: &Rule, action: Action, case: &Case, semantics: Semantics) -> bool {
    let narrow = semantics == Semantics::Ours;
    if narrow && rule.undecodable.is_some() {
        return action == Action::Deny;
    }
    let empty_holds = narrow && action == Action::Deny;
    rule.clauses.iter().all(|clause| {
        let holds =
            |m: &Match| if m.is_empty() { empty_holds } else { attributes_hold(m, action, case, narrow) };
        clause.matches.is_empty() || clause.matches.iter().any(holds)
    })
}

fn attributes_hold(m: &Match, action: Action, case: &Case, narrow: bool) -> bool {
    let peer = case.connection.source_identity.as_ref();
    let foreign =
        narrow && peer.is_some_and(|peer| peer.trust_domain() != case.destination.identity.trust_domain());
    let (never_demanded, never_excepted) =
        (foreign && action == Action::Allow, foreign && action == Action::Deny);
    let namespace = peer.map_or(String::new(), |peer| peer.namespace().to_string());
    let is_namespace = |n: &StringMatch| n.matches(&namespace);
    let is_principal = |p: &StringMatch| peer.is_some_and(|peer| p.matches(&peer.principal()));
    let is_account = |a: &ServiceAccount| {
        peer.is_some_and(|p| (&a.namespace, &a.name) == (p.namespace(), p.service_account()))
    };
    let source = case.connection.source_ip.to_canonical();
    let target = case.connection.destination.ip().to_canonical();
    let port = case.connection.destination.port();
    let demanded = |empty: bool, hit: bool| empty || hit;
    demanded(m.namespaces.is_empty(), m.namespaces.iter().any(is_namespace) && !never_demanded)
        && (never_excepted || !m.not_namespaces.iter().any(is_namespace))
        && demanded(
            m.service_accounts.is_empty(),
            m.service_accounts.iter().any(is_account) && !never_demanded,
        )
        && (never_excepted || !m.not_service_accounts.iter().any(is_account))
        && demanded(m.principals.is_empty(), m.principals.iter().any(is_principal))
        && !m.not_principals.iter().any(is_principal)
        && demanded(m.source_ips.is_empty(), m.source_ips.iter().any(|b| b.contains(&source)))
        && !m.not_source_ips.iter().any(|b| b.contains(&source))
        && demanded(m.destination_ips.is_empty(), m.destination_ips.iter().any(|b| b.contains(&target)))
        && !m.not_destination_ips.iter().any(|b| b.contains(&target))
        && demanded(m.destination_ports.is_empty(), m.destination_ports.contains(&port))
        && !m.not_destination_ports.contains(&port)
}

fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Allow { .. } => Outcome::Allowed,
        Verdict::Deny { reason: DenyReason::ExplicitDeny(_) } => Outcome::Denied,
        Verdict::Deny { reason: DenyReason::NoAllowMatched { .. } } => Outcome::NoneAllowed,
        Verdict::Deny { reason: DenyReason::PolicyPending { .. } } => Outcome::Pending,
        Verdict::Deny { reason: DenyReason::PolicyUnusable { .. } } => Outcome::Unusable,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_a_naive_evaluator(case in case()) {
        prop_assert_eq!(outcome(&case.verdict()), naive(&case, Semantics::Ours));
    }

    #[test]
    fn nothing_passes_that_istio_refuses(case in case()) {
        if case.verdict().is_allowed() {
            prop_assert_eq!(naive(&case, Semantics::Istio), Outcome::Allowed);
        }
    }

    /// Within one trust domain, with everything known and understood, the semantics are Istio's.
    #[test]
    fn is_istio_where_nothing_is_foreign_or_unknown(mut case in case()) {
        case.destination.policies.retain(|key| &**key != "shop/pending");
        for policy in &mut case.policies {
            policy.unusable = None;
            for rule in &mut policy.rules {
                rule.undecodable = None;
                for clause in &mut rule.clauses {
                    clause.matches.retain(|each| !each.is_empty());
                }
            }
        }
        let own = case.destination.identity.clone();
        if let Some(peer) = &mut case.connection.source_identity {
            *peer = Identity::new(own.trust_domain(), peer.namespace(), peer.service_account()).unwrap();
        }
        prop_assert_eq!(outcome(&case.verdict()), naive(&case, Semantics::Istio));
    }

    /// A dry run says something, and changes nothing.
    #[test]
    fn dry_run_policies_change_no_verdict(mut case in case()) {
        let with = case.verdict();
        let dry: Vec<_> = case.policies.iter().filter(|policy| policy.dry_run).map(|p| p.key.clone()).collect();
        case.policies.retain(|policy| !policy.dry_run);
        case.destination.policies.retain(|key| !dry.contains(key));
        prop_assert_eq!(case.verdict(), with);
    }

    /// A policy, a rule and a name that the verdict gives are the ones that match.
    #[test]
    fn a_verdict_names_a_policy_and_rule_that_match(case in case()) {
        let matched = match case.verdict() {
            Verdict::Allow { policy: Some(matched) } => matched,
            Verdict::Deny { reason: DenyReason::ExplicitDeny(matched) } => matched,
            _ => return Ok(()),
        };
        let policy = case.policies.iter().find(|policy| policy.key == matched.policy).unwrap();
        let hits = |rule: &Rule| matches(rule, policy.action, &case, Semantics::Ours);
        prop_assert_eq!(policy.rules.iter().position(hits), Some(matched.rule));
    }
}

fn shop(action: Action, name: &str, each: Match) -> Policy {
    Policy {
        key: format!("shop/{name}").into(),
        namespace: "shop".into(),
        scope: Scope::Namespace,
        action,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![each] }], undecodable: None }],
        dry_run: false,
        unusable: None,
    }
}

fn principals(principal: &str) -> Match {
    Match { principals: vec![StringMatch::Exact(principal.into())], ..Match::default() }
}

fn from(trust_domain: &str, namespace: &str) -> Case {
    Case {
        policies: Vec::new(),
        destination: Workload::new("c//Pod/shop/cart", "cart", "shop").unwrap(),
        connection: Connection {
            source_ip: "10.0.0.1".parse().unwrap(),
            network: "".into(),
            source_identity: Some(Identity::new(trust_domain, namespace, "web").unwrap()),
            destination: "10.0.0.2:8080".parse().unwrap(),
        },
    }
}

#[test]
fn a12_what_cannot_be_decoded_denies_and_never_allows() {
    let mut case = from("cluster.local", "shop");
    let mut allow = shop(Action::Allow, "all", Match::default());
    allow.rules = vec![Rule { clauses: Vec::new(), undecodable: Some("port 65616".into()) }];
    case.policies = vec![allow];
    assert_eq!(case.verdict().to_string(), "allow policies exist, but none allowed: shop/all");
    case.policies[0].action = Action::Deny;
    assert_eq!(case.verdict().to_string(), "denied by policy shop/all");
    case.policies[0].rules[0].undecodable = None;
    case.policies[0].action = Action::Allow;
    assert_eq!(case.verdict().to_string(), "allowed by policy shop/all (rule 0)");
    case.policies[0].unusable = Some("action 7 is unknown".into());
    assert_eq!(
        case.verdict().to_string(),
        "policy shop/all cannot be evaluated and therefore denies: action 7 is unknown"
    );
    case.policies[0].dry_run = true;
    let decision = authorize(&case.snapshot(), &case.destination, &case.connection);
    assert!(decision.verdict.is_allowed());
    assert_eq!(decision.dry_run[0].outcome, DryRunOutcome::Unusable("action 7 is unknown".into()));
}

#[test]
fn a12_a_deny_whose_attribute_is_unknown_to_us_denies() {
    let mut case = from("cluster.local", "shop");
    case.policies = vec![shop(Action::Deny, "unknown-attribute", Match::default())];
    assert!(!case.verdict().is_allowed());
    case.policies[0].action = Action::Allow;
    assert!(!case.verdict().is_allowed());
}

#[test]
fn a13_a_listed_policy_that_has_not_arrived_denies_and_is_named() {
    let mut case = from("cluster.local", "shop");
    case.destination.policies = vec!["shop/x".into()];
    let verdict = case.verdict();
    assert_eq!(
        verdict.to_string(),
        "policy shop/x is listed on the workload but not known yet (POLICY_PENDING)"
    );
    assert_eq!(verdict.denied().unwrap().policy().map(|policy| &**policy), Some("shop/x"));
    let mut arrived = shop(Action::Allow, "x", principals("cluster.local/ns/shop/sa/web"));
    arrived.scope = Scope::WorkloadSelector;
    case.policies = vec![arrived];
    assert!(case.verdict().is_allowed());
}

#[test]
fn a_peer_of_another_trust_domain_gains_nothing_by_a_name() {
    let ns = |action, not: bool| {
        let names = vec![StringMatch::Exact("shop".into())];
        let each = match not {
            false => Match { namespaces: names, ..Match::default() },
            true => Match { not_namespaces: names, ..Match::default() },
        };
        vec![shop(action, "p", each)]
    };
    let allowed = |trust_domain, policies| {
        let mut case = from(trust_domain, "shop");
        case.policies = policies;
        case.verdict().is_allowed()
    };
    // (action, negative, allowed at home, allowed from elsewhere)
    for (action, not, home, away) in [
        (Action::Allow, false, true, false),
        (Action::Allow, true, false, false),
        (Action::Deny, false, false, false),
        (Action::Deny, true, true, false),
    ] {
        assert_eq!(allowed("cluster.local", ns(action, not)), home, "{action:?} not={not}");
        assert_eq!(allowed("evil.local", ns(action, not)), away, "{action:?} not={not}");
    }
}

#[test]
fn a18_names_are_letters_not_patterns_and_principals_have_no_scheme() {
    let mut case = from("cluster.local", "shop");
    for (pattern, allowed) in [
        ("cluster.local/ns/shop/sa/web", true),
        ("clusterxlocal/ns/shop/sa/web", false),
        ("cluster.local/ns/shop/sa/we", false),
        ("cluster.local/ns/shop/sa/web2", false),
        ("spiffe://cluster.local/ns/shop/sa/web", false),
        ("", false),
    ] {
        case.policies = vec![shop(Action::Allow, "a", principals(pattern))];
        assert_eq!(case.verdict().is_allowed(), allowed, "{pattern}");
    }
}

#[test]
fn a_refusal_names_the_first_allow_policies_and_counts_the_rest() {
    let mut case = from("cluster.local", "ops");
    let nobody = || principals("cluster.local/ns/none/sa/none");
    case.policies = ["a", "b", "c", "d", "e", "f"].map(|name| shop(Action::Allow, name, nobody())).into();
    let verdict = case.verdict();
    assert_eq!(
        verdict.to_string(),
        "allow policies exist, but none allowed: shop/a, shop/b, shop/c, shop/d and 2 more"
    );
    assert_eq!(verdict.denied().unwrap().policy(), None);
}

#[test]
fn a_mapped_peer_address_meets_its_block() {
    let mut case = from("cluster.local", "shop");
    case.connection.source_ip = "::ffff:10.9.9.9".parse().unwrap();
    let each = Match { source_ips: vec!["10.0.0.0/8".parse().unwrap()], ..Match::default() };
    case.policies = vec![shop(Action::Deny, "ten", each)];
    assert_eq!(case.verdict().to_string(), "denied by policy shop/ten");
}
