//! A Namespace: its labels enrol the pods in it.

use serde::{Deserialize, Serialize};

use crate::Metadata;

/// `v1` Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Namespace {
    /// Name, labels and annotations.
    pub metadata: Metadata,
}
