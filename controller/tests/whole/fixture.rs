//! A controller on a free port, its directories, and nodes that talk to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ambit_controller::run::Surroundings;
use ambit_controller::state::{Access, StateDirectory, write_whole};
use ambit_controller::tokens::{NodeName, Tokens, WorkloadName};
use ambit_controller::{Controller, MeshSettings, Settings, StartError};
use ambit_identity::csr::certificate_request;
use ambit_identity::source::IssueError;
use ambit_identity::{
    AuthorityClient, CertificateSource, Clock, ControlChannel, ControlSettings, KeyPair, Provider, RootCa,
};
use ambit_model::l7::Resource;
use ambit_model::{Change, Identity, Policy, Service, Text, Workload};
use ambit_xds::client::{Client, Update};
use ambit_xds::{Kind, Node};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A namespace in the mesh with one pod on each of two nodes, and a service.
pub(crate) const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: one, serviceAccountName: web}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {nodeName: two, serviceAccountName: cart}
status: {podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.2, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
";

pub(crate) const WEB: &str = "Kubernetes//Pod/shop/web";
pub(crate) const CART: &str = "Kubernetes//Pod/shop/cart";

/// A directory of files beside a state directory, and the controller over both.
pub(crate) struct Mesh {
    directory: TempDir,
    controller: Option<Controller>,
    pub(crate) clock: SystemTime,
    pub(crate) longest: Duration,
}

impl Mesh {
    /// A controller over these files.
    pub(crate) async fn start(files: &[(&str, &str)]) -> Self {
        let mut mesh = Self::new(files);
        mesh.restart().await.unwrap();
        mesh
    }

    /// The directories only.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("config")).unwrap();
        let clock = SystemTime::now();
        let longest = Duration::from_secs(24 * 3600);
        let mesh = Self { directory, controller: None, clock, longest };
        for (name, text) in files {
            mesh.write(name, text);
        }
        mesh
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file as editors do, by a rename.
    pub(crate) fn write(&self, name: &str, text: &str) {
        write_whole(&self.config().join(name), Access::Public, text.as_bytes()).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.config().join(name)).unwrap();
    }

    pub(crate) fn settings(&self) -> Settings {
        let clock = self.clock;
        Settings {
            config: self.config(),
            state: self.state(),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            server_names: vec!["controller.test".to_owned()],
            mesh: MeshSettings::default(),
            keys: ambit_controller::keys::Permissions::default(),
            max_certificate_lifetime: self.longest,
            admin: Some("127.0.0.1:0".parse().unwrap()),
            clock: Clock::new(move || clock),
        }
    }

    /// Stops the controller, if it runs, and starts it over the same directories.
    pub(crate) async fn restart(&mut self) -> Result<(), StartError> {
        self.stop().await;
        self.controller = Some(Controller::start(self.settings(), Surroundings::default()).await?);
        Ok(())
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.stop().await;
        }
    }

    pub(crate) fn controller(&self) -> &Controller {
        self.controller.as_ref().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.controller().listening()[0]
    }

    pub(crate) fn root(&self) -> RootCa {
        RootCa::File(self.state().join("root-cert.pem"))
    }

    /// A token for a node, in a file.
    pub(crate) fn token(&self, node: &str) -> PathBuf {
        self.token_at(node, self.clock, Duration::from_secs(3600))
    }

    /// A token for one identity, `NAMESPACE/SERVICEACCOUNT`, in a file.
    pub(crate) fn workload_token(&self, workload: &str, node: Option<&str>) -> PathBuf {
        let workload: WorkloadName = workload.parse().unwrap();
        let tokens = Tokens::load_or_create(&StateDirectory::open(&self.state()).unwrap()).unwrap();
        let caller = workload.on(node.map(|node| node.parse().unwrap()));
        self.token_file(&tokens.mint(caller, Duration::from_secs(3600), self.clock))
    }

    /// A token with these times.
    pub(crate) fn token_at(&self, node: &str, from: SystemTime, lifetime: Duration) -> PathBuf {
        let tokens = Tokens::load_or_create(&StateDirectory::open(&self.state()).unwrap()).unwrap();
        self.token_file(&tokens.mint(node.parse::<NodeName>().unwrap(), lifetime, from))
    }

    /// Any text as a token file.
    pub(crate) fn token_file(&self, token: &str) -> PathBuf {
        let file = self.path(&format!("{:08x}.token", rand::random::<u32>()));
        write_whole(&file, Access::Private, token.as_bytes()).unwrap();
        file
    }

    /// A connection with the token of a file.
    pub(crate) fn channel(&self, token: &Path) -> ControlChannel {
        let mut settings = ControlSettings::new(self.address().to_string(), self.root());
        settings.token = Some(token.to_owned());
        ControlChannel::new(settings).unwrap()
    }

    /// A node's discovery client, running.
    pub(crate) fn discover(&self, node: &str) -> Discovered {
        Discovered::start(self.channel(&self.token(node)), node)
    }

    /// Asks for a certificate as `node`.
    pub(crate) async fn issue(&self, node: &str, identity: &str) -> Result<Vec<String>, IssueError> {
        let client = AuthorityClient::new(self.channel(&self.token(node)));
        ask(&client, identity, identity, Duration::from_secs(3600)).await
    }

    /// A GET of the admin server: status and body.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.controller().admin().unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// The value of a metric, by its name and labels as they are written.
    pub(crate) async fn metric(&self, name: &str) -> Option<i64> {
        let (_, text) = self.admin("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }
}

/// Asks for a certificate for `identity` by a request that is made for `requested`.
pub(crate) async fn ask(
    client: &AuthorityClient,
    identity: &str,
    requested: &str,
    lifetime: Duration,
) -> Result<Vec<String>, IssueError> {
    let (identity, requested): (Identity, Identity) = (identity.parse().unwrap(), requested.parse().unwrap());
    let key = KeyPair::generate(Provider::default()).unwrap();
    let csr = certificate_request(&key, &requested).unwrap();
    client.issue(&identity, csr, lifetime).await
}

/// What a node has been told so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) workloads: BTreeMap<Text, Workload>,
    pub(crate) services: BTreeMap<Text, Service>,
    pub(crate) policies: BTreeMap<Text, Policy>,
    pub(crate) l7: BTreeMap<Text, Resource>,
}

