//! A mesh of pipes: a waypoint, clients with tunnels to it, and endpoints with proxies of their own, all in memory.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_app::Environment;
use ambit_hbone::{
    Authority as Target, ClientSettings, ConnectRequest, Connection, OpenError, ServerSettings,
};
use ambit_identity::certificates::{CertificatesSettings, Hold};
use ambit_identity::source::IssueError;
use ambit_identity::tls::{self, TlsStream};
use ambit_identity::{Authority, Certificate, CertificateSource, Certificates, ExpectedPeers, Provider};
use ambit_model::service::{AppProtocol, Port, ServiceAddress, ServiceKey};
use ambit_model::workload::{Gateway, GatewayDestination, Tunnel};
use ambit_model::{Change, Identity, NetworkAddress, Service, Workload};
use ambit_telemetry::metrics::Registry;
use ambit_telemetry::traffic::{Traffic, TrafficLimits};
use ambit_transport::dial::{DialError, DialFailure};
use ambit_transport::{DialOptions, Drain, Watch, drain};
use ambit_waypoint::ingress;
use ambit_waypoint::network::Network;
use ambit_waypoint::proxy::{Ends, Proxy, buffers};
use ambit_waypoint::rules::{RulesWriter, rules};
use ambit_waypoint::settings::settings;
use ambit_waypoint::stale::close_stale;
use ambit_waypoint::tunnel::tunnel;
use ambit_xds::{Writer, configuration};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// The waypoint's address and identity.
pub const WAYPOINT: &str = "10.0.0.9";
/// The virtual address of the service `cart`.
pub const CART_VIP: &str = "10.1.0.1";

/// Listeners by address.
#[derive(Debug, Default)]
pub struct Pipes {
    listeners: Mutex<HashMap<SocketAddr, mpsc::UnboundedSender<DuplexStream>>>,
}

impl Pipes {
    pub fn listen(&self, address: SocketAddr) -> mpsc::UnboundedReceiver<DuplexStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.lock().insert(address, sender);
        receiver
    }
}

impl Network for Pipes {
    type Stream = DuplexStream;

    async fn dial(&self, _options: &DialOptions, target: SocketAddr) -> Result<DuplexStream, DialError> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let sent = match self.listeners.lock().get(&target) {
            Some(listener) => listener.send(far).is_ok(),
            None => false,
        };
        if sent {
            return Ok(near);
        }
        let source = io::ErrorKind::ConnectionRefused.into();
        Err(DialError { target, failure: DialFailure::Refused, source })
    }
}

/// An authority in the process.
#[derive(Clone)]
struct Issuer(Arc<Authority>);

impl CertificateSource for Issuer {
    fn issue(
        &self,
        identity: &Identity,
        csr: String,
        lifetime: Duration,
    ) -> BoxFuture<'static, Result<Vec<String>, IssueError>> {
        let signed = self.0.sign(&csr, identity, lifetime, SystemTime::now());
        let signed = signed.map_err(|error| IssueError { retryable: false, message: error.to_string() });
        Box::pin(async move { signed })
    }
}

/// What turns every fast path off, with `AMBIT_TEST_FAST_PATHS=off`.
const FAST_PATHS_OFF: &[(&str, &str)] = &[
    ("AMBIT_TUNNEL_ENGINE", "library"),
    ("AMBIT_TLS_RECORDS", "library"),
    ("AMBIT_TLS_RESUMPTION", "off"),
    ("AMBIT_SPLICE", "off"),
];

fn environment(further: &[(&str, &str)]) -> Environment {
    let off: &[(&str, &str)] = match std::env::var("AMBIT_TEST_FAST_PATHS").as_deref() {
        Err(_) | Ok("on") => &[],
        Ok("off") => FAST_PATHS_OFF,
        Ok(other) => panic!("AMBIT_TEST_FAST_PATHS is {other:?}; it can be on or off"),
    };
    let own = [
        ("POD_NAME", "waypoint-1"),
        ("POD_NAMESPACE", "shop"),
        ("SERVICE_ACCOUNT", "waypoint"),
        ("GATEWAY_NAME", "waypoint"),
        ("INSTANCE_IP", WAYPOINT),
    ];
    Environment::from_map(own.into_iter().chain(off.iter().copied()).chain(further.iter().copied()))
}

