//! A mesh of real processes: one controller, and an agent and a ztunnel on each node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ambit_netns::Namespace;
use anyhow::{Context, ensure};

use super::network::{Network, Pod};
use super::part::{Part, command};
use super::{Programs, get, resources};

/// Where the controller listens, on the first node.
const CONTROLLER: u16 = 15012;
/// Where a ztunnel answers operators.
const ADMIN: u16 = 15000;
/// Where it says whether it is ready.
const READINESS: u16 = 15021;
/// Threads of each ztunnel that carry traffic, for ours and others alike.
pub const WORKERS: usize = 2;

/// Its processes and files.
#[derive(Debug)]
pub struct Mesh {
    /// One for each node.
    pub ztunnels: Vec<Part>,
    /// The controller, and an agent for each node.
    pub control: Vec<Part>,
    /// Where its resources are.
    pub files: Files,
}

/// Starts everything, and waits until each ztunnel serves its pods and knows all of them as captured.
pub fn start(
    network: &Network,
    pods: &[Pod],
    programs: &Programs,
    ztunnel: &Path,
    settings: &[(String, String)],
    directory: &Path,
) -> anyhow::Result<Mesh> {
    let files =
        Files { directory: directory.to_owned(), controller: (network.node_address(0), CONTROLLER).into() };
    for directory in [files.config(), files.agents_config()] {
        std::fs::create_dir_all(directory)?;
    }
    files.write("namespace", &resources::namespace(), true)?;
    files.write("pods", &resources::pods(pods), true)?;
    let mut control = vec![start_controller(network.node(0)?, programs, &files)?];
    let mut ztunnels = Vec::new();
    for index in 0..network.node_count() {
        let node = network.node(index)?;
        make_token(node, index, programs, &files)?;
        control.push(start_agent(node, index, programs, &files)?);
        ztunnels.push(start_ztunnel(node, index, ztunnel, settings, &files)?);
    }
    for (index, ztunnel) in ztunnels.iter_mut().enumerate() {
        settle(ztunnel, network.node(index)?, pods)?;
    }
    Ok(Mesh { ztunnels, control, files })
}

/// Where its files are.
#[derive(Debug, Clone)]
pub struct Files {
    directory: PathBuf,
    controller: SocketAddr,
}

impl Files {
    /// The resources, as the controller reads them.
    fn config(&self) -> PathBuf {
        self.directory.join("config")
    }

    /// The resources that agents need: in Kubernetes too they see the pods of their nodes only.
    fn agents_config(&self) -> PathBuf {
        self.directory.join("config-of-agents")
    }

    /// Writes a file of resources, all at once; `agents` need those about pods that run here.
    pub fn write(&self, name: &str, text: &str, agents: bool) -> anyhow::Result<()> {
        let draft = self.directory.join("draft");
        for directory in [Some(self.config()), agents.then(|| self.agents_config())].into_iter().flatten() {
            std::fs::write(&draft, text)?;
            std::fs::rename(&draft, directory.join(format!("{name}.yaml")))?;
        }
        Ok(())
    }

    /// Removes a file that only the controller has.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.config().join(format!("{name}.yaml")))?)
    }

    fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    fn root(&self) -> PathBuf {
        self.state().join("root-cert.pem")
    }

    fn token(&self, node: usize) -> PathBuf {
        self.directory.join(format!("token-{node}"))
    }

    fn zds(&self, node: usize) -> PathBuf {
        self.directory.join(format!("zds-{node}")).join("ztunnel.sock")
    }
}

fn start_controller(node: &Namespace, programs: &Programs, files: &Files) -> anyhow::Result<Part> {
    let mut starting = command(&programs.ours.join("controller"));
    starting.arg("--config").arg(files.config()).arg("--state").arg(files.state());
    starting.args(["--listen", &files.controller.to_string()]);
    let mut controller = Part::start("controller", node, &mut starting, &files.directory)?;
    let root = files.root();
    controller.until("makes its root certificate", |_| root.exists().then_some(()))?;
    Ok(controller)
}

fn make_token(node: &Namespace, index: usize, programs: &Programs, files: &Files) -> anyhow::Result<()> {
    let mut making = command(&programs.ours.join("controller"));
    making.args(["token", "--node", &resources::node_name(index), "--state"]).arg(files.state());
    making.arg("--out").arg(files.token(index));
    let output = node.run(|| making.output())?.context("controller token cannot be started")?;
    ensure!(output.status.success(), "controller token: {}", String::from_utf8_lossy(&output.stderr).trim());
    // Others read the file as it is, an end of line included.
    let token = std::fs::read_to_string(files.token(index))?;
    Ok(std::fs::write(files.token(index), token.trim())?)
}

fn start_agent(node: &Namespace, index: usize, programs: &Programs, files: &Files) -> anyhow::Result<Part> {
    let mut starting = command(&programs.ours.join("ambit-agent"));
    starting.arg("--config").arg(files.agents_config()).args(["--node", &resources::node_name(index)]);
    starting.arg("--zds").arg(files.zds(index)).args(["--controller", &files.controller.to_string()]);
    starting.arg("--token").arg(files.token(index)).arg("--root").arg(files.root());
    Part::start(&format!("agent-{index}"), node, &mut starting, &files.directory)
}

fn start_ztunnel(
    node: &Namespace,
    index: usize,
    program: &Path,
    settings: &[(String, String)],
    files: &Files,
) -> anyhow::Result<Part> {
    let mut starting = command(program);
    let address = format!("https://{}", files.controller);
    starting.args(["proxy", "ztunnel"]).env("NODE_NAME", resources::node_name(index));
    starting.env("XDS_ADDRESS", &address).env("CA_ADDRESS", &address);
    starting.env("XDS_ROOT_CA", files.root()).env("CA_ROOT_CA", files.root());
    starting.env("AUTH_TOKEN", files.token(index)).env("INPOD_UDS", files.zds(index));
    starting.env("POD_NAME", format!("ztunnel-{index}")).env("POD_NAMESPACE", "istio-system");
    starting.env("ZTUNNEL_WORKER_THREADS", WORKERS.to_string()).env("RUST_LOG", "info");
    starting.envs(settings.iter().map(|(name, value)| (name, value)));
    Part::start(&format!("ztunnel-{index}"), node, &mut starting, &files.directory)
}

/// Waits until a ztunnel knows every pod as captured.
pub fn settle(ztunnel: &mut Part, node: &Namespace, pods: &[Pod]) -> anyhow::Result<()> {
    ztunnel.until("is ready", |_| get(node, READINESS, "/healthz/ready").map(drop))?;
    ztunnel.until("knows every pod as captured", |_| {
        let dump: serde_json::Value = serde_json::from_str(&get(node, ADMIN, "/config_dump")?).ok()?;
        let known = dump["workloads"].as_array()?;
        let captured =
            |pod: &Pod| known.iter().any(|one| one["name"] == *pod.name && one["protocol"] == "HBONE");
        pods.iter().all(captured).then_some(())
    })
}

/// Whether a node's ztunnel knows a workload.
pub fn knows(node: &Namespace, name: &str) -> bool {
    // The whole dump is large; what is looked for is unique in it.
    get(node, ADMIN, "/config_dump").is_some_and(|dump| dump.contains(&format!("\"{name}\"")))
}

/// Fails unless a ztunnel's access log says that it took a connection over mutual TLS.
pub fn prove(ztunnel: Option<&mut Part>) -> anyhow::Result<()> {
    let ztunnel = ztunnel.context("there is no ztunnel")?;
    ztunnel.until("its access log names the client's identity", |ztunnel| {
        ztunnel.words().contains("sa/client").then_some(())
    })
}
