//! A mesh of real processes: one controller, an agent and a ztunnel on each of two nodes, and pods.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ambit_netns::Namespace;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::pod::{Pod, PodSpec};
use crate::process::{Process, command, command_at, program};
use crate::resources;
use crate::topology::{SIDES, Side, Topology};
use crate::wait::{wait_for, wait_until};
use crate::{fast_paths, http};

/// Where the controller listens.
pub const CONTROLLER_PORT: u16 = 15012;

/// Everything of one test. Dropping it ends the processes.
#[derive(Debug)]
pub struct Mesh {
    /// Files of this mesh; under the world's own `/run`.
    pub directory: PathBuf,
    /// The network.
    pub topology: Topology,
    /// The controller, while it runs.
    pub controller: Option<Process>,
    /// The agents, by node.
    pub agents: [Option<Process>; 2],
    /// The ztunnels, by node.
    pub ztunnels: [Option<Process>; 2],
    /// Settings of every ztunnel that is started, over the usual ones.
    pub settings: BTreeMap<String, String>,
    /// Which proxy runs on each node.
    pub proxies: [Proxy; 2],
    /// Further arguments of every controller that is started.
    pub controller_arguments: Vec<String>,
    /// Further arguments of every agent that is started.
    pub agent_arguments: Vec<String>,
    pods: BTreeMap<String, Pod>,
    made: u32,
    /// Where each node's ztunnel serves its operators: the node, or the place of one that took over.
    homes: [Namespace; 2],
}

/// A program that does ztunnel's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub program: PathBuf,
    /// Settings of its own, over those of every ztunnel.
    pub settings: BTreeMap<String, String>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self { program: program("ztunnel"), settings: BTreeMap::new() }
    }
}

impl Mesh {
    /// Two nodes and no process. The name is unique among the tests of a binary.
    pub fn new(name: &str) -> Self {
        let directory = Path::new("/run/mesh").join(name);
        for part in ["config", "netns", "node-a", "node-b"] {
            fs::create_dir_all(directory.join(part)).unwrap();
        }
        let topology = Topology::new();
        let mesh = Self {
            directory,
            homes: SIDES.map(|side| topology.node(side).clone()),
            topology,
            controller: None,
            agents: [None, None],
            ztunnels: [None, None],
            settings: fast_paths::of_this_run(),
            proxies: [Proxy::default(), Proxy::default()],
            controller_arguments: Vec::new(),
            agent_arguments: Vec::new(),
            pods: BTreeMap::new(),
            made: 0,
        };
        mesh.apply("namespaces", &resources::namespaces());
        mesh
    }

    /// A mesh whose processes run; pods can be there before or come later.
    pub fn started(name: &str) -> Self {
        let mut mesh = Self::new(name);
        mesh.start();
        mesh
    }

    /// Starts everything.
    pub fn start(&mut self) {
        self.start_controller();
        for side in SIDES {
            self.start_agent(side);
            self.start_ztunnel(side);
        }
    }

    /// The directory of the resources.
    pub fn config(&self) -> PathBuf {
        self.directory.join("config")
    }

    /// The controller's state.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// A node's namespace.
    pub fn node(&self, side: Side) -> &Namespace {
        self.topology.node(side)
    }

    /// The controller's address.
    pub fn controller_address() -> SocketAddr {
        (Side::A.address(), CONTROLLER_PORT).into()
    }

    /// A node's token file; made when first asked for.
    pub fn token(&self, side: Side) -> PathBuf {
        let path = self.directory.join(side.name()).join("token");
        if !path.exists() {
            self.make_token(side.name(), &path, &[]);
        }
        path
    }

    /// Makes a token as an operator does.
    pub fn make_token(&self, node: &str, path: &Path, further: &[&str]) {
        self.make_token_for(&["--node", node], path, further);
    }

    fn make_token_for(&self, whom: &[&str], path: &Path, further: &[&str]) {
        let mut making = command("controller");
        making.arg("token").args(whom).arg("--state").arg(self.state()).arg("--out").arg(path).args(further);
        let mut making = Process::start("controller token", self.node(Side::A), &mut making);
        let ended = making.ended();
        assert!(ended.success() && path.exists(), "no token: {:?}", making.lines());
    }

    /// The controller's root certificate.
    pub fn root(&self) -> PathBuf {
        self.state().join("root-cert.pem")
    }

    /// Starts the controller, and waits until it listens.
    pub fn start_controller(&mut self) {
        let mut starting = command("controller");
        starting.arg("--config").arg(self.config()).arg("--state").arg(self.state());
        starting.args(["--listen", &Self::controller_address().to_string()]);
        starting.args(&self.controller_arguments);
        let controller = Process::start("controller", self.node(Side::A), &mut starting);
        self.controller = Some(controller);
        let node = self.node(Side::A);
        let listens = || http::connect(node, Self::controller_address()).is_ok();
        wait_until("the controller listens", listens);
    }

