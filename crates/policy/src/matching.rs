//! Does a policy match a connection? Rules, clauses, matches and their attributes; nothing is allocated.

use std::net::IpAddr;

use ambit_model::address::canonical;
use ambit_model::policy::{Action, Clause, Match, Policy, Rule, ServiceAccount, StringMatch, block_contains};
use ambit_model::traffic::Connection;
use ambit_model::{Identity, Workload};

/// The facts that attributes are compared with.
pub(crate) struct Facts<'a> {
    peer: Option<&'a Identity>,
    /// The peer is of another trust domain than the destination.
    foreign: bool,
    source: IpAddr,
    destination: IpAddr,
    port: u16,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(destination: &Workload, connection: &'a Connection) -> Self {
        let peer = connection.source_identity.as_ref();
        let own = destination.identity.trust_domain();
        Self {
            peer,
            foreign: peer.is_some_and(|peer| peer.trust_domain() != own),
            source: canonical(connection.source_ip),
            destination: canonical(connection.destination.ip()),
            port: connection.destination.port(),
        }
    }
}

/// The index of the first rule that matches. A policy without rules matches nothing.
pub(crate) fn matching_rule(policy: &Policy, facts: &Facts<'_>) -> Option<usize> {
    policy.rules.iter().position(|rule| rule_matches(rule, policy.action, facts))
}

fn rule_matches(rule: &Rule, action: Action, facts: &Facts<'_>) -> bool {
    if rule.undecodable.is_some() {
        return action == Action::Deny;
    }
    rule.clauses.iter().all(|clause| clause_holds(clause, action, facts))
}

fn clause_holds(clause: &Clause, action: Action, facts: &Facts<'_>) -> bool {
    clause.matches.is_empty() || clause.matches.iter().any(|each| match_holds(each, action, facts))
}

/// Whether all attributes hold, the cheap ones first.
fn match_holds(each: &Match, action: Action, facts: &Facts<'_>) -> bool {
    if each.is_empty() {
        return action == Action::Deny;
    }
    pair(&each.destination_ports, &each.not_destination_ports, |port| *port == facts.port)
        && pair(&each.destination_ips, &each.not_destination_ips, |block| {
            block_contains(block, facts.destination)
        })
        && pair(&each.source_ips, &each.not_source_ips, |block| block_contains(block, facts.source))
        && pair(&each.principals, &each.not_principals, |principal| principal_matches(principal, facts.peer))
        && owned_pair(&each.namespaces, &each.not_namespaces, action, facts, |name| {
            name.matches(facts.peer.map_or("", |peer| peer.namespace()))
        })
        && owned_pair(&each.service_accounts, &each.not_service_accounts, action, facts, |account| {
            facts.peer.is_some_and(|peer| account_matches(account, peer))
        })
}

fn pair<T>(positive: &[T], negative: &[T], hit: impl Fn(&T) -> bool) -> bool {
    (positive.is_empty() || positive.iter().any(&hit)) && !negative.iter().any(&hit)
}

/// [`pair`] for names that belong to a trust domain: a foreign peer has no hit where a hit would widen access.
fn owned_pair<T>(
    positive: &[T],
    negative: &[T],
    action: Action,
    facts: &Facts<'_>,
    hit: impl Fn(&T) -> bool,
) -> bool {
    let demanded = |each: &T| hit(each) && !(facts.foreign && action == Action::Allow);
    let excepted = |each: &T| hit(each) && !(facts.foreign && action == Action::Deny);
    (positive.is_empty() || positive.iter().any(demanded)) && !negative.iter().any(excepted)
}

fn account_matches(account: &ServiceAccount, peer: &Identity) -> bool {
    account.namespace == *peer.namespace() && account.name == *peer.service_account()
}

/// Compares with `TRUST-DOMAIN/ns/NAMESPACE/sa/NAME` piece by piece, without building it.
pub(crate) fn principal_matches(pattern: &StringMatch, peer: Option<&Identity>) -> bool {
    let Some(peer) = peer else { return false };
    let pieces: [&str; 5] = [peer.trust_domain(), "/ns/", peer.namespace(), "/sa/", peer.service_account()];
    match pattern {
        StringMatch::Exact(exact) => {
            left_of(exact.as_bytes(), &pieces) == Some(0) && exact.len() == length(&pieces)
        }
        StringMatch::Prefix(prefix) => left_of(prefix.as_bytes(), &pieces) == Some(0),
        StringMatch::Suffix(suffix) => ends_with(&pieces, suffix.as_bytes()),
        StringMatch::Presence => true,
    }
}

fn length(pieces: &[&str]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

/// How much of `pattern` is left when the joined pieces end; `None` when they differ before.
fn left_of(mut pattern: &[u8], pieces: &[&str]) -> Option<usize> {
    for piece in pieces {
        let shared = piece.len().min(pattern.len());
        let (head, rest) = pattern.split_at(shared);
        if head != &piece.as_bytes()[..shared] {
            return None;
        }
        pattern = rest;
    }
    Some(pattern.len())
}

fn ends_with(pieces: &[&str], mut pattern: &[u8]) -> bool {
    for piece in pieces.iter().rev() {
        let shared = piece.len().min(pattern.len());
        let (rest, tail) = pattern.split_at(pattern.len() - shared);
        if tail != &piece.as_bytes()[piece.len() - shared..] {
            return false;
        }
        pattern = rest;
    }
    pattern.is_empty()
}
