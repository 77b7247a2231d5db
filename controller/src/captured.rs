//! Which pods the node agents have captured: kept on disk, because a captured pod is never announced as plaintext.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_kubernetes::Pod;
use ambit_model::Text;
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

/// What one agent says of its node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeReport {
    /// The pods that are captured.
    pub pods: Vec<CapturedPod>,
    /// Whether the pods that are not listed are released even though they are enrolled: their rules are taken out.
    /// Without it an enrolled pod that was captured stays captured; an agent that has just started may not know better.
    #[serde(default)]
    pub released: bool,
}

/// The captured pods of every node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    nodes: BTreeMap<String, Arc<BTreeSet<CapturedPod>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    nodes: BTreeMap<String, Arc<BTreeSet<CapturedPod>>>,
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
            nodes.insert(node.as_str().to_owned(), Arc::new(pods));
        }
        Self { nodes }
    }

    /// What is known after a report, given the node's enrolled pods (`None` before the first configuration). Pods that the report
    /// does not name are dropped, but not those that are enrolled there, unless it releases them: were they announced
    /// as plaintext, their peers would send it. Without a configuration nobody knows who is enrolled, so all stay.
    #[must_use]
    pub fn after<'a>(
        &self,
        node: &NodeName,
        report: NodeReport,
        enrolled: Option<impl Iterator<Item = &'a Pod>>,
    ) -> Self {
        let mut pods: BTreeSet<_> = report.pods.into_iter().collect();
        if let Some(before) = self.nodes.get(node.as_str()).filter(|_| !report.released) {
            let kept: Vec<_> = match enrolled {
                Some(enrolled) => enrolled
                    .filter(|pod| same(&pods, pod).is_none())
                    .filter_map(|pod| same(before, pod).cloned())
                    .collect(),
                None => {
                    before.difference(&pods).take(MOST_PODS - pods.len().min(MOST_PODS)).cloned().collect()
                }
            };
            pods.extend(kept);
        }
        self.with_node(node, pods)
    }

    /// Without the pods for which `gone` says so.
    #[must_use]
    pub fn without(&self, mut gone: impl FnMut(&str, &CapturedPod) -> bool) -> Self {
        let mut nodes = self.nodes.clone();
        for (node, pods) in &mut nodes {
            if pods.iter().any(|pod| gone(node, pod)) {
                Arc::make_mut(pods).retain(|pod| !gone(node, pod));
            }
        }
        nodes.retain(|_, pods| !pods.is_empty());
        Self { nodes }
    }

    /// Whether the agent of the pod's own node has it captured. What other nodes say does not count.
    pub fn contains(&self, pod: &Pod) -> bool {
        pod.node().and_then(|node| self.nodes.get(node)).is_some_and(|pods| same(pods, pod).is_some())
    }

    /// Namespace and name of the pods that these and others tell differently.
    pub fn differing(&self, others: &Self) -> Vec<(Text, Text)> {
        let nothing = Arc::default();
        let nodes: BTreeSet<&String> = self.nodes.keys().chain(others.nodes.keys()).collect();
        let pairs = nodes.into_iter().map(|node| {
            (self.nodes.get(node).unwrap_or(&nothing), others.nodes.get(node).unwrap_or(&nothing))
        });
        let pairs = pairs.filter(|(ours, theirs)| !Arc::ptr_eq(ours, theirs));
        pairs
            .flat_map(|(ours, theirs)| ours.symmetric_difference(theirs))
            .map(|pod| (pod.namespace.as_str().into(), pod.name.as_str().into()))
            .collect()
    }

    /// All of them, as node and pod.
    pub fn pods(&self) -> impl Iterator<Item = (&str, &CapturedPod)> {
        self.nodes.iter().flat_map(|(node, pods)| pods.iter().map(move |pod| (node.as_str(), pod)))
    }
}

/// The entry that is this very pod, as far as uids are known; a pod written by hand has none.
fn same<'a>(pods: &'a BTreeSet<CapturedPod>, pod: &Pod) -> Option<&'a CapturedPod> {
    let (namespace, name) = (pod.metadata.namespace.clone(), pod.metadata.name.clone());
    let mut named =
        pods.range(CapturedPod { namespace, name, uid: None }..).take_while(|entry| entry.is_of(pod));
    let uid = pod.metadata.uid.as_ref().map(|_| pod.uid());
    named.find(|entry| entry.uid.is_none() || uid.is_none() || entry.uid == uid)
}

impl CapturedPod {
    /// Whether it has the pod's namespace and name.
    pub fn is_of(&self, pod: &Pod) -> bool {
        self.namespace == pod.metadata.namespace && self.name == pod.metadata.name
    }
}
