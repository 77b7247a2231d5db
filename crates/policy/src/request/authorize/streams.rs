//! What policies say of connections whose bytes are no requests: with what TCP has. As Istio does, a rule that asks about
//! HTTP never allows a connection, and refuses, audits or asks about one by the rest of what it says.

use ambit_model::l7::matching::Values;
use ambit_model::l7::policy::{
    Attribute, Condition, Operation, PolicyAction, PolicyRule, RequestPolicy, Source,
};

/// The policy as it is for connections.
pub(super) fn for_streams(policy: &RequestPolicy) -> RequestPolicy {
    let mut policy = policy.clone();
    let rules = std::mem::take(&mut policy.rules).into_iter();
    policy.rules = match policy.action {
        PolicyAction::Allow => rules.filter(|rule| !asks_about_requests(rule)).collect(),
        PolicyAction::Deny | PolicyAction::Audit | PolicyAction::Custom(_) => rules.map(without).collect(),
    };
    policy
}

fn asks_about_requests(rule: &PolicyRule) -> bool {
    let source = |each: &Source| !each.request_principals.is_empty();
    let operation =
        |each: &Operation| !each.hosts.is_empty() || !each.methods.is_empty() || !each.paths.is_empty();
    rule.from.iter().any(source) || rule.to.iter().any(operation) || rule.when.iter().any(is_of_requests)
}

fn is_of_requests(condition: &Condition) -> bool {
    use Attribute::{Audiences, Claim, Header, Presenter, RequestPrincipal};
    matches!(condition.key, Header(_) | RequestPrincipal | Audiences | Presenter | Claim(_))
}

/// The rule without what it asks about HTTP. An alternative that asks nothing else holds for every connection.
fn without(mut rule: PolicyRule) -> PolicyRule {
    for source in &mut rule.from {
        source.request_principals = Values::default();
    }
    for operation in &mut rule.to {
        operation.hosts = Values::default();
        operation.methods = Values::default();
        operation.paths = Values::default();
    }
    rule.when.retain(|condition| !is_of_requests(condition));
    rule
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::PolicySet;
    use super::super::tests::{any, mesh, on_path, policy};
    use super::*;
    use crate::request::Request;
    use crate::request::sample::{client, destination};

    /// Whether a client of this namespace may connect to port 80.
    fn passes(policies: &[RequestPolicy], namespace: &str) -> bool {
        let set = PolicySet::compile_streams(policies, [], &mesh());
        let stream = Request::of_stream(Arc::new(client(namespace)), Arc::new(destination()));
        set.providers(&stream).is_empty() && set.judge(&stream).verdict.denied().is_none()
    }

    fn from(namespace: &str) -> PolicyRule {
        let source = Source { namespaces: any([namespace.into()]), ..Source::default() };
        PolicyRule { from: vec![source], ..PolicyRule::default() }
    }

    fn on_port(port: u16) -> PolicyRule {
        let to = vec![Operation { ports: any([port]), ..Operation::default() }];
        PolicyRule { to, ..PolicyRule::default() }
    }

    #[test]
    fn what_asks_about_http_never_allows_and_denies_by_the_rest() {
        let both = |namespace: &str| PolicyRule { to: on_path("/a").to, ..from(namespace) };
        let header = Condition { key: Attribute::Header("x".into()), values: any(["1".into()]) };
        let when = PolicyRule { when: vec![header], ..from("web") };
        for (action, rule, web, other) in [
            (PolicyAction::Allow, from("web"), true, false),
            (PolicyAction::Allow, both("web"), false, false),
            (PolicyAction::Allow, on_path("/*"), false, false),
            (PolicyAction::Allow, when.clone(), false, false),
            (PolicyAction::Allow, on_port(80), true, true),
            (PolicyAction::Deny, both("web"), false, true),
            (PolicyAction::Deny, on_path("/a"), false, false),
            (PolicyAction::Deny, when, false, true),
            (PolicyAction::Deny, on_port(81), true, true),
            (PolicyAction::Audit, on_path("/a"), true, true),
            (PolicyAction::Custom("asker".into()), both("web"), false, true),
        ] {
            let policies = [policy("p", action.clone(), vec![rule.clone()])];
            assert_eq!(passes(&policies, "web"), web, "{action:?} {rule:?}");
            assert_eq!(passes(&policies, "other"), other, "{action:?} {rule:?}");
        }
        assert!(passes(&[], "web"));
        // A policy that allowed requests only is still there: nothing else allows.
        let mixed = [policy("p", PolicyAction::Allow, vec![on_path("/a"), from("web")])];
        assert!(passes(&mixed, "web") && !passes(&mixed, "other"));
    }
}
