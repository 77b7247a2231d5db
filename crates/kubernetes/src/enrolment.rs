//! Whether a pod is part of the mesh, and if not, why.

use std::fmt;

use crate::{Namespace, Pod, annotations, labels};

/// Namespaces whose pods are never enrolled, as Istio's CNI chart excludes them.
const EXCLUDED_NAMESPACES: [&str; 1] = ["kube-system"];

/// Whether a pod is part of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// Its traffic is to be captured.
    Enrolled,
    /// Its traffic is left alone.
    NotEnrolled(NotEnrolledReason),
}

/// Why a pod is not part of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotEnrolledReason {
    /// It shares the node's network.
    HostNetwork,
    /// It has a sidecar already.
    Sidecar,
    /// It ended.
    Ended,
    /// Its namespace is never enrolled.
    ExcludedNamespace,
    /// Its own label says `none`.
    OptedOut,
    /// Neither it nor its namespace is labelled.
    NotLabelled,
}

/// Decides enrolment from the labels of the pod and its namespace (nothing when there is no Namespace object). What
/// cannot be captured stays out whatever the labels say; then the pod's own label wins over the namespace's.
pub fn enrolled(pod: &Pod, namespace: Option<&Namespace>) -> Enrolment {
    match ineligible(pod).or_else(|| unlabelled(pod, namespace)) {
        Some(reason) => Enrolment::NotEnrolled(reason),
        None => Enrolment::Enrolled,
    }
}

fn ineligible(pod: &Pod) -> Option<NotEnrolledReason> {
    if pod.spec.host_network {
        return Some(NotEnrolledReason::HostNetwork);
    }
    if pod.metadata.annotations.contains_key(annotations::SIDECAR_STATUS) {
        return Some(NotEnrolledReason::Sidecar);
    }
    if pod.is_terminal() {
        return Some(NotEnrolledReason::Ended);
    }
    EXCLUDED_NAMESPACES
        .contains(&pod.metadata.namespace.as_str())
        .then_some(NotEnrolledReason::ExcludedNamespace)
}

fn unlabelled(pod: &Pod, namespace: Option<&Namespace>) -> Option<NotEnrolledReason> {
    let own = pod.metadata.label(labels::DATAPLANE_MODE);
    let inherited = namespace.and_then(|namespace| namespace.metadata.label(labels::DATAPLANE_MODE));
    match (own, inherited) {
        (Some(labels::DATAPLANE_AMBIENT), _) => None,
        (Some(labels::DATAPLANE_NONE), _) => Some(NotEnrolledReason::OptedOut),
        (_, Some(labels::DATAPLANE_AMBIENT)) => None,
        _ => Some(NotEnrolledReason::NotLabelled),
    }
}

impl Enrolment {
    /// Whether it is [`Enrolment::Enrolled`].
    pub fn is_enrolled(self) -> bool {
        self == Self::Enrolled
    }
}

impl fmt::Display for NotEnrolledReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::HostNetwork => "it uses the host's network",
            Self::Sidecar => "it has a sidecar",
            Self::Ended => "it has ended",
            Self::ExcludedNamespace => "its namespace is never enrolled",
            Self::OptedOut => "its label istio.io/dataplane-mode is none",
            Self::NotLabelled => "neither it nor its namespace is labelled istio.io/dataplane-mode=ambient",
        })
    }
}
