//! Which programs does the demo run, with which arguments?

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ambit_netns::Namespace;

use super::part::Recipe;
use super::place::Place;
use super::plan::{self, Node, Pod, WAYPOINT, controller};

/// Lifetime of the pods' certificates: so short that a renewal can be watched.
const CERTIFICATE_LIFETIME: &str = "20s";

/// A program that is not where it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MissingProgram {
    /// Not built, or not installed together.
    #[error("{} is missing: build all programs with `cargo build --bins`, or keep them in one directory with ambit", .0.display())]
    Absent(PathBuf),
    /// Our own path is unknown.
    #[error("cannot tell where this program is ({0}): mount /proc")]
    Own(std::io::Error),
}

/// The programs of the mesh, found beside this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    ambit: PathBuf,
    controller: PathBuf,
    agent: PathBuf,
    ztunnel: PathBuf,
    waypoint: PathBuf,
}

/// Who needs a token.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bearer {
    /// The agent and the ztunnel of a node.
    Node(&'static Node),
    /// The waypoint.
    Waypoint,
}

impl Bearer {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Node(node) => node.name,
            Self::Waypoint => WAYPOINT.name,
        }
    }
}

impl Programs {
    /// Finds them.
    pub(crate) fn find() -> Result<Self, MissingProgram> {
        let ambit = std::env::current_exe().map_err(MissingProgram::Own)?;
        let beside = |name: &str| {
            let path = ambit.with_file_name(name);
            if path.is_file() { Ok(path) } else { Err(MissingProgram::Absent(path)) }
        };
        let (controller, agent) = (beside("controller")?, beside("ambit-agent")?);
        let (ztunnel, waypoint) = (beside("ztunnel")?, beside("waypoint")?);
        Ok(Self { ambit, controller, agent, ztunnel, waypoint })
    }

    /// The control plane, on the first node.
    pub(crate) fn controller(&self, place: &Place, namespace: &Namespace) -> Recipe {
        let arguments = vec![
            "--config".into(),
            place.config().into(),
            "--state".into(),
            place.state().into(),
            "--listen".into(),
            controller().to_string().into(),
        ];
        recipe("controller", namespace, &self.controller, arguments)
    }

    /// Arguments of a `controller` that writes the token of somebody who comes for configuration and certificates.
    pub(crate) fn token(&self, place: &Place, bearer: &Bearer) -> (PathBuf, Vec<OsString>) {
        let (flag, who) = match bearer {
            Bearer::Node(node) => ("--node", node.name.to_owned()),
            Bearer::Waypoint => ("--workload", format!("{}/{}", WAYPOINT.namespace, WAYPOINT.name)),
        };
        let arguments = vec![
            "token".into(),
            flag.into(),
            who.into(),
            "--state".into(),
            place.state().into(),
            "--out".into(),
            place.token(bearer.name()).into(),
        ];
        (self.controller.clone(), arguments)
    }

    /// Arguments of a `controller` that only checks the configuration.
    pub(crate) fn check(&self, place: &Place) -> (PathBuf, Vec<OsString>) {
        (self.controller.clone(), vec!["check".into(), "--config".into(), place.config().into()])
    }

    /// A node's agent.
    pub(crate) fn agent(&self, place: &Place, node: &Node, namespace: &Namespace) -> Recipe {
        let arguments = vec![
            "--config".into(),
            place.config().into(),
            "--node".into(),
            node.name.into(),
            "--zds".into(),
            place.zds(node.name).into(),
            "--controller".into(),
            controller().to_string().into(),
            "--token".into(),
            place.token(node.name).into(),
            "--root".into(),
            root_certificate(place).into(),
        ];
        recipe(&part_name("agent", node), namespace, &self.agent, arguments)
    }

    /// A node's proxy.
    pub(crate) fn ztunnel(&self, place: &Place, node: &Node, namespace: &Namespace) -> Recipe {
        let address = format!("https://{}", controller());
        let root = root_certificate(place);
        let environment: Vec<(&'static str, OsString)> = vec![
            ("NODE_NAME", node.name.into()),
            ("INSTANCE_IP", node.address().to_string().into()),
            ("XDS_ADDRESS", address.clone().into()),
            ("CA_ADDRESS", address.into()),
            ("XDS_ROOT_CA", root.clone().into()),
            ("CA_ROOT_CA", root.into()),
            ("AUTH_TOKEN", place.token(node.name).into()),
            ("INPOD_UDS", place.zds(node.name).into()),
            ("SECRET_TTL", CERTIFICATE_LIFETIME.into()),
            ("ZTUNNEL_WORKER_THREADS", "2".into()),
            ("LOG_FORMAT", "json".into()),
            ("RUST_LOG", "info".into()),
        ];
        let recipe = recipe(&part_name("ztunnel", node), namespace, &self.ztunnel, Vec::new());
        Recipe { environment, ..recipe }
    }

    /// The proxy for requests.
    pub(crate) fn waypoint(&self, place: &Place, namespace: &Namespace) -> Recipe {
        let address = format!("https://{}", controller());
        let root = root_certificate(place);
        let environment: Vec<(&'static str, OsString)> = vec![
            ("POD_NAME", WAYPOINT.name.into()),
            ("POD_NAMESPACE", WAYPOINT.namespace.into()),
            ("SERVICE_ACCOUNT", WAYPOINT.name.into()),
            ("GATEWAY_NAME", WAYPOINT.name.into()),
            ("INSTANCE_IP", WAYPOINT.addresses()[0].to_string().into()),
            ("NODE_NAME", WAYPOINT.node().name.into()),
            ("XDS_ADDRESS", address.clone().into()),
            ("CA_ADDRESS", address.into()),
            ("XDS_ROOT_CA", root.clone().into()),
            ("CA_ROOT_CA", root.into()),
            ("AUTH_TOKEN", place.token(WAYPOINT.name).into()),
            ("SECRET_TTL", CERTIFICATE_LIFETIME.into()),
            ("WAYPOINT_WORKER_THREADS", "2".into()),
            ("LOG_FORMAT", "json".into()),
            ("RUST_LOG", "info".into()),
        ];
        let recipe = recipe(WAYPOINT.name, namespace, &self.waypoint, Vec::new());
        Recipe { environment, ..recipe }
    }

    /// A pod's program.
    pub(crate) fn shop(&self, pod: &Pod, namespace: &Namespace, marker: &str) -> Recipe {
        let arguments = vec![
            "shop".into(),
            "--name".into(),
            pod.name.into(),
            "--port".into(),
            plan::POD_PORT.to_string().into(),
            "--marker".into(),
            marker.into(),
        ];
        Recipe { shop: true, ..recipe(pod.name, namespace, &self.ambit, arguments) }
    }
}

/// The name of a node's part.
pub(crate) fn part_name(kind: &str, node: &Node) -> String {
    format!("{kind}-{}", node.name)
}

/// What everybody trusts; the controller makes it.
pub(crate) fn root_certificate(place: &Place) -> PathBuf {
    place.state().join("root-cert.pem")
}

fn recipe(name: &str, namespace: &Namespace, program: &Path, arguments: Vec<OsString>) -> Recipe {
    Recipe {
        name: name.to_owned(),
        namespace: namespace.clone(),
        program: program.to_owned(),
        arguments,
        environment: Vec::new(),
        shop: false,
    }
}
