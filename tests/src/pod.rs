//! A pod: a network namespace with a place, a name, and what is written about it in YAML.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ambit_model::Identity;
use ambit_netns::Namespace;

use crate::topology::{Place, Side};

/// The Kubernetes namespace that is enrolled.
pub const ENROLLED: &str = "shop";
/// The one that is not.
pub const OUTSIDE: &str = "outside";

/// What is to be written about a pod.
#[derive(Debug, Clone)]
pub struct PodSpec {
    /// Name; also the service account and the label `app`, unless these are set.
    pub name: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// Service account.
    pub account: String,
    /// Label `app`.
    pub app: String,
    /// Where it runs.
    pub side: Side,
    /// Whether the condition Ready is true.
    pub ready: bool,
    /// Its phase.
    pub phase: String,
    /// The pod's own label `istio.io/dataplane-mode`.
    pub mode: Option<String>,
    /// Further labels.
    pub labels: Vec<(String, String)>,
    /// Further annotations.
    pub annotations: Vec<(String, String)>,
    /// The Gateway that it serves.
    pub gateway: Option<String>,
    /// Whether it serves as waypoint, which speaks HBONE itself.
    pub waypoint: bool,
}

impl PodSpec {
    /// An enrolled, running and ready pod.
    pub fn new(name: &str, side: Side) -> Self {
        Self {
            name: name.to_owned(),
            namespace: ENROLLED.to_owned(),
            account: name.to_owned(),
            app: name.to_owned(),
            side,
            ready: true,
            phase: "Running".to_owned(),
            mode: None,
            labels: Vec::new(),
            annotations: Vec::new(),
            gateway: None,
            waypoint: false,
        }
    }

    /// A pod of the waypoint of this Gateway, in the enrolled namespace.
    pub fn waypoint(name: &str, gateway: &str, side: Side) -> Self {
        Self { waypoint: true, ..Self::ingress(name, gateway, side) }.account("waypoint")
    }

    /// A pod of this Gateway, which takes what comes from outside, in the enrolled namespace.
    pub fn ingress(name: &str, gateway: &str, side: Side) -> Self {
        let (mode, gateway) = (Some("none".to_owned()), Some(gateway.to_owned()));
        Self { mode, gateway, ..Self::new(name, side) }.account("gateway")
    }

    /// One that is not enrolled.
    pub fn outside(name: &str, side: Side) -> Self {
        Self { namespace: OUTSIDE.to_owned(), ..Self::new(name, side) }
    }

    /// With another service account.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        account.clone_into(&mut self.account);
        self
    }

    /// With another label `app`.
    #[must_use]
    pub fn app(mut self, app: &str) -> Self {
        app.clone_into(&mut self.app);
        self
    }

    /// With a further label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Whether the pod is to be captured.
    pub fn enrolled(&self) -> bool {
        match self.mode.as_deref() {
            Some("ambient") => true,
            Some(_) => false,
            None => self.namespace == ENROLLED,
        }
    }

    /// The spec as YAML, with the place.
    pub fn yaml(&self, uid: &str, place: &Place, path: &std::path::Path) -> String {
        let Self { name, namespace, account, app, side, ready, phase, .. } = self;
        let mode = self.mode.as_ref().map(|mode| format!("    istio.io/dataplane-mode: {mode}\n"));
        let gateway = self.gateway.as_ref();
        let gateway = gateway.map(|name| format!("    gateway.networking.k8s.io/gateway-name: {name}\n"));
        let labels: String =
            self.labels.iter().map(|(key, value)| format!("    {key}: \"{value}\"\n")).collect();
        let annotations: String =
            self.annotations.iter().map(|(key, value)| format!("    {key}: \"{value}\"\n")).collect();
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  uid: {uid}\n  \
             labels:\n    app: {app}\n{}{}{labels}  annotations:\n    ambit.mesh/netns: {}\n{annotations}\
             spec:\n  nodeName: {}\n  serviceAccountName: {account}\n\
             status:\n  phase: {phase}\n  podIP: {v4}\n  podIPs:\n  - ip: {v4}\n  - ip: \"{v6}\"\n  \
             conditions:\n  - type: Ready\n    status: \"{}\"\n",
            mode.unwrap_or_default(),
            gateway.unwrap_or_default(),
            path.display(),
            side.name(),
            if *ready { "True" } else { "False" },
            v4 = place.v4,
            v6 = place.v6,
        )
    }
}

/// A pod that exists.
#[derive(Debug, Clone)]
pub struct Pod {
    /// What is written about it.
    pub spec: PodSpec,
    /// Its place on the network.
    pub place: Place,
    /// The name of its namespace in the file system.
    pub path: PathBuf,
    /// Its uid.
    pub uid: String,
}

impl Pod {
    /// Where its processes run.
    pub fn netns(&self) -> &Namespace {
        &self.place.netns
    }

    /// Its IPv4 address with a port.
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.place.v4, port).into()
    }

    /// Its IPv6 address with a port.
    pub fn at6(&self, port: u16) -> SocketAddr {
        (self.place.v6, port).into()
    }

    /// Both addresses.
    pub fn ips(&self) -> [IpAddr; 2] {
        [self.place.v4.into(), self.place.v6.into()]
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        Identity::new("cluster.local", &self.spec.namespace, &self.spec.account).unwrap()
    }
}
