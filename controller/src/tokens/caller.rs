//! Whom a token proves: a node with all its pods, or one workload identity.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::NodeName;

/// Whom a token proves.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Caller {
    /// A node: its agent and its ztunnel, for all pods that live there.
    Node(NodeName),
    /// One identity: a waypoint or gateway, for itself.
    Workload(WorkloadName),
}

/// A service account, on one node only where that is said.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WorkloadName {
    namespace: Arc<str>,
    service_account: Arc<str>,
    node: Option<NodeName>,
}

/// A text that names no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a workload: write NAMESPACE/SERVICEACCOUNT, both as Kubernetes names them")]
pub struct InvalidWorkload(String);

impl WorkloadName {
    /// The same, proving itself for pods on one node only.
    #[must_use]
    pub fn on(self, node: Option<NodeName>) -> Self {
        Self { node, ..self }
    }

    /// Namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Service account.
    pub fn service_account(&self) -> &str {
        &self.service_account
    }

    /// The only node where its pods may be.
    pub fn node(&self) -> Option<&NodeName> {
        self.node.as_ref()
    }
}

impl Caller {
    /// A token's subject.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Node(node) => format!("node:{node}"),
            Self::Workload(workload) => format!("workload:{workload}"),
        }
    }

    /// Whom a token's subject means.
    pub(super) fn from_subject(subject: &str) -> Option<Self> {
        match subject.split_once(':')? {
            ("node", name) => name.parse().ok().map(Self::Node),
            ("workload", name) => {
                let (name, node) = match name.split_once('@') {
                    Some((name, node)) => (name, Some(node.parse().ok()?)),
                    None => (name, None),
                };
                let workload: WorkloadName = name.parse().ok()?;
                Some(Self::Workload(workload.on(node)))
            }
            _ => None,
        }
    }
}

impl FromStr for WorkloadName {
    type Err = InvalidWorkload;

    /// `NAMESPACE/SERVICEACCOUNT`, on any node.
    fn from_str(text: &str) -> Result<Self, InvalidWorkload> {
        let invalid = || InvalidWorkload(text.chars().take(64).collect());
        let (namespace, service_account) = text.split_once('/').ok_or_else(invalid)?;
        let label = namespace.len() <= 63 && !namespace.contains('.');
        // Both are DNS names as nodes' names are; a namespace is one label of it.
        let named = namespace.parse::<NodeName>().is_ok() && service_account.parse::<NodeName>().is_ok();
        if !label || !named {
            return Err(invalid());
        }
        Ok(Self { namespace: namespace.into(), service_account: service_account.into(), node: None })
    }
}

impl From<&NodeName> for Caller {
    fn from(node: &NodeName) -> Self {
        Self::Node(node.clone())
    }
}

impl From<NodeName> for Caller {
    fn from(node: NodeName) -> Self {
        Self::Node(node)
    }
}

impl From<WorkloadName> for Caller {
    fn from(workload: WorkloadName) -> Self {
        Self::Workload(workload)
    }
}

/// `node NAME` or `workload NAMESPACE/SERVICEACCOUNT[@NODE]`.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Workload(workload) => write!(f, "workload {workload}"),
        }
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)?;
        self.node.as_ref().map_or(Ok(()), |node| write!(f, "@{node}"))
    }
}