/// The waypoint and what is around it.
pub struct Mesh {
    pub network: Arc<Pipes>,
    pub writer: Writer,
    pub rules: RulesWriter,
    pub proxy: Arc<Proxy<Pipes>>,
    pub drain: Option<Drain>,
    pub registry: Registry,
    certificates: Certificates,
    holds: Mutex<Vec<Hold>>,
    watch: Option<Watch>,
}

impl Mesh {
    /// With the waypoint's own workload, and the service `cart` bound to it, whose port 80 says `protocol`.
    pub async fn new(protocol: AppProtocol) -> Self {
        Self::with(protocol, &[]).await
    }

    /// The same with further settings.
    pub async fn with(protocol: AppProtocol, further: &[(&str, &str)]) -> Self {
        let settings = Arc::new(settings(environment(further)).unwrap());
        let (writer, configuration) = configuration("");
        let (rules_writer, rules) = rules(&settings);
        let now = SystemTime::now();
        let authority = Authority::create(Provider::default(), "cluster.local", "test", now).unwrap();
        let issuer = Issuer(Arc::new(authority));
        let certificates = Certificates::new(Arc::new(issuer), CertificatesSettings::default());
        let registry = Registry::new("waypoint", "test");
        let traffic = Traffic::register(&registry, TrafficLimits::default());
        let (drain, watch) = drain::channel();
        let network = Arc::new(Pipes::default());
        let proxy = Arc::new(Proxy::new(
            network.clone(),
            settings.clone(),
            buffers(&settings),
            configuration,
            rules,
            certificates.clone(),
            traffic.worker(),
        ));
        tokio::spawn(close_stale(proxy.clone(), Duration::from_secs(5)));
        let holds = Mutex::new(vec![certificates.hold(&settings.identity)]);
        let drain = Some(drain);
        let mesh = Self {
            network,
            writer,
            rules: rules_writer,
            proxy,
            drain,
            registry,
            certificates,
            holds,
            watch: Some(watch),
        };
        mesh.proxy.certificate().await.unwrap();
        let mut own = workload("waypoint-1", "waypoint", WAYPOINT);
        own.services.insert(key("waypoint"), Vec::new());
        mesh.set([Change::Workload(own.into()), Change::Service(cart(protocol).into())]);
        mesh
    }

    pub fn set(&self, changes: impl IntoIterator<Item = Change>) {
        let changes: Vec<Change> = changes.into_iter().collect();
        self.rules.apply(&changes);
        self.writer.apply(changes);
    }

    /// The certificate of a service account of the shop.
    pub async fn certificate(&self, account: &str) -> Arc<Certificate> {
        let hold = self.certificates.hold(&identity(account));
        let certificate = hold.certificate().await.unwrap();
        self.holds.lock().push(hold);
        certificate
    }

