//! The resources of a mesh of the bench, as a user would write them.

use std::fmt::Write;
use std::path::Path;

use super::network::Pod;

/// The namespace that is enrolled.
pub(crate) const NAMESPACE: &str = "bench";

/// The name of a node.
pub(crate) fn node_name(index: usize) -> String {
    format!("node-{}", index + 1)
}

/// The namespace.
pub(crate) fn namespace() -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}, labels: {{istio.io/dataplane-mode: ambient}}}}\n"
    )
}

/// Pods that run here.
pub(crate) fn pods(pods: &[Pod]) -> String {
    pods.iter().fold(String::new(), |mut text, pod| {
        push_pod(&mut text, &pod.name, &node_name(pod.node), &pod.address.to_string(), Some(&pod.path));
        text
    })
}

/// One pod; without a path it is somewhere else.
pub(crate) fn push_pod(text: &mut String, name: &str, node: &str, address: &str, path: Option<&Path>) {
    let annotation = path.map(|path| format!("\n  annotations: {{ambit.mesh/netns: {}}}", path.display()));
    let _ = write!(
        text,
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  uid: uid-{name}\n  \
         labels: {{app: {name}}}{}\nspec: {{nodeName: {node}, serviceAccountName: {name}}}\n\
         status:\n  phase: Running\n  podIP: {address}\n  podIPs: [{{ip: {address}}}]\n  \
         conditions: [{{type: Ready, status: \"True\"}}]\n",
        annotation.unwrap_or_default(),
    );
}
