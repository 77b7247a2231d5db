//! Policies one by one, a table of what Istio's own templates decide, and every set against the plain reading.

mod fields;
mod property;

use ambit_model::l7::matching::Values;
use ambit_model::l7::policy::{Condition, Operation, PolicyAction, PolicyRule, RequestPolicy, Source};
use ambit_model::l7::{MeshConfig, ObjectKey, ObjectKind, Target, Unreadable};

use super::PolicySet;
use crate::request::Request;
use crate::request::sample::get;

/// A policy `shop/NAME` of the whole mesh.
pub(super) fn policy(name: &str, action: PolicyAction, rules: Vec<PolicyRule>) -> RequestPolicy {
    RequestPolicy {
        key: ObjectKey::new(ObjectKind::AuthorizationPolicy, "shop", name),
        action,
        dry_run: false,
        targets: vec![Target::Mesh],
        rules,
        unusable: None,
    }
}

pub(super) fn mesh() -> MeshConfig {
    MeshConfig { trust_domain_aliases: vec!["old.domain".into()], ..MeshConfig::default() }
}

pub(super) fn set(policies: &[RequestPolicy]) -> PolicySet {
    PolicySet::compile(policies, [], &mesh())
}

pub(super) fn any<T>(values: impl IntoIterator<Item = T>) -> Values<T> {
    Values { any: values.into_iter().collect(), none: Vec::new() }
}

/// A rule for everything.
fn all() -> PolicyRule {
    PolicyRule::default()
}

pub(super) fn on_path(path: &str) -> PolicyRule {
    let to = vec![Operation { paths: any([path.into()]), ..Operation::default() }];
    PolicyRule { to, ..PolicyRule::default() }
}

/// `allowed` or the reason, then what was audited and what dry runs would have done.
pub(super) fn answer(set: &PolicySet, request: &Request) -> String {
    let judgement = set.judge(request);
    let mut text = match judgement.verdict.denied() {
        None => "allowed".to_owned(),
        Some(reason) => reason.to_string(),
    };
    for audited in &judgement.audited {
        text += &format!("; audited by {audited}");
    }
    for dry_run in &judgement.dry_run {
        text += &format!("; {dry_run}");
    }
    text
}

#[test]
fn without_policies_everything_passes() {
    assert!(set(&[]).is_empty());
    assert_eq!(answer(&set(&[]), &get("/", &[])), "allowed");
}

#[test]
fn a_policy_without_rules_never_matches_and_an_empty_rule_always() {
    let request = get("/", &[]);
    let allow = |rules| answer(&set(&[policy("p", PolicyAction::Allow, rules)]), &request);
    assert_eq!(allow(vec![]), "allow policies exist, but none allowed: shop/p");
    assert_eq!(allow(vec![all()]), "allowed");
    let deny = |rules| answer(&set(&[policy("p", PolicyAction::Deny, rules)]), &request);
    assert_eq!(deny(vec![]), "allowed");
    assert_eq!(deny(vec![all()]), "denied by policy shop/p");
}

#[test]
fn deny_goes_before_allow_and_audit_only_tells() {
    let set = set(&[
        policy("open", PolicyAction::Allow, vec![all()]),
        policy("admin", PolicyAction::Deny, vec![on_path("/admin*")]),
        policy("eyes", PolicyAction::Audit, vec![on_path("/nothing"), on_path("/a*")]),
    ]);
    assert_eq!(
        answer(&set, &get("/admin", &[])),
        "denied by policy shop/admin; audited by shop/eyes (rule 1)"
    );
    assert_eq!(answer(&set, &get("/a", &[])), "allowed; audited by shop/eyes (rule 1)");
    assert_eq!(answer(&set, &get("/b", &[])), "allowed");
}

#[test]
fn external_services_are_asked_once_each_and_only_where_a_rule_holds() {
    let custom =
        |name, provider: &str, path| policy(name, PolicyAction::Custom(provider.into()), vec![on_path(path)]);
    let dry = RequestPolicy { dry_run: true, ..custom("dry", "third", "/a") };
    let set = set(&[
        custom("one", "first", "/a"),
        custom("two", "first", "/a"),
        custom("three", "second", "/a*"),
        dry,
    ]);
    let asked = |target| -> Vec<String> {
        let providers = set.providers(&get(target, &[]));
        providers.iter().map(|(provider, matched)| format!("{provider} for {matched}")).collect()
    };
    assert_eq!(asked("/a"), ["first for shop/one (rule 0)", "second for shop/three (rule 0)"]);
    assert_eq!(asked("/ab"), ["second for shop/three (rule 0)"]);
    assert_eq!(asked("/b"), [""; 0]);
    assert_eq!(answer(&set, &get("/a", &[])), "allowed", "what they say is not known here");
}