    /// Starts a node's agent.
    pub fn start_agent(&mut self, side: Side) {
        let mut starting = self.agent_command(side);
        starting.args(["--repair-interval", "1s", "--zds"]).arg(self.zds(side));
        starting.args(["--controller", &Self::controller_address().to_string()]);
        starting.arg("--token").arg(self.token(side)).arg("--root").arg(self.root());
        starting.args(&self.agent_arguments);
        let name = format!("agent of {}", side.name());
        self.agents[side.index()] = Some(Process::start(&name, self.node(side), &mut starting));
    }

    /// `ambit-agent` for a node, without the settings that only a running agent takes.
    pub fn agent_command(&self, side: Side) -> std::process::Command {
        let mut starting = command("ambit-agent");
        starting.arg("--config").arg(self.config()).args(["--node", side.name()]);
        starting
    }

    /// Starts a node's ztunnel.
    pub fn start_ztunnel(&mut self, side: Side) {
        let process = self.ztunnel_in(side, self.node(side));
        self.homes[side.index()] = self.node(side).clone();
        self.ztunnels[side.index()] = Some(process);
    }

    /// Starts a second ztunnel for a node, which takes over; gives the first, which still runs.
    pub fn replace_ztunnel(&mut self, side: Side) -> Process {
        // In a network namespace of its own, because both serve their operators on the same ports.
        let home = self.topology.attach(side).netns;
        let process = self.ztunnel_in(side, &home);
        self.homes[side.index()] = home;
        self.ztunnels[side.index()].replace(process).unwrap()
    }

    fn ztunnel_in(&self, side: Side, home: &Namespace) -> Process {
        let proxy = &self.proxies[side.index()];
        let mut starting = command_at(&proxy.program);
        starting.args(["proxy", "ztunnel"]);
        let address = format!("https://{}", Self::controller_address());
        starting.env("NODE_NAME", side.name()).env("LOG_FORMAT", "json").env("RUST_LOG", "info");
        starting.env("XDS_ADDRESS", &address).env("CA_ADDRESS", &address);
        starting.env("XDS_ROOT_CA", self.root()).env("CA_ROOT_CA", self.root());
        starting.env("AUTH_TOKEN", self.token(side)).env("INPOD_UDS", self.zds(side));
        starting.env("ZTUNNEL_WORKER_THREADS", "2").env("CONNECTION_TERMINATION_DEADLINE", "2s");
        starting.envs(&self.settings).envs(&proxy.settings);
        Process::start(&format!("ztunnel of {}", side.name()), home, &mut starting)
    }

    /// Starts the waypoint of a pod that was made for one, and waits until it is ready.
    pub fn start_waypoint(&self, pod: &Pod) -> Process {
        let gateway = pod.spec.gateway.as_ref().unwrap();
        let token = self.directory.join(format!("token-{}", pod.spec.name));
        let who = format!("{}/{}", pod.spec.namespace, pod.spec.account);
        self.make_token_for(&["--workload", &who], &token, &[]);
        let address = format!("https://{}", Self::controller_address());
        let mut starting = command("waypoint");
        starting.env("LOG_FORMAT", "json").env("RUST_LOG", "info");
        starting.env("POD_NAME", &pod.spec.name).env("POD_NAMESPACE", &pod.spec.namespace);
        starting.env("SERVICE_ACCOUNT", &pod.spec.account).env("GATEWAY_NAME", gateway);
        starting.env("INSTANCE_IP", pod.place.v4.to_string()).env("NODE_NAME", pod.spec.side.name());
        starting.env("XDS_ADDRESS", &address).env("CA_ADDRESS", &address);
        starting.env("XDS_ROOT_CA", self.root()).env("CA_ROOT_CA", self.root()).env("AUTH_TOKEN", token);
        starting.env("WAYPOINT_WORKER_THREADS", "2").env("CONNECTION_TERMINATION_DEADLINE", "2s");
        let process = Process::start(&pod.spec.name, pod.netns(), &mut starting);
        wait_until("the waypoint is ready", || {
            let ready = http::get(pod.netns(), "127.0.0.1:15021".parse().unwrap(), "/healthz/ready");
            ready.is_ok_and(|answer| answer.status == 200)
        });
        process
    }

    /// Ends a node's ztunnel at once.
    pub fn kill_ztunnel(&mut self, side: Side) {
        self.ztunnels[side.index()].take().unwrap().kill();
    }

    /// Asks a node's ztunnel to end, and waits until it has.
    pub fn stop_ztunnel(&mut self, side: Side) {
        let mut ztunnel = self.ztunnels[side.index()].take().unwrap();
        ztunnel.signal(Signal::SIGTERM);
        assert!(ztunnel.ended().success());
    }

    fn zds(&self, side: Side) -> PathBuf {
        self.directory.join(side.name()).join("zds").join("ztunnel.sock")
    }

    fn home(&self, side: Side) -> &Namespace {
        &self.homes[side.index()]
    }

    /// A node's ztunnel.
    #[track_caller]
    pub fn ztunnel(&self, side: Side) -> &Process {
        self.ztunnels[side.index()].as_ref().unwrap()
    }

    /// A node's agent.
    #[track_caller]
    pub fn agent(&self, side: Side) -> &Process {
        self.agents[side.index()].as_ref().unwrap()
    }

