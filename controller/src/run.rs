//! A whole controller in one process: start, serve, end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use ambit_app::{Pending, Readiness, Trigger};
use ambit_identity::Authority;
use ambit_proto::istio::auth::istio_certificate_service_server::IstioCertificateServiceServer;
use ambit_telemetry::Registry;
use ambit_telemetry::log::LogControl;
use ambit_transport::drain::{self, Drain, Watch};
use ambit_transport::{Keepalive, ListenError, ListenOptions, Listeners, tcp_listener};
use ambit_xds::Store;
use ambit_xds::server::Mount;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::admin;
use crate::authority::{self, AuthorityError, Serving};
use crate::captured::{Captured, CapturedError};
use crate::discovery::{Admission, Gate, Heard};
use crate::issue::{Issuer, IssuerSettings};
use crate::keys::{Keeper, Pace};
use crate::metrics::{Metrics, unix};
use crate::publish::{InForce, Publisher, Reports, reports};
use crate::serve::{Dispatch, Server};
use crate::settings::Settings;
use crate::source::{Reading, Source, SourceError};
use crate::state::{Lock, StateDirectory, StateError};
use crate::tokens::{KeyError, Tokens};

/// Largest certificate request that is read.
const LARGEST_REQUEST: usize = 64 << 10;

/// A controller that serves. Dropped, it ends at once.
#[derive(Debug)]
pub struct Controller {
    listening: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    readiness: Readiness,
    in_force: watch::Receiver<Option<InForce>>,
    drain: Drain,
    tasks: JoinSet<()>,
    _lock: Lock,
}

/// Why a controller does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration directory.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The root or the serving certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The token key.
    #[error(transparent)]
    Tokens(#[from] KeyError),
    /// The captured pods.
    #[error(transparent)]
    Captured(#[from] CapturedError),
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Nowhere to listen.
    #[error("there is no address to listen on; give one with --listen ADDRESS:PORT")]
    NoListener,
    /// An admin server for everybody.
    #[error(
        "the admin server must not be reachable from elsewhere, and {0} is not a loopback address; use 127.0.0.1 or ::1"
    )]
    Admin(SocketAddr),
    /// No settings.
    #[error("{0}")]
    Settings(String),
    /// The runtime.
    #[error("a listener cannot be used: {0}; raise the open-file limit")]
    Runtime(#[from] std::io::Error),
}

/// What the process around a controller has for its admin server.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The process's log.
    pub log: Option<LogControl>,
    /// The process's end.
    pub trigger: Option<Trigger>,
}

impl Controller {
    /// Starts everything. A directory that is invalid now is no reason to fail: the controller waits, not ready, until it
    /// is repaired, and answers nobody until then. Call it within a tokio runtime.
    pub async fn start(settings: Settings, around: Surroundings) -> Result<Self, StartError> {
        check(&settings)?;
        let mut source = Source::open(&settings.config)?;
        let foundation = Foundation::lay(&settings)?;
        let registry = Registry::new("controller", env!("CARGO_PKG_VERSION"));
        let metrics = foundation.metrics(&registry);
        let readiness = Readiness::new();
        let configured = readiness.register("configuration");

        let store = Store::default();
        let mut publisher = foundation.publisher(&settings, store.clone(), metrics.clone());
        let in_force = publisher.in_force();
        let (reporting, reported) = reports();
        let dispatch = foundation.dispatch(&settings, store, reporting, &publisher, &metrics);
        let Foundation { state, listeners, listening, serving, lock, .. } = foundation;

        let (drain, watch) = drain::channel();
        let mut tasks = JoinSet::new();
        let mut admin = None;
        if let Some(address) = settings.admin {
            let routes = admin::routes(readiness.clone(), registry, in_force.clone(), around);
            admin = Some(serve_admin(address, routes, watch.clone(), &mut tasks)?);
        }
        // Read before the port is served, so that nobody is turned away who would be welcome a moment later.
        if let Some(reading) = source.read().await {
            publisher.take(reading).await;
        }
        let keeper = Keeper::new(publisher.wanted_keys(), settings.keys.clone(), state, Pace::default());
        publisher.follow_keys(keeper.sets());
        tasks.spawn(until(watch.clone(), keeper.run()));
        let (readings, read) = mpsc::channel(1);
        tasks.spawn(until(watch.clone(), publisher.run(read, reported)));
        tasks.spawn(until(watch.clone(), follow(source, readings)));
        tasks.spawn(until(watch.clone(), ready(in_force.clone(), configured)));
        let server = Server::new(serving.clone(), dispatch, metrics.clone());
        tasks.spawn(until(watch.clone(), async move { serving.renew(&metrics).await }));
        for listener in listeners {
            let listener = Listeners::watch([listener])?;
            tasks.spawn(server.clone().run(listener, watch.clone()));
        }
        Ok(Self { listening, admin, readiness, in_force, drain, tasks, _lock: lock })
    }

    /// Where it listens, in the order of the settings.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Where its admin server listens.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Whether a configuration is in force.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// What is in force.
    pub fn in_force(&self) -> watch::Receiver<Option<InForce>> {
        self.in_force.clone()
    }

    /// The drain that ends it: everything is over when it is finished.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Ends it gracefully.
    pub async fn stop(mut self) {
        self.drain.drain(drain::Mode::Graceful);
        self.drain.finished().await;
        self.tasks.shutdown().await;
    }
}

