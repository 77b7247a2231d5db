//! What a controller is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ambit_identity::Clock;

/// Everything that [`crate::Controller::start`] needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory of YAML files; it must exist.
    pub config: PathBuf,
    /// Where keys and captured pods are kept; made if absent.
    pub state: PathBuf,
    /// Where to listen; port 0 takes a free one. At least one.
    pub listen: Vec<SocketAddr>,
    /// Further DNS names and addresses for the serving certificate.
    pub server_names: Vec<String>,
    /// The mesh.
    pub mesh: MeshSettings,
    /// What may be dialled for the keys of token issuers.
    pub keys: crate::keys::Permissions,
    /// Longest lifetime of a workload's certificate.
    pub max_certificate_lifetime: Duration,
    /// Where the admin server listens, on a loopback address; `None` for nowhere.
    pub admin: Option<SocketAddr>,
    /// Tells the wall-clock time.
    pub clock: Clock,
}

/// Facts about the mesh that no resource tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshSettings {
    /// Trust domain of every identity (Istio `meshConfig.trustDomain`).
    pub trust_domain: String,
    /// This cluster's name (Istio `CLUSTER_ID`).
    pub cluster_id: String,
    /// Suffix of service host names (Istio `DOMAIN_SUFFIX`).
    pub cluster_domain: String,
    /// The network of all addresses, unless the root namespace is labelled `topology.istio.io/network`.
    pub network: String,
    /// The namespace whose policies hold for the whole mesh (Istio `meshConfig.rootNamespace`).
    pub root_namespace: String,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            trust_domain: ambit_model::identity::DEFAULT_TRUST_DOMAIN.to_owned(),
            cluster_id: "Kubernetes".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            network: String::new(),
            root_namespace: ambit_kubernetes::ROOT_NAMESPACE.to_owned(),
        }
    }
}
