//! A mesh of pipes: pods with proxies of their own on a network in memory, and applications on it.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_app::Environment;
use ambit_identity::certificates::CertificatesSettings;
use ambit_identity::certificates::Hold;
use ambit_identity::source::IssueError;
use ambit_identity::{Authority, CertificateSource, Certificates, Provider};
use ambit_model::workload::Tunnel;
use ambit_model::{Change, Identity, Text, Workload};
use ambit_netns::Namespace;
use ambit_telemetry::metrics::Registry;
use ambit_telemetry::traffic::{Traffic, TrafficLimits};
use ambit_transport::dial::{DialError, DialFailure};
use ambit_transport::{DialOptions, Drain, Mode, Watch, drain};
use ambit_xds::configuration::{Configuration, Writer, configuration};
use ambit_ztunnel::inbound::tunnel;
use ambit_ztunnel::network::{Ends, Network};
use ambit_ztunnel::outbound::outbound;
use ambit_ztunnel::plaintext::plaintext;
use ambit_ztunnel::pod::{Pod, PodSocketError};
use ambit_ztunnel::proxy::{Proxy, buffers};
use ambit_ztunnel::settings::settings;
use ambit_ztunnel::stale::close_stale;
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// An accepted connection: the stream and the address it came from.
pub type Accepted = (DuplexStream, SocketAddr);

/// Listeners by address.
#[derive(Debug, Default)]
pub struct Pipes {
    listeners: Mutex<HashMap<SocketAddr, mpsc::UnboundedSender<Accepted>>>,
    /// Where each pod dials from.
    sources: Mutex<HashMap<Text, IpAddr>>,
}

impl Pipes {
    pub fn listen(&self, address: &str) -> mpsc::UnboundedReceiver<Accepted> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.lock().insert(address.parse().unwrap(), sender);
        receiver
    }
}

impl Network for Pipes {
    type Stream = DuplexStream;

    async fn dial(
        &self,
        pod: &Pod,
        options: &DialOptions,
        target: SocketAddr,
    ) -> Result<DuplexStream, PodSocketError> {
        assert_eq!(options.mark, Some(1337), "an unmarked packet would be captured again");
        let own = self.sources.lock()[&pod.uid];
        if options.local && target.ip() != own {
            let source = io::ErrorKind::AddrNotAvailable.into();
            return Err(PodSocketError::Dial(DialError { target, failure: DialFailure::NotLocal, source }));
        }
        let source = options.source.unwrap_or(own);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let sent = match self.listeners.lock().get(&target) {
            Some(listener) => listener.send((far, SocketAddr::new(source, 40_000))).is_ok(),
            None => false,
        };
        if sent {
            return Ok(near);
        }
        let source = io::ErrorKind::ConnectionRefused.into();
        Err(PodSocketError::Dial(DialError { target, failure: DialFailure::Refused, source }))
    }
}

/// An authority in the process.
#[derive(Clone)]
struct Issuer {
    authority: Arc<Authority>,
    /// Whom it gives no certificate.
    refused: Arc<Mutex<HashSet<Identity>>>,
}

impl CertificateSource for Issuer {
    fn issue(
        &self,
        identity: &Identity,
        csr: String,
        lifetime: Duration,
    ) -> futures_util::future::BoxFuture<'static, Result<Vec<String>, IssueError>> {
        if self.refused.lock().contains(identity) {
            let message = "refused by the test".into();
            return Box::pin(async { Err(IssueError { retryable: false, message }) });
        }
        let signed = self.authority.sign(&csr, identity, lifetime, SystemTime::now());
        let signed = signed.map_err(|error| IssueError { retryable: false, message: error.to_string() });
        Box::pin(async move { signed })
    }
}

/// See [`Mesh::sizes`].
pub struct Sizes {
    pub outbound: usize,
    pub plaintext: usize,
    pub tunnel: usize,
}

