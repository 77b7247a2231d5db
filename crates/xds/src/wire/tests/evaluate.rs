//! What one policy does to one connection, in as few lines as it takes.

use ambit_model::Policy;
use ambit_model::policy::{Action, Match, Rule};
use ambit_model::traffic::Connection;

/// Whether the connection passes, if this is the only policy that applies.
pub(super) fn allows(policy: &Policy, connection: &Connection) -> bool {
    if policy.unusable.is_some() {
        return false;
    }
    let hit = policy.rules.iter().any(|rule| rule_hits(rule, policy.action, connection));
    policy.dry_run || hit == (policy.action == Action::Allow)
}

fn rule_hits(rule: &Rule, action: Action, connection: &Connection) -> bool {
    if rule.undecodable.is_some() {
        return action == Action::Deny;
    }
    rule.clauses.iter().all(|clause| {
        clause.matches.is_empty()
            || clause.matches.iter().any(|found| !found.is_empty() && match_hits(found, connection))
    })
}

fn match_hits(found: &Match, connection: &Connection) -> bool {
    fn pair<T>(positive: &[T], negative: &[T], hit: impl Fn(&T) -> bool) -> bool {
        (positive.is_empty() || positive.iter().any(&hit)) && !negative.iter().any(&hit)
    }
    let identity = connection.source_identity.as_ref();
    let namespace = identity.map_or("", |identity| &**identity.namespace());
    let principal = identity.map(|identity| identity.principal());
    let (source, destination) = (connection.source_ip, connection.destination.ip());
    pair(&found.namespaces, &found.not_namespaces, |text| text.matches(namespace))
        && pair(&found.principals, &found.not_principals, |text| {
            principal.as_ref().is_some_and(|principal| text.matches(principal))
        })
        && pair(&found.service_accounts, &found.not_service_accounts, |account| {
            identity.is_some_and(|identity| {
                *identity.namespace() == account.namespace && *identity.service_account() == account.name
            })
        })
        && pair(&found.source_ips, &found.not_source_ips, |block| block.contains(&source))
        && pair(&found.destination_ips, &found.not_destination_ips, |block| block.contains(&destination))
        && pair(&found.destination_ports, &found.not_destination_ports, |port| {
            *port == connection.destination.port()
        })
}
