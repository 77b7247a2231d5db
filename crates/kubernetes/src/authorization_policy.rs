//! Istio's AuthorizationPolicy as users write it; nothing unknown is accepted.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::problem::quoted;
use crate::target_ref::targets;
use crate::{Metadata, TargetRef, WorkloadSelector, annotations, fields};

/// `security.istio.io/v1` and `v1beta1` AuthorizationPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizationPolicy {
    /// Name, namespace (its scope) and annotations (dry run).
    pub metadata: Metadata,
    /// What it decides. An empty one allows nothing.
    pub spec: AuthorizationPolicySpec,
}

/// `spec` of an AuthorizationPolicy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AuthorizationPolicySpec {
    /// Workloads it holds for; nothing means the whole namespace, in the root namespace the whole mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<WorkloadSelector>,
    /// Waypoints and Services it holds for, instead of a selector; enforced by waypoints only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_refs: Vec<TargetRef>,
    /// The older, single form of `targetRefs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    /// Any that matches is enough. None: an ALLOW policy allows nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// What a match does.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub action: Action,
    /// Who decides, for the action CUSTOM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
}

/// What a match does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// Allow what matches, deny the rest.
    #[default]
    Allow,
    /// Deny what matches, before any ALLOW.
    Deny,
    /// Mark what matches for an audit log.
    Audit,
    /// Ask the provider.
    Custom,
}

/// The external authorizer of the action CUSTOM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Provider {
    /// Its name in the mesh configuration.
    pub name: String,
}

/// Matches when `from`, `to` and `when` all do; without any it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Rule {
    /// Sources, any of which is enough; none means any source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<RuleFrom>,
    /// Operations, any of which is enough; none means any operation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<RuleTo>,
    /// Conditions, all of which must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
}

/// One item of `from`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RuleFrom {
    /// The source that it describes.
    pub source: Source,
}

/// A source; all of its fields must match. Values may be `*`, `prefix*` or `*suffix`, addresses excepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Source {
    /// Peer identities, `trust-domain/ns/NAMESPACE/sa/ACCOUNT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<String>,
    /// Peer identities that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_principals: Vec<String>,
    /// Identities of the request's token, `issuer/subject`; layer 7.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_principals: Vec<String>,
    /// Identities of the request's token that do not match; layer 7.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_request_principals: Vec<String>,
    /// Namespaces of the peer's identity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Namespaces of the peer's identity that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_namespaces: Vec<String>,
    /// Accounts of the peer's identity, `ACCOUNT` or `NAMESPACE/ACCOUNT`; no wildcards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<String>,
    /// Accounts of the peer's identity that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_service_accounts: Vec<String>,
    /// Trust domains of the peer's identity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trust_domains: Vec<String>,
    /// Trust domains of the peer's identity that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_trust_domains: Vec<String>,
    /// The peer's addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_blocks: Vec<IpBlock>,
    /// The peer's addresses that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ip_blocks: Vec<IpBlock>,
    /// The original client's addresses, from forwarding headers; layer 7.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_ip_blocks: Vec<IpBlock>,
    /// The original client's addresses that do not match; layer 7.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_remote_ip_blocks: Vec<IpBlock>,
}

/// One item of `to`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RuleTo {
    /// The operation that it describes.
    pub operation: Operation,
}

/// An operation; all of its fields must match. All but the ports are layer 7.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Operation {
    /// Hosts of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Hosts that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_hosts: Vec<String>,
    /// Destination ports, decimal; see [`Operation::port_numbers`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Destination ports that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ports: Vec<String>,
    /// HTTP methods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// HTTP methods that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_methods: Vec<String>,
    /// Paths; may hold `{*}` and `{**}`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Paths that do not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_paths: Vec<String>,
}

/// A further condition on an attribute of the connection or request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Condition {
    /// The attribute, such as `source.ip`, `destination.port` or `request.headers[User-Agent]`.
    pub key: String,
    /// Values, any of which is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Values, none of which may match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_values: Vec<String>,
}

/// An address or a CIDR, host bits allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpBlock(pub IpNet);

impl AuthorizationPolicy {
    /// Whether it only reports what it would decide.
    pub fn is_dry_run(&self) -> bool {
        self.metadata.annotation(annotations::DRY_RUN).and_then(fields::boolean).unwrap_or(false)
    }
}

impl AuthorizationPolicySpec {
    /// All targets, whichever way they are written.
    pub fn targets(&self) -> impl Iterator<Item = &TargetRef> {
        targets(&self.target_refs, self.target_ref.as_ref())
    }
}

impl Operation {
    /// `ports` as numbers; texts that are none are left out (a policy that was read has none).
    pub fn port_numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.ports.iter().filter_map(|port| port.parse().ok())
    }

    /// `notPorts` as numbers, likewise.
    pub fn not_port_numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.not_ports.iter().filter_map(|port| port.parse().ok())
    }
}

impl IpBlock {
    /// The block's network, host bits cleared.
    pub fn network(self) -> IpNet {
        self.0.trunc()
    }

    /// Whether the address is in the block.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for IpBlock {
    type Err = String;

    /// Parses `ADDRESS` or `ADDRESS/PREFIX`; the error is the reason and the remedy in one line.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = fields::parse_ip(address) else {
            return Err(format!("{} is not an IP block; write ADDRESS or ADDRESS/PREFIX", quoted(text)));
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = match prefix {
            None => Some(longest),
            Some(digits) => prefix_length(digits),
        };
        length.and_then(|length| IpNet::new(address, length).ok()).map(Self).ok_or_else(|| {
            format!(
                "{} is not an IP block; use ADDRESS/PREFIX with a prefix of at most {longest}",
                quoted(text)
            )
        })
    }
}

/// A prefix length without sign or leading zeros, as Go's `netip.ParsePrefix` reads it.
fn prefix_length(digits: &str) -> Option<u8> {
    let plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

impl fmt::Display for IpBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(formatter)
        } else {
            self.0.fmt(formatter)
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Audit => "AUDIT",
            Self::Custom => "CUSTOM",
        })
    }
}

impl Serialize for IpBlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IpBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}
