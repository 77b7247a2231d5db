//! One path from a client pod to a server pod, with everything that it needs running.

pub mod capture;
pub mod certificates;
pub mod envoy;
pub mod mesh;
pub mod network;
mod operators;
pub mod part;
pub mod path;
pub(crate) mod resources;
pub(crate) mod sidecar;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ambit_netns::Namespace;
use anyhow::Context;

use crate::work::churn::ask;
use crate::work::connect::connect;
use network::{Network, Pod};
use operators::get;
use part::Part;
use path::{Kind, PathSpec};

/// The server's port in every server pod.
pub const PORT: u16 = 8080;
/// The names of the two pods.
const CLIENT: &str = "client";
const SERVER: &str = "server";
/// Longest wait until the first request passes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The programs that take part.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Ours: `controller`, `ambit-agent`, `ztunnel`.
    pub ours: PathBuf,
    /// This program.
    pub bench: PathBuf,
    /// Envoy, if sidecars are measured.
    pub envoy: Option<PathBuf>,
}

/// A path that is up.
#[derive(Debug)]
pub struct Stage {
    /// Which.
    pub spec: PathSpec,
    /// The client's pod.
    pub client: Pod,
    /// The server's process.
    pub server: Part,
    /// Where the client finds the server.
    pub to: SocketAddr,
    /// What carries the traffic: the node proxies or the sidecars.
    pub proxies: Vec<Part>,
    /// What configures the proxies: controller and agents.
    pub control: Vec<Part>,
    /// The resources of its mesh, if it is one.
    pub files: Option<mesh::Files>,
    /// The namespaces of its nodes and pods.
    pub network: Network,
}

impl Stage {
    /// Starts everything and proves with a request that the path is what its name says.
    pub fn start(spec: &PathSpec, programs: &Programs, root: &Path) -> anyhow::Result<Self> {
        Self::begin(spec, programs, root).with_context(|| format!("path {} cannot be set up", spec.name))
    }

    fn begin(spec: &PathSpec, programs: &Programs, root: &Path) -> anyhow::Result<Self> {
        let directory = root.join(&spec.name);
        std::fs::create_dir_all(directory.join("netns"))?;
        let mut network = Network::new(spec.nodes, &directory.join("netns"))?;
        let client = network.attach(CLIENT, 0)?;
        let server = network.attach(SERVER, spec.nodes - 1)?;
        let listening = serve(programs, &server.netns, &directory)?;
        let pods = [client.clone(), server.clone()];
        let (proxies, control, files) = match &spec.kind {
            Kind::Direct => (Vec::new(), Vec::new(), None),
            Kind::Mesh { ztunnel, settings } => {
                let mesh = mesh::start(&network, &pods, programs, ztunnel, settings, &directory)?;
                (mesh.ztunnels, mesh.control, Some(mesh.files))
            }
            Kind::Sidecar(mode) => {
                (sidecar::start(&client, &server, programs, *mode, &directory)?, Vec::new(), None)
            }
        };
        let to = server.at(PORT);
        let mut stage =
            Self { spec: spec.clone(), client, server: listening, to, proxies, control, files, network };
        stage.first_request()?;
        if let Kind::Sidecar(_) = spec.kind {
            sidecar::prove(&pods)?;
        }
        if let Kind::Mesh { .. } = spec.kind {
            mesh::prove(stage.proxies.last_mut())?;
        }
        Ok(stage)
    }

    /// Right after the start a proxy may not know everybody yet.
    fn first_request(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let asked = self.client.netns.run(|| {
                let stream: TcpStream = connect(self.to)?;
                ask(&stream, 1, &mut Vec::new())
            })?;
            match asked {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error).context("no request passes"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
            self.check()?;
        }
    }

    /// Fails when a program of this path has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let parts = self.proxies.iter_mut().chain(&mut self.control).chain(std::iter::once(&mut self.server));
        parts.into_iter().try_for_each(Part::check)
    }

    /// Ends everything in order: the proxies first.
    pub fn end(self) {
        self.proxies.into_iter().chain(self.control).for_each(Part::end);
    }
}

/// Starts the server in a namespace.
fn serve(programs: &Programs, namespace: &Namespace, directory: &Path) -> anyhow::Result<Part> {
    let mut command = Command::new(&programs.bench);
    command.args(["serve", &PORT.to_string()]);
    Part::start("server", namespace, &mut command, directory)
}
