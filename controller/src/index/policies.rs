//! AuthorizationPolicies at layer 4.
//!
//! What only a waypoint could see makes an ALLOW rule never match, and counts as matching in a DENY rule: both are
//! stricter than what was written, the second also than Istio's node proxy
//! (docs/decisions/0003-where-authorization-is-narrower-than-istios.md).

use ambit_kubernetes::{Action as Written, AuthorizationPolicy, Pod, Rule as WrittenRule};
use ambit_model::policy::{Action, Clause, Rule, Scope};
use ambit_model::{Policy, Text};

use super::matches::{self, Part};
use super::objects::{Objects, Place, place};

/// The keys of the policies whose selectors pick the pod, from its own namespace and the root namespace.
pub(super) fn selecting<'a>(pod: &'a Pod, objects: &'a Objects) -> impl Iterator<Item = Text> + 'a {
    let (root, own) = (objects.mesh.root_namespace.as_str(), pod.metadata.namespace.as_str());
    let elsewhere = objects.authorization.of(own).filter(move |_| own != root);
    objects.authorization.of(root).chain(elsewhere).filter_map(|policy| {
        action(policy)?;
        let selector = policy.spec.selector.as_ref()?;
        selector.matches(&pod.metadata.labels).then(|| key(&place(&policy.metadata)))
    })
}

/// The key of the policy at this place.
pub(super) fn key((namespace, name): &Place) -> Text {
    format!("{namespace}/{name}").into()
}

/// What a policy does here; `None` for one that is not for a node proxy.
fn action(policy: &AuthorizationPolicy) -> Option<Action> {
    if policy.spec.targets().next().is_some() {
        return None;
    }
    match policy.spec.action {
        Written::Allow => Some(Action::Allow),
        Written::Deny => Some(Action::Deny),
        Written::Audit | Written::Custom => None,
    }
}

/// A policy for node proxies; `None` for another.
pub(super) fn policy(
    policy: &AuthorizationPolicy,
    objects: &Objects,
    notes: &mut Vec<String>,
) -> Option<Policy> {
    let key = key(&place(&policy.metadata));
    let mut note = |text: &str| notes.push(format!("AuthorizationPolicy {key}: {text}"));
    if policy.spec.targets().next().is_some() {
        return None;
    }
    let Some(action) = action(policy) else {
        note(match policy.spec.action {
            Written::Audit => {
                "AUDIT has no effect here: nothing keeps an audit log; waypoints do (targetRefs)"
            }
            _ => "CUSTOM has no effect here: no external authorizer is asked; waypoints do (targetRefs)",
        });
        return None;
    };
    let namespace = policy.metadata.namespace.as_str();
    let scope = match &policy.spec.selector {
        Some(_) => Scope::WorkloadSelector,
        None if namespace == objects.mesh.root_namespace => Scope::Global,
        None => Scope::Namespace,
    };
    if policy.spec.rules.iter().any(spells_scheme) {
        note("a principal that begins with spiffe:// matches nobody; write it without");
    }
    let mut rules = Vec::new();
    for (at, written) in policy.spec.rules.iter().enumerate() {
        match rule(written, action, namespace) {
            Translated::Whole(rule) => rules.push(rule),
            Translated::Stricter(rule) => {
                let what = if rule.clauses.is_empty() { "everything" } else { "more than it says" };
                note(&format!("rules[{at}] denies {what}: its layer-7 fields need a waypoint"));
                rules.push(rule);
            }
            Translated::NeverAllows => {
                note(&format!("rules[{at}] allows nothing here: its layer-7 fields need a waypoint"));
            }
        }
    }
    Some(Policy {
        key: key.clone(),
        namespace: namespace.into(),
        scope,
        action,
        rules,
        dry_run: policy.is_dry_run(),
        unusable: None,
    })
}

/// What became of a rule.
enum Translated {
    /// It does what it says.
    Whole(Rule),
    /// A DENY that lost conditions.
    Stricter(Rule),
    /// An ALLOW that cannot be decided.
    NeverAllows,
}

fn rule(written: &WrittenRule, action: Action, namespace: &str) -> Translated {
    let to = written.to.iter().map(|to| matches::operation(&to.operation)).collect();
    let from = written.from.iter().map(|from| matches::source(&from.source, namespace)).collect();
    let when = written.when.iter().map(|condition| vec![matches::condition(condition)]);
    let clauses: Vec<Vec<Part>> =
        [to, from].into_iter().chain(when).filter(|parts: &Vec<Part>| !parts.is_empty()).collect();
    let layer_7 = clauses.iter().flatten().any(|part| part.layer_7);
    if layer_7 && action == Action::Allow {
        return Translated::NeverAllows;
    }
    let undecodable = clauses.iter().flatten().find_map(|part| part.unreadable.clone());
    // Of an alternative that only a waypoint can decide nothing is left: it may hold, so its clause does.
    let open = |parts: &Vec<Part>| parts.iter().any(|part| part.layer_7 && part.matches.is_empty());
    let kept = clauses.iter().filter(|parts| !open(parts)).map(|parts| clause(parts)).collect();
    let rule = Rule { clauses: kept, undecodable };
    if layer_7 { Translated::Stricter(rule) } else { Translated::Whole(rule) }
}

/// Whether a principal is written with its scheme, which no peer's principal has.
fn spells_scheme(rule: &WrittenRule) -> bool {
    let sources = rule.from.iter().map(|from| &from.source);
    let mut principals = sources.flat_map(|source| source.principals.iter().chain(&source.not_principals));
    let mut conditions = rule.when.iter().filter(|condition| condition.key == "source.principal");
    principals.any(|text| text.starts_with("spiffe://"))
        || conditions.any(|condition| {
            let mut values = condition.values.iter().chain(&condition.not_values);
            values.any(|text| text.starts_with("spiffe://"))
        })
}

fn clause(parts: &[Part]) -> Clause {
    Clause { matches: parts.iter().map(|part| part.matches.clone()).collect() }
}
