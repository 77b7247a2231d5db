//! Which pods the node agents have captured: kept on disk, because a captured pod is never announced as plaintext.

use std::collections::{BTreeMap, BTreeSet};

use ambit_kubernetes::Pod;
use serde::{Deserialize, Serialize};

use crate::state::{Access, StateDirectory, StateError};
use crate::tokens::NodeName;

/// Where they are kept.
pub const FILE: &str = "captured.json";

/// Most pods that one node may report.
pub const MOST_PODS: usize = 10_000;

/// One pod, as its agent names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapturedPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Its uid, when the agent knows one: a new pod of the same name is not captured by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// The captured pods of every node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    nodes: BTreeMap<String, BTreeSet<CapturedPod>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    nodes: BTreeMap<String, BTreeSet<CapturedPod>>,
}

/// Why the captured pods are not known.
#[derive(Debug, thiserror::Error)]
pub enum CapturedError {
    /// Files.
    #[error(transparent)]
    State(#[from] StateError),
    /// Not what we wrote.
    #[error(
        "{} cannot be read: {reason}; restore it from a backup, or remove it when no pod is captured (captured pods would be announced as plaintext until their agents report)",
        path.display()
    )]
    Malformed {
        /// The file.
        path: std::path::PathBuf,
        /// One line.
        reason: String,
    },
}

impl Captured {
    /// What the state directory holds; nothing when there is no file.
    pub fn load(state: &StateDirectory) -> Result<Self, CapturedError> {
        let Some(bytes) = state.read(FILE, Access::Private)? else { return Ok(Self::default()) };
        match serde_json::from_slice::<Stored>(&bytes) {
            Ok(stored) => Ok(Self { nodes: stored.nodes }),
            Err(error) => Err(CapturedError::Malformed { path: state.file(FILE), reason: error.to_string() }),
        }
    }

    /// Writes them, whole or not at all.
    pub fn store(&self, state: &StateDirectory) -> Result<(), StateError> {
        let stored = Stored { nodes: self.nodes.clone() };
        let text = serde_json::json!(stored);
        state.write(FILE, Access::Private, format!("{text:#}\n").as_bytes())
    }

    /// Replaces the list of one node.
    #[must_use]
    pub fn with_node(&self, node: &NodeName, pods: impl IntoIterator<Item = CapturedPod>) -> Self {
        let mut nodes = self.nodes.clone();
        let pods: BTreeSet<_> = pods.into_iter().collect();
        if pods.is_empty() {
            nodes.remove(node.as_str());
        } else {
            nodes.insert(node.as_str().to_owned(), pods);
        }
        Self { nodes }
    }

    /// Without the pods for which `gone` says so.
    #[must_use]
    pub fn without(&self, mut gone: impl FnMut(&str, &CapturedPod) -> bool) -> Self {
        let mut nodes = self.nodes.clone();
        for (node, pods) in &mut nodes {
            pods.retain(|pod| !gone(node, pod));
        }
        nodes.retain(|_, pods| !pods.is_empty());
        Self { nodes }
    }

    /// Whether the agent of the pod's own node has it captured. What other nodes say does not count.
    pub fn contains(&self, pod: &Pod) -> bool {
        let Some(pods) = pod.node().and_then(|node| self.nodes.get(node)) else { return false };
        let named = |uid: Option<String>| CapturedPod {
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid,
        };
        if pods.contains(&named(None)) || pods.contains(&named(Some(pod.uid()))) {
            return true;
        }
        // A pod written by hand has no uid to compare with.
        pod.metadata.uid.is_none() && pods.range(named(None)..).next().is_some_and(|next| next.is_of(pod))
    }

    /// All of them, as node and pod.
    pub fn pods(&self) -> impl Iterator<Item = (&str, &CapturedPod)> {
        self.nodes.iter().flat_map(|(node, pods)| pods.iter().map(move |pod| (node.as_str(), pod)))
    }
}

impl CapturedPod {
    /// Whether it has the pod's namespace and name.
    pub fn is_of(&self, pod: &Pod) -> bool {
        self.namespace == pod.metadata.namespace && self.name == pod.metadata.name
    }
}
