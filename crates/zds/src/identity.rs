//! Which workload a pod is.

/// The pod's name, namespace and service account (ZDS `WorkloadInfo`), as the agent vouches for them.
///
/// The trust domain is not part of it: it is the mesh's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkloadIdentity {
    /// The pod's name.
    pub name: String,
    /// The namespace the pod is in.
    pub namespace: String,
    /// The service account it runs as.
    pub service_account: String,
}