    /// A connection from outside to a port of the Gateway's.
    pub fn enter(&self, client: &str, port: u16) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let ends =
            Ends { peer: client.parse().unwrap(), local: format!("{WAYPOINT}:{port}").parse().unwrap() };
        tokio::spawn(ingress::connection(self.proxy.clone(), far, ends, self.watch.clone().unwrap()));
        near
    }

    /// A client's tunnel to the waypoint.
    pub async fn tunnel(&self, account: &str, ip: &str) -> Connection {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let ends = Ends {
            peer: format!("{ip}:40000").parse().unwrap(),
            local: format!("{WAYPOINT}:15008").parse().unwrap(),
        };
        tokio::spawn(tunnel(self.proxy.clone(), far, ends, self.watch.clone().unwrap()));
        let certificate = self.certificate(account).await;
        let expected = ExpectedPeers::new([identity("waypoint")]);
        let (stream, _) = tls::connect(near, &certificate, &expected).await.unwrap();
        let settings = ClientSettings::default();
        let (connection, driver) = ambit_hbone::client::connect(stream, &settings).await.unwrap();
        tokio::spawn(driver);
        connection
    }

    /// An endpoint of `cart` with an own proxy at `ip`; gives what comes out of its tunnels, with the port asked for.
    pub async fn endpoint(
        &self,
        name: &str,
        ip: &str,
    ) -> mpsc::UnboundedReceiver<(ambit_hbone::Stream, u16)> {
        let mut tunnels = self.network.listen(format!("{ip}:15008").parse().unwrap());
        let certificate = self.certificate(name).await;
        let (sender, streams) = mpsc::unbounded_channel();
        let (drain, watch) = drain::channel();
        tokio::spawn(async move {
            let _drain = drain;
            while let Some(stream) = tunnels.recv().await {
                let (certificate, sender, watch) = (certificate.clone(), sender.clone(), watch.clone());
                tokio::spawn(async move {
                    let (stream, client): (TlsStream<_>, _) =
                        tls::accept(stream, &certificate).await.unwrap();
                    assert_eq!(client, identity("waypoint"));
                    let settings = ServerSettings::default();
                    let _ = ambit_hbone::serve(stream, &settings, watch, |incoming| {
                        let sender = sender.clone();
                        async move {
                            let port = incoming.authority().port();
                            let stream = incoming.accept(None).unwrap();
                            sender.send((stream, port)).ok();
                        }
                    })
                    .await;
                });
            }
        });
        self.set([Change::Workload(self.cart_endpoint(name, ip).into())]);
        streams
    }

    /// A workload behind `cart`.
    pub fn cart_endpoint(&self, name: &str, ip: &str) -> Workload {
        let mut workload = workload(name, name, ip);
        workload.services.insert(key("cart"), vec![port(80, 8080, AppProtocol::Unknown)]);
        workload
    }

    /// The end begins.
    pub fn drain(&mut self, mode: ambit_transport::drain::Mode) {
        self.drain.as_ref().unwrap().drain(mode);
    }

    /// Waits until nothing is left of the flows.
    pub async fn finished(&mut self) {
        self.watch = None;
        self.drain.as_ref().unwrap().finished().await;
    }

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        self.registry.encode("").1
    }

    /// Reads until there is a line of the metric with all these parts: a flow reports after its streams have ended.
    pub async fn counted(&self, metric: &str, parts: &[&str]) {
        let wanted = |line: &str| {
            line.starts_with(&format!("{metric}{{")) && parts.iter().all(|part| line.contains(part))
        };
        for _ in 0..10_000 {
            if self.metrics().lines().any(wanted) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("no {metric} with {parts:?}: {}", self.metrics());
    }
}

/// Asks a tunnel for a target.
pub async fn ask(tunnel: &Connection, target: &str) -> Result<ambit_hbone::Stream, OpenError> {
    let target: Target = target.parse().unwrap();
    let opened = tunnel.open(ConnectRequest::new(target)).await?;
    Ok(opened.0)
}

/// `spiffe://cluster.local/ns/shop/sa/ACCOUNT`.
pub fn identity(account: &str) -> Identity {
    Identity::new("cluster.local", "shop", account).unwrap()
}

pub fn key(name: &str) -> ServiceKey {
    ServiceKey::new("shop", &format!("{name}.shop.svc.cluster.local"))
}

pub fn port(service_port: u16, target_port: u16, protocol: AppProtocol) -> Port {
    Port { service_port, target_port, protocol }
}

/// The service `cart`, bound to the waypoint.
pub fn cart(protocol: AppProtocol) -> Service {
    let mut service = Service::new("cart", key("cart"));
    let address = NetworkAddress::new("".into(), CART_VIP.parse().unwrap());
    service.addresses = vec![ServiceAddress::Ip(address)];
    service.ports = vec![port(80, 8080, protocol)];
    service.waypoints = vec![(waypoint(), 100)];
    service
}

pub fn waypoint() -> Gateway {
    Gateway { destination: GatewayDestination::Service(key("waypoint")), hbone_port: 15008 }
}

/// A workload that speaks HBONE.
pub fn workload(name: &str, account: &str, ip: &str) -> Workload {
    let mut workload = Workload::new(&format!("c//Pod/shop/{name}"), name, "shop").unwrap();
    workload.identity = identity(account);
    workload.workload_name = account.into();
    workload.addresses = vec![ip.parse().unwrap()];
    workload.tunnel = Tunnel::Hbone;
    workload
}