/// What turns every fast path off, with `AMBIT_TEST_FAST_PATHS=off`.
const FAST_PATHS_OFF: &[(&str, &str)] = &[
    ("AMBIT_TUNNEL_ENGINE", "library"),
    ("AMBIT_TUNNEL_WINDOWS", "fixed"),
    ("AMBIT_TLS_RECORDS", "library"),
    ("AMBIT_TLS_RESUMPTION", "off"),
    ("AMBIT_SPLICE", "off"),
];

fn environment(same_node: &str, more: &[(&'static str, &'static str)]) -> Environment {
    let off: &[(&str, &str)] = match std::env::var("AMBIT_TEST_FAST_PATHS").as_deref() {
        Err(_) | Ok("on") => &[],
        Ok("off") => FAST_PATHS_OFF,
        Ok(other) => panic!("AMBIT_TEST_FAST_PATHS is {other:?}; it can be on or off"),
    };
    let own = [("NODE_NAME", "n1"), ("AMBIT_SAME_NODE", same_node)];
    Environment::from_map(own.into_iter().chain(off.iter().chain(more).copied()))
}

/// One node with all pods.
pub struct Mesh {
    pub network: Arc<Pipes>,
    pub writer: Writer,
    pub proxy: Arc<Proxy<Pipes>>,
    pub drain: Drain,
    pub registry: Registry,
    /// Whom the authority gives no certificate.
    pub refused: Arc<Mutex<HashSet<Identity>>>,
    watch: Watch,
    pods: HashMap<String, Running>,
    /// Pods that were replaced; their connections go on.
    former: Vec<Running>,
}

/// A pod whose proxy runs.
struct Running {
    pod: Arc<Pod>,
    drain: Drain,
    watch: Watch,
    _certificate: Option<Hold>,
}

impl Mesh {
    /// `same_node` is the setting of that name.
    pub fn new(same_node: &str) -> Self {
        Self::with(same_node, &[])
    }

    /// With these settings too, whatever the fast paths of this run.
    pub fn with(same_node: &str, more: &[(&'static str, &'static str)]) -> Self {
        let settings = Arc::new(settings(environment(same_node, more)).unwrap());
        let (writer, configuration): (Writer, Configuration) = configuration("n1");
        let now = SystemTime::now();
        let authority = Authority::create(Provider::default(), "cluster.local", "test", now).unwrap();
        let refused: Arc<Mutex<HashSet<Identity>>> = Arc::default();
        let issuer = Issuer { authority: Arc::new(authority), refused: refused.clone() };
        let certificates = Certificates::new(Arc::new(issuer), CertificatesSettings::default());
        let registry = Registry::new("ztunnel", "test");
        let traffic = Traffic::register(&registry, TrafficLimits::default());
        let (drain, watch) = drain::channel();
        let network = Arc::new(Pipes::default());
        let proxy = Arc::new(Proxy::new(
            network.clone(),
            settings.clone(),
            buffers(&settings),
            configuration.clone(),
            certificates,
            traffic.worker(),
        ));
        tokio::spawn(proxy.live.clone().watch(configuration));
        tokio::spawn(close_stale(proxy.clone(), Duration::from_secs(5)));
        Self {
            network,
            writer,
            proxy,
            drain,
            registry,
            refused,
            watch,
            pods: HashMap::new(),
            former: Vec::new(),
        }
    }

    /// An enrolled pod with its own service account, and its proxy's tunnel port.
    pub async fn pod(&mut self, name: &str, ip: &str) {
        self.announce(workload(name, ip));
        self.run(name, ip, name).await;
    }

    pub fn announce(&self, workload: Workload) {
        self.writer.apply(vec![Change::Workload(workload.into())]);
    }

