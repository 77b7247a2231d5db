//! A whole controller in one process: start, serve, end.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_app::{Readiness, Trigger};
use ambit_proto::istio::auth::istio_certificate_service_server::IstioCertificateServiceServer;
use ambit_telemetry::Registry;
use ambit_telemetry::log::LogControl;
use ambit_transport::drain::{self, Drain, Watch};
use ambit_transport::{ListenError, ListenOptions, tcp_listener};
use ambit_xds::Store;
use ambit_xds::server::Mount;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::authority::{self, AuthorityError, Serving};
use crate::captured::{Captured, CapturedError};
use crate::discovery::{Admission, Gate, Heard};
use crate::issue::{Issuer, IssuerSettings};
use crate::metrics::{Metrics, unix};
use crate::publish::{InForce, Publisher, reports};
use crate::serve::{Dispatch, Server};
use crate::settings::Settings;
use crate::source::{Source, SourceError};
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
        let state = StateDirectory::open(&settings.state)?;
        let lock = state.lock_controller()?;
        let clock = settings.clock.clone();
        let authority = Arc::new(authority::load_or_create(&state, &settings.mesh.trust_domain, &clock)?);
        let tokens = Arc::new(Tokens::load_or_create(&state)?);
        let captured = Captured::load(&state)?;

        let listeners = listen(&settings.listen)?;
        let listening: Vec<SocketAddr> =
            listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let names = authority::serving_names(&listening, &settings.server_names);
        let serving = Serving::new(authority.clone(), names, clock.clone()).map_err(AuthorityError::from)?;
        let serving = Arc::new(serving);

        let registry = Registry::new("controller", env!("CARGO_PKG_VERSION"));
        if let Some(log) = &around.log {
            log.register(&registry);
        }
        let metrics = Metrics::new(&registry);
        metrics.root_expiry.set(unix(authority.not_after()));
        metrics.serving_expiry.set(unix(serving.current().not_after()));
        let readiness = Readiness::new();
        let configured = readiness.register("configuration");

        let store = Store::default();
        let mut publisher = Publisher::new(
            settings.mesh.clone(),
            state,
            store.clone(),
            captured,
            metrics.clone(),
            clock.clone(),
        );
        let in_force = publisher.in_force();
        let gate = Gate::new(tokens, clock.clone(), metrics.clone());
        let (reporting, reported) = reports();
        let discovery = ambit_xds::Server::new(store, Admission::new(gate.clone(), in_force.clone()))
            .observed_by(Arc::new(Heard(metrics.clone())));
        let issuing = IssuerSettings {
            authority,
            trust_domain: settings.mesh.trust_domain.clone(),
            longest: settings.max_certificate_lifetime,
            clock,
        };
        let issuer = Issuer::new(issuing, gate.clone(), in_force.clone(), metrics.clone());
        let issuer = IstioCertificateServiceServer::new(issuer).max_decoding_message_size(LARGEST_REQUEST);
        let services = Mount::default().with(discovery).with(issuer);
        let server = Server::new(serving.clone(), Dispatch::new(services, gate, reporting), metrics);

        let (drain, watch) = drain::channel();
        let mut tasks = JoinSet::new();
        let admin = match settings.admin {
            Some(address) => {
                let routes = crate::admin::routes(
                    readiness.clone(),
                    registry,
                    in_force.clone(),
                    around.log,
                    around.trigger,
                );
                Some(serve_admin(address, routes, watch.clone(), &mut tasks)?)
            }
            None => None,
        };

        // Read before the port is served, so that nobody is turned away who would be welcome a moment later.
        if let Some(reading) = source.read().await {
            publisher.take(reading).await;
        }
        let (readings, read) = mpsc::channel(1);
        tasks.spawn(publisher.run(read, reported));
        tasks.spawn(until(watch.clone(), async move {
            source
                .watch(|reading| {
                    let readings = readings.clone();
                    async move {
                        // The writer lives as long as this task.
                        let _ = readings.send(reading).await;
                    }
                })
                .await;
        }));
        let mut first = in_force.clone();
        tasks.spawn(until(watch.clone(), async move {
            let _ = first.wait_for(Option::is_some).await.map(drop);
            configured.ready();
            std::future::pending::<()>().await
        }));
        tasks.spawn(until(watch.clone(), async move { serving.renew().await }));
        for listener in listeners {
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
        let listener = tcp_listener(*address, &ListenOptions::default())?;
        Ok(TcpListener::from_std(listener)?)
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
