//! An authorization policy at L4 (Istio `security.Authorization`), decoded and ready to evaluate.
//!
//! Rules are alternatives; the clauses of a rule must all hold; the matches of a clause are alternatives; the
//! attributes of a match must all hold. What could not be decoded is kept as such, with the reason, so that
//! evaluation can narrow access instead of forgetting it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Text;

/// Where a policy applies (Istio `Scope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every workload of the mesh.
    Global,
    /// Every workload of the policy's namespace.
    Namespace,
    /// The workloads that list the policy.
    WorkloadSelector,
}

/// What a matching policy does (Istio `Action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Lets the connection pass; where any ALLOW policy applies, one must match.
    Allow,
    /// Refuses the connection, whatever any ALLOW says.
    Deny,
}

/// A policy. Its key on the wire is `<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `<namespace>/<name>`.
    pub key: Text,
    /// Namespace; `""` for policies of the whole mesh.
    pub namespace: Text,
    /// Where it applies.
    pub scope: Scope,
    /// What it does.
    pub action: Action,
    /// Alternatives. A policy without rules never matches: as ALLOW it therefore denies everything.
    pub rules: Vec<Rule>,
    /// Only logged, never enforced.
    pub dry_run: bool,
    /// Why the policy as a whole could not be understood. Such a policy denies everything in its scope.
    pub unusable: Option<Text>,
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// All must hold; none means always.
    pub clauses: Vec<Clause>,
    /// Why a part of the rule could not be understood. Such a rule never allows and always denies.
    pub undecodable: Option<Text>,
}

/// One condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clause {
    /// Any must hold; none means always. A match without attributes is what is left of one whose attributes are not
    /// known at L4: it never holds in an ALLOW and always holds in a DENY.
    pub matches: Vec<Match>,
}

/// A set of attributes. Each pair holds when its positive list is empty or has a hit, and its `not_` list has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Match {
    /// Namespace of the peer's identity; `""` without identity.
    pub namespaces: Vec<StringMatch>,
    /// None of these.
    pub not_namespaces: Vec<StringMatch>,
    /// Principal of the peer, without `spiffe://`; never matches without identity.
    pub principals: Vec<StringMatch>,
    /// None of these.
    pub not_principals: Vec<StringMatch>,
    /// Service account of the peer; never matches without identity.
    pub service_accounts: Vec<ServiceAccount>,
    /// None of these.
    pub not_service_accounts: Vec<ServiceAccount>,
    /// Address of the TCP peer.
    pub source_ips: Vec<IpNet>,
    /// None of these.
    pub not_source_ips: Vec<IpNet>,
    /// Address of the destination.
    pub destination_ips: Vec<IpNet>,
    /// None of these.
    pub not_destination_ips: Vec<IpNet>,
    /// Port of the destination.
    pub destination_ports: Vec<u16>,
    /// None of these.
    pub not_destination_ports: Vec<u16>,
}

impl Match {
    /// Whether the match constrains nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A comparison with a text (Istio `StringMatch`). Letters are compared as they are, never as a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringMatch {
    /// The whole text.
    Exact(Text),
    /// Its beginning.
    Prefix(Text),
    /// Its end.
    Suffix(Text),
    /// Any text but the empty one.
    Presence,
}

impl StringMatch {
    /// Whether `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Presence => !text.is_empty(),
        }
    }
}

/// A service account in a namespace (Istio `ServiceAccountMatch`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Namespace.
    pub namespace: Text,
    /// Name.
    pub name: Text,
}

/// Whether a block holds an address, both canonical; families never match each other.
pub fn block_contains(block: &IpNet, ip: IpAddr) -> bool {
    block.contains(&ip)
}
