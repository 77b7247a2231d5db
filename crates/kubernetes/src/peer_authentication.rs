//! Istio's PeerAuthentication as users write it: where mutual TLS is required; nothing unknown is accepted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Metadata, WorkloadSelector, fields};

/// `security.istio.io/v1` and `v1beta1` PeerAuthentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PeerAuthentication {
    /// Name and namespace (its scope).
    pub metadata: Metadata,
    /// What it requires.
    pub spec: PeerAuthenticationSpec,
}

/// `spec` of a PeerAuthentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PeerAuthenticationSpec {
    /// Workloads it holds for; nothing means the whole namespace, in the root namespace the whole mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<WorkloadSelector>,
    /// What it requires on all ports; nothing means what the next wider scope requires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls: Option<MutualTls>,
    /// What it requires on single ports of the workload; only together with a selector.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub port_level_mtls: BTreeMap<u16, MutualTls>,
}

/// A mode of mutual TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MutualTls {
    /// What is required.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub mode: MtlsMode,
}

/// What is required of inbound connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MtlsMode {
    /// What the next wider scope requires.
    #[default]
    Unset,
    /// Nothing; treated as PERMISSIVE without sidecars.
    Disable,
    /// Plaintext and mutual TLS are accepted.
    Permissive,
    /// Mutual TLS is required.
    Strict,
}
