//! A ServiceAccount: the name in a workload's identity.

use serde::{Deserialize, Serialize};

use crate::Metadata;

/// `v1` ServiceAccount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccount {
    /// Name and namespace.
    pub metadata: Metadata,
}