    /// The pod's proxy, run as a service account, once it has its certificate if it can have one.
    pub async fn run(&mut self, name: &str, ip: &str, account: &str) {
        let netns = Namespace::current().unwrap();
        let pod =
            Arc::new(Pod::new(format!("uid-{name}"), "shop".into(), name.into(), account.into(), netns));
        self.network.sources.lock().insert(pod.uid.clone(), ip.parse().unwrap());
        self.proxy.pods.lock().insert(pod.instance.clone(), pod.clone());
        let known = pod.workload(&self.proxy.configuration.snapshot());
        let certificate = known.ok().map(|workload| self.proxy.certificates.hold(&workload.identity));
        if let Some(hold) = &certificate {
            // Refused, it is tried again, as in a proxy.
            let _ = hold.certificate().await;
        }
        let (drain, watch) = self.watch.nested();
        let address = format!("{ip}:15008");
        let mut tunnels = self.network.listen(&address);
        let proxy = self.proxy.clone();
        let running = Running { pod: pod.clone(), drain, watch: watch.clone(), _certificate: certificate };
        self.former.extend(self.pods.insert(name.into(), running));
        let door = proxy.doors.open(&pod, &watch);
        tokio::spawn(async move {
            let _door = door;
            loop {
                let accepted = tokio::select! {
                    accepted = tunnels.recv() => accepted,
                    _ = watch.signaled() => None,
                };
                let Some((stream, peer)) = accepted else { return };
                let ends = Ends { peer, destination: address.parse().unwrap() };
                tokio::spawn(tunnel(proxy.clone(), pod.clone(), stream, ends, watch.clone()));
            }
        });
    }

    /// The agent takes the pod back: what is open goes on, or with `Immediate` ends.
    pub fn leave(&self, name: &str, mode: Mode) {
        let running = &self.pods[name];
        running.pod.leave();
        running.drain.drain(mode);
    }

    /// A connection of a pod's application to `destination`, captured.
    pub fn connect(&self, from: &str, destination: &str) -> DuplexStream {
        let ip = self.network.sources.lock()[&self.pods[from].pod.uid];
        self.connect_as(from, ip, destination)
    }

    /// The same from an address of the application's choice.
    pub fn connect_as(&self, from: &str, ip: IpAddr, destination: &str) -> DuplexStream {
        let Running { pod, watch, .. } = &self.pods[from];
        let ends = Ends { peer: SocketAddr::new(ip, 50_000), destination: destination.parse().unwrap() };
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(outbound(self.proxy.clone(), pod.clone(), far, ends, watch.clone()));
        near
    }

    /// A plaintext connection to a pod, captured on its way in.
    pub fn connect_plainly(&self, peer: &str, to: &str, destination: &str) -> DuplexStream {
        let ends = Ends { peer: peer.parse().unwrap(), destination: destination.parse().unwrap() };
        let (near, far) = tokio::io::duplex(64 * 1024);
        let Running { pod, watch, .. } = &self.pods[to];
        tokio::spawn(plaintext(self.proxy.clone(), pod.clone(), far, ends, watch.clone()));
        near
    }

    /// The sizes of the flows' futures, in bytes.
    pub fn sizes(&self, client: DuplexStream) -> Sizes {
        let (proxy, pod, watch) = (self.proxy.clone(), self.pods["web"].pod.clone(), self.watch.clone());
        let address: SocketAddr = "10.0.0.1:1".parse().unwrap();
        let ends = Ends { peer: address, destination: address };
        let pipe = || tokio::io::duplex(1).0;
        Sizes {
            outbound: size_of_val(&outbound(proxy.clone(), pod.clone(), client, ends, watch.clone())),
            plaintext: size_of_val(&plaintext(proxy.clone(), pod.clone(), pipe(), ends, watch.clone())),
            tunnel: size_of_val(&tunnel(proxy, pod, pipe(), ends, watch)),
        }
    }

    /// The pod's open connections.
    pub fn connections(&self, pod: &str) -> Vec<ambit_ztunnel::connections::Seen> {
        self.proxy.connections.of(&self.pods[pod].pod)
    }

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        self.registry.encode("").1
    }
}

/// A workload of node n1 with a service account of its own name, reached by HBONE.
pub fn workload(name: &str, ip: &str) -> Workload {
    let mut workload = Workload::new(&format!("c//Pod/shop/{name}"), name, "shop").unwrap();
    workload.identity = Identity::new("cluster.local", "shop", name).unwrap();
    workload.node = "n1".into();
    workload.addresses = vec![ip.parse().unwrap()];
    workload.tunnel = Tunnel::Hbone;
    workload
}
