//! Which labels a selector picks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Istio's `WorkloadSelector`: labels that all must be there. Without any, it picks every workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WorkloadSelector {
    /// Keys with the values they must have; no wildcards.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

impl WorkloadSelector {
    /// Whether it picks a workload with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        matches(&self.match_labels, labels)
    }
}

/// Whether every wanted label is there with its value. Nothing wanted matches everything: a Service without
/// selector picks nothing instead, see [`crate::Service::selects`].
pub fn matches(wanted: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