/// The token is not looked at yet: what a rule asks about it does not let a request pass by the external service.
#[test]
fn external_services_are_asked_whatever_the_token_says() {
    use ambit_model::l7::policy::Attribute;
    let principals = Source { request_principals: any(["a/b".into()]), ..Source::default() };
    let claim = Condition {
        key: Attribute::Claim(vec!["x".into()]),
        values: Values { any: vec![], none: vec!["*".into()] },
    };
    let rule = |path: &str| PolicyRule {
        from: vec![principals.clone()],
        when: vec![claim.clone()],
        ..on_path(path)
    };
    let set = set(&[policy("p", PolicyAction::Custom("x".into()), vec![rule("/a")])]);
    assert_eq!(set.providers(&get("/a", &[])).len(), 1);
    assert_eq!(set.providers(&get("/b", &[])).len(), 0, "the rest of the rule counts");
}

#[test]
fn dry_runs_are_told_and_not_enforced() {
    let dry = |name, action, rules| RequestPolicy { dry_run: true, ..policy(name, action, rules) };
    let unusable =
        RequestPolicy { unusable: Some("bad".into()), ..dry("broken", PolicyAction::Deny, vec![]) };
    let set = set(&[
        dry("no", PolicyAction::Deny, vec![on_path("/a")]),
        dry("yes", PolicyAction::Allow, vec![on_path("/b")]),
        unusable,
    ]);
    let broken = "; dry-run: shop/broken cannot be evaluated and would deny: bad";
    assert_eq!(
        answer(&set, &get("/a", &[])),
        format!("allowed; dry-run: shop/no (rule 0) would deny{broken}; dry-run: shop/yes would not allow")
    );
    assert_eq!(
        answer(&set, &get("/b", &[])),
        format!("allowed{broken}; dry-run: shop/yes (rule 0) would allow")
    );
}

/// What cannot be read: a policy denies, a rule never allows and always denies.
#[test]
fn doubt_narrows() {
    let request = get("/a", &[]);
    let broken = || PolicyRule { undecodable: Some("new field".into()), ..on_path("/elsewhere") };
    let path = || on_path("/a{**}b");
    let source = || PolicyRule { from: vec![Source::default()], ..all() };
    let operation = || PolicyRule { to: vec![Operation::default()], ..all() };
    let condition = || {
        let key = ambit_model::l7::policy::Attribute::SourceIp;
        PolicyRule { when: vec![Condition { key, values: Values::default() }], ..all() }
    };
    for rule in [broken, path, source, operation, condition] {
        let allow = set(&[policy("p", PolicyAction::Allow, vec![rule()])]);
        assert_eq!(
            answer(&allow, &request),
            "allow policies exist, but none allowed: shop/p",
            "{:?}",
            rule()
        );
        let deny = set(&[policy("p", PolicyAction::Deny, vec![rule()])]);
        assert_eq!(answer(&deny, &request), "denied by policy shop/p", "{:?}", rule());
        let custom = set(&[policy("p", PolicyAction::Custom("x".into()), vec![rule()])]);
        assert_eq!(custom.providers(&request).len(), 1, "{:?}", rule());
    }
    let unusable =
        RequestPolicy { unusable: Some("bad".into()), ..policy("p", PolicyAction::Allow, vec![all()]) };
    let denied = "policy shop/p cannot be evaluated and therefore denies: bad";
    assert_eq!(answer(&set(&[unusable]), &request), denied);

    let unreadable =
        |name: &str| Unreadable { name: name.into(), targets: vec![Target::Mesh], reason: "bad".into() };
    let set = PolicySet::compile([], [&unreadable("AuthorizationPolicy/shop/p")], &mesh());
    assert!(!set.is_empty());
    assert_eq!(answer(&set, &request), denied);
    let set = PolicySet::compile([], [&unreadable("HTTPRoute/shop/p")], &mesh());
    assert_eq!(answer(&set, &request), "allowed", "a route is not a policy");
}