    /// The controller.
    #[track_caller]
    pub fn controller(&self) -> &Process {
        self.controller.as_ref().unwrap()
    }

    /// Writes a resource file, as a careful editor does: all at once.
    pub fn apply(&self, name: &str, text: &str) {
        let draft = self.directory.join(format!("{name}.draft"));
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.file(name)).unwrap();
    }

    /// The path of a resource file.
    pub fn file(&self, name: &str) -> PathBuf {
        self.config().join(format!("{name}.yaml"))
    }

    /// Removes a resource file.
    pub fn forget(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    /// An enrolled pod.
    pub fn pod(&mut self, name: &str, side: Side) -> Pod {
        self.add(PodSpec::new(name, side))
    }

    /// A pod that is not enrolled.
    pub fn outsider(&mut self, name: &str, side: Side) -> Pod {
        self.add(PodSpec::outside(name, side))
    }

    /// Makes a pod and writes about it.
    pub fn add(&mut self, spec: PodSpec) -> Pod {
        let place = self.topology.attach(spec.side);
        self.add_at(spec, place)
    }

    /// The same in a place that is there already.
    pub fn add_at(&mut self, spec: PodSpec, place: crate::topology::Place) -> Pod {
        self.made += 1;
        let path = self.directory.join("netns").join(&spec.name);
        place.netns.persist(&path).unwrap();
        let pod = Pod { uid: format!("uid-{}-{}", spec.name, self.made), spec, place, path };
        self.write(&pod);
        self.pods.insert(pod.spec.name.clone(), pod.clone());
        pod
    }

    /// Writes about a pod again, after its spec was changed.
    pub fn write(&self, pod: &Pod) {
        self.apply(&format!("pod-{}", pod.spec.name), &pod.spec.yaml(&pod.uid, &pod.place, &pod.path));
    }

    /// Replaces what is written about a pod.
    pub fn rewrite(&mut self, pod: &mut Pod, change: impl FnOnce(&mut PodSpec)) {
        change(&mut pod.spec);
        self.pods.insert(pod.spec.name.clone(), pod.clone());
        self.write(pod);
    }

    /// Deletes a pod: its link, its namespace's name and its resource. Gives the place, whose host can be used again.
    pub fn delete(&mut self, pod: &Pod) {
        self.forget(&format!("pod-{}", pod.spec.name));
        self.pods.remove(&pod.spec.name);
        self.topology.detach(pod.spec.side, &pod.place);
        ambit_netns::unpersist(&pod.path).unwrap();
    }

    /// Waits until every enrolled pod is served by its ztunnel and known to both as captured.
    #[track_caller]
    pub fn settled(&self) {
        for side in SIDES {
            if self.ztunnels[side.index()].is_some() {
                self.settled_on(side);
            }
        }
    }

    #[track_caller]
    fn settled_on(&self, side: Side) {
        for pod in self.pods.values() {
            let (name, enrolled) = (&pod.spec.name, pod.spec.enrolled());
            let speaks_hbone = enrolled || pod.spec.waypoint;
            wait_until(&format!("{name} is known and served on {}", side.name()), || {
                let Some(dump) = self.try_dump(side) else { return false };
                let known = find(&dump["workloads"], name);
                let protocol = if speaks_hbone { "HBONE" } else { "TCP" };
                let served = dump["workloadState"][&pod.uid]["state"] == "Up";
                known.is_some_and(|known| {
                    known["protocol"] == protocol && known["workloadIps"][0] == pod.place.v4.to_string()
                }) && (served || !enrolled || pod.spec.side != side)
            });
        }
    }

    /// A ztunnel's `/config_dump`.
    #[track_caller]
    pub fn dump(&self, side: Side) -> Value {
        wait_for("the ztunnel's dump", || self.try_dump(side))
    }

    fn try_dump(&self, side: Side) -> Option<Value> {
        let answer = http::get(self.home(side), "127.0.0.1:15000".parse().unwrap(), "/config_dump").ok()?;
        serde_json::from_str(&answer.body).ok()
    }

    /// A ztunnel's metric, the sum over its labels.
    pub fn metric(&self, side: Side, name: &str) -> f64 {
        let text = http::get(self.home(side), "127.0.0.1:15020".parse().unwrap(), "/metrics").unwrap().body;
        let of = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']);
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        text.lines().filter(of).filter_map(value).sum()
    }

    /// Waits until both ztunnels have a policy, or do not have it any more.
    #[track_caller]
    pub fn policy_is(&self, name: &str, there: bool) {
        for side in SIDES {
            wait_until(&format!("policy {name} is {there} on {}", side.name()), || {
                self.try_dump(side).is_some_and(|dump| find(&dump["policies"], name).is_some() == there)
            });
        }
    }

    /// Writes a policy and waits until it is in force.
    #[track_caller]
    pub fn enforce(&self, name: &str, app: &str, action: &str, rules: &str) {
        self.apply(&format!("policy-{name}"), &resources::policy(name, app, action, rules));
        self.policy_is(name, true);
    }
}

/// The element of a list with this name.
pub fn find<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|each| each["name"] == name)
}