impl View {
    fn apply(&mut self, update: Update) {
        for change in update.changes {
            match change {
                Change::Workload(workload) => drop(self.workloads.insert(workload.uid.clone(), *workload)),
                Change::Service(service) => {
                    self.services.insert(service.key.to_string().into(), *service);
                }
                Change::Policy(policy) => drop(self.policies.insert(policy.key.clone(), *policy)),
                Change::Unreadable(claim) => panic!("the controller sent what cannot be read: {claim:?}"),
                Change::RemoveAddress(key) => {
                    self.workloads.remove(&key);
                    self.services.remove(&key);
                }
                Change::RemovePolicy(key) => drop(self.policies.remove(&key)),
                Change::L7(resource) => drop(self.l7.insert(resource.name(), *resource)),
                Change::RemoveL7(name) => drop(self.l7.remove(&name)),
                Change::UnreadableL7(unreadable) => panic!("what cannot be read was sent: {unreadable:?}"),
            }
        }
    }

    /// Whether a workload is announced as reached over HBONE.
    pub(crate) fn hbone(&self, uid: &str) -> Option<bool> {
        self.workloads.get(uid).map(|workload| workload.tunnel == ambit_model::workload::Tunnel::Hbone)
    }
}

/// A discovery client that runs until it is dropped.
pub(crate) struct Discovered {
    view: watch::Receiver<View>,
    synced: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Discovered {
    /// A client that says it is `node`.
    pub(crate) fn start(channel: ControlChannel, node: &str) -> Self {
        let metadata = serde_json::json!({"NODE_NAME": node});
        let node = Node {
            id: format!("ztunnel~10.0.0.9~ztunnel-{node}.istio-system~istio-system.svc.cluster.local"),
            cluster: String::new(),
            metadata: metadata.as_object().unwrap().clone(),
        };
        let origin = format!("https://{}", channel.address()).parse().unwrap();
        let client = Client::new(channel, origin, node, &Kind::ALL);
        let synced = client.synced();
        let (sender, view) = watch::channel(View::default());
        let sink = move |update| sender.send_modify(|view: &mut View| view.apply(update));
        let task = tokio::spawn(async move {
            client.run(sink).await;
        });
        Self { view, synced, task }
    }

    /// Waits until the first state is complete.
    pub(crate) async fn synced(&mut self) -> View {
        within(self.synced.wait_for(|synced| *synced)).await.unwrap();
        self.now()
    }

    /// Waits for a view of this kind.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&View) -> bool) -> View {
        let found = tokio::time::timeout(PATIENCE, self.view.wait_for(|view| wanted(view))).await;
        if let Ok(view) = found.map(|view| view.unwrap().clone()) {
            return view;
        }
        panic!("never told that {what}; told was {:?}", self.now());
    }

    pub(crate) fn now(&self) -> View {
        self.view.borrow().clone()
    }

    pub(crate) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }
}

impl Drop for Discovered {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Fails when it takes too long.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("this takes too long")
}

/// Asks again until the answer is as wanted.
pub(crate) async fn until<T, F: Future<Output = T>>(
    what: &str,
    mut ask: impl FnMut() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let poll = async {
        loop {
            let answer = ask().await;
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, poll).await {
        Ok(answer) => answer,
        Err(_) => panic!("never: {what}"),
    }
}
