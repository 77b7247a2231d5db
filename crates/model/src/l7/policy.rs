//! An AuthorizationPolicy that a waypoint enforces (Istio `security.istio.io/v1`, with `targetRefs`).

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::matching::Values;
use super::object::{ObjectKey, Target};
use crate::Text;

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestPolicy {
    /// The user's object.
    pub key: ObjectKey,
    /// What a match does.
    pub action: PolicyAction,
    /// Only counted and logged, never enforced (`istio.io/dry-run`).
    pub dry_run: bool,
    /// Where it applies.
    pub targets: Vec<Target>,
    /// Alternatives. None never match: as ALLOW, everything is denied.
    pub rules: Vec<PolicyRule>,
    /// Why the policy as a whole cannot be obeyed: everything at its targets is denied.
    pub unusable: Option<Text>,
}

/// What a matching policy does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PolicyAction {
    /// Where any ALLOW applies, one must match.
    Allow,
    /// 403.
    Deny,
    /// Only logged.
    Audit,
    /// An external service decides, by the name of its provider.
    Custom(Text),
}

/// One rule: some source, and some operation, and all conditions; an empty list asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// Any of these.
    pub from: Vec<Source>,
    /// Any of these.
    pub to: Vec<Operation>,
    /// All of these.
    pub when: Vec<Condition>,
    /// Why a part of it could not be understood: it never allows, and always denies.
    pub undecodable: Option<Text>,
}

/// Text with an optional `*` at its beginning or end; `*` alone is any that is not empty.
pub type Glob = Text;

/// Who asks. All lists that are not empty must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// SPIFFE ID without `spiffe://`.
    pub principals: Values<Glob>,
    /// `issuer/subject` of a validated token.
    pub request_principals: Values<Glob>,
    /// Namespace of the identity.
    pub namespaces: Values<Glob>,
    /// Service account, `namespace/name`.
    pub service_accounts: Values<Text>,
    /// Trust domain of the identity.
    pub trust_domains: Values<Glob>,
    /// Address of the client's pod.
    pub ip_blocks: Values<IpNet>,
    /// Address that the request was sent from, by trusted forwarding headers.
    pub remote_ip_blocks: Values<IpNet>,
}

/// What is asked. All lists that are not empty must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Host with its port as sent, without regard to case.
    pub hosts: Values<Glob>,
    /// Port of the service.
    pub ports: Values<u16>,
    /// Method.
    pub methods: Values<Glob>,
    /// Path; also templates with `{*}` and `{**}`.
    pub paths: Values<Glob>,
}

/// A condition on one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The attribute.
    pub key: Attribute,
    /// Its values.
    pub values: Values<Glob>,
}

/// An attribute that conditions may name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Attribute {
    /// `request.headers[name]`, in lower case.
    Header(Text),
    /// `source.ip`.
    SourceIp,
    /// `remote.ip`.
    RemoteIp,
    /// `source.namespace`.
    SourceNamespace,
    /// `source.principal`.
    SourcePrincipal,
    /// `source.serviceAccount`, as `namespace/name`.
    SourceServiceAccount,
    /// `source.trustDomain`.
    SourceTrustDomain,
    /// `request.auth.principal`.
    RequestPrincipal,
    /// `request.auth.audiences`.
    Audiences,
    /// `request.auth.presenter`.
    Presenter,
    /// `request.auth.claims[a][b]`, as the names in order.
    Claim(Vec<Text>),
    /// `destination.ip`.
    DestinationIp,
    /// `destination.port`.
    DestinationPort,
    /// `connection.sni`.
    ServerName,
}