/// What stands before anything is served: files, keys, ports.
struct Foundation {
    state: StateDirectory,
    lock: Lock,
    authority: Arc<Authority>,
    tokens: Arc<Tokens>,
    captured: Captured,
    listeners: Vec<TcpListener>,
    listening: Vec<SocketAddr>,
    serving: Arc<Serving>,
}

impl Foundation {
    fn lay(settings: &Settings) -> Result<Self, StartError> {
        let state = StateDirectory::open(&settings.state)?;
        let lock = state.lock_controller()?;
        let (trust_domain, clock) = (&settings.mesh.trust_domain, &settings.clock);
        let authority = Arc::new(authority::load_or_create(&state, trust_domain, clock)?);
        let tokens = Arc::new(Tokens::load_or_create(&state)?);
        let captured = Captured::load(&state)?;
        let listeners = listen(&settings.listen)?;
        let listening: Vec<SocketAddr> =
            listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let names = authority::serving_names(&listening, &settings.server_names);
        let serving = Serving::new(authority.clone(), names, clock.clone()).map_err(AuthorityError::from)?;
        let serving = Arc::new(serving);
        Ok(Self { state, lock, authority, tokens, captured, listeners, listening, serving })
    }

    fn metrics(&self, registry: &Registry) -> Metrics {
        let metrics = Metrics::new(registry);
        metrics.root_expiry.set(unix(self.authority.not_after()));
        metrics.serving_expiry.set(unix(self.serving.current().not_after()));
        metrics
    }

    fn publisher(&self, settings: &Settings, store: Store, metrics: Metrics) -> Publisher {
        let (state, captured) = (self.state.clone(), self.captured.clone());
        Publisher::new(settings.mesh.clone(), state, store, captured, metrics, settings.clock.clone())
    }

    fn dispatch(
        &self,
        settings: &Settings,
        store: Store,
        reporting: Reports,
        publisher: &Publisher,
        metrics: &Metrics,
    ) -> Dispatch {
        let in_force = publisher.in_force();
        let gate = Gate::new(self.tokens.clone(), settings.clock.clone(), metrics.clone());
        let discovery =
            ambit_xds::Server::new(store, Admission::new(gate.clone(), in_force.clone(), publisher.names()))
                .resolving_by(Arc::new(publisher.names()))
                .observed_by(Arc::new(Heard(metrics.clone())));
        let issuing = IssuerSettings {
            authority: self.authority.clone(),
            trust_domain: settings.mesh.trust_domain.clone(),
            longest: settings.max_certificate_lifetime,
            clock: settings.clock.clone(),
        };
        let issuer = Issuer::new(issuing, gate.clone(), in_force, metrics.clone());
        let issuer = IstioCertificateServiceServer::new(issuer).max_decoding_message_size(LARGEST_REQUEST);
        Dispatch::new(Mount::default().with(discovery).with(issuer), gate, reporting)
    }
}

/// Hands the readings of the directory to the writer.
async fn follow(source: Source, readings: mpsc::Sender<Reading>) {
    let hand_over = |reading| {
        let readings = readings.clone();
        async move {
            // The writer ends together with this.
            let _ = readings.send(reading).await;
        }
    };
    source.watch(hand_over).await;
}

/// Is ready as soon as a configuration is in force, and does not end before the process does.
async fn ready(mut in_force: watch::Receiver<Option<InForce>>, configured: Pending) {
    let first = in_force.wait_for(Option::is_some).await.is_ok();
    if first {
        configured.ready();
    }
    std::future::pending().await
}

fn check(settings: &Settings) -> Result<(), StartError> {
    if settings.listen.is_empty() {
        return Err(StartError::NoListener);
    }
    if let Some(admin) = settings.admin.filter(|admin| !admin.ip().is_loopback()) {
        return Err(StartError::Admin(admin));
    }
    if settings.max_certificate_lifetime.as_secs() == 0 {
        let text = "--max-certificate-lifetime is shorter than a second; give one such as 24h";
        return Err(StartError::Settings(text.to_owned()));
    }
    ambit_model::Identity::new(&settings.mesh.trust_domain, "default", "default")
        .map(drop)
        .map_err(|error| StartError::Settings(format!("--trust-domain cannot be used: {error}")))
}

fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    let listener = |address: &SocketAddr| {
        let options = ListenOptions { keepalive: Some(Keepalive::default()), ..ListenOptions::default() };
        Ok(tcp_listener(*address, &options)?)
    };
    addresses.iter().map(listener).collect()
}

fn serve_admin(
    address: SocketAddr,
    routes: ambit_app::Routes,
    drain: Watch,
    tasks: &mut JoinSet<()>,
) -> Result<SocketAddr, StartError> {
    let listener = tcp_listener(address, &ListenOptions::default())?;
    let bound = listener.local_addr()?;
    tasks.spawn(async move {
        if let Err(error) = ambit_app::admin::serve(listener, Arc::new(routes), drain).await {
            tracing::error!(%error, "the admin server ended");
        }
    });
    Ok(bound)
}

/// Works until the drain starts.
async fn until<T>(drain: Watch, work: impl Future<Output = T>) {
    tokio::select! {
        _ = drain.signaled() => {}
        _ = work => {}
    }
}
