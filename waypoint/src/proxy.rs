//! What a flow may use: the worker's own tunnels, upstream connections and counters, and what all workers share.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_app::Load;
use ambit_app::runtime::load::Seat;
use ambit_hbone::settings::Buffers;
use ambit_hbone::{ClientSettings, Pool, PoolSettings, Rotation, ServerSettings};
use ambit_identity::certificates::FetchError;
use ambit_identity::{Certificate, Certificates};
use ambit_model::{Snapshot, Workload};
use ambit_policy::request::limit::Places;
use ambit_telemetry::traffic;
use ambit_transport::{Handshakes, Limits};
use ambit_xds::Configuration;

use crate::destinations::Destinations;
use crate::limiters::Limiters;
use crate::mirror;
use crate::network::{Kernel, Network};
use crate::own::{Own, unannounced};
use crate::rules::Rules;
use crate::settings::Settings;
use crate::tunnels::Dialer;
use crate::upstream::Shelves;

/// One worker's part of the data plane. Only its own thread uses it, but for scrapes.
#[derive(Debug)]
pub struct Proxy<N: Network = Kernel> {
    /// Where flows dial.
    pub network: Arc<N>,
    /// Settings of the process.
    pub settings: Arc<Settings>,
    /// Configuration from the controller.
    pub configuration: Configuration,
    /// What users ask of requests.
    pub rules: Rules,
    /// Rate limits at work.
    pub limiters: Limiters,
    /// Where requests go.
    pub destinations: Destinations,
    /// The certificate of this proxy.
    pub certificates: Certificates,
    /// Traffic counters.
    pub traffic: traffic::Worker,
    /// Tunnels to endpoints' proxies.
    pub tunnels: Pool<Dialer<N>>,
    /// Which certificates they were made with.
    pub rotation: Rotation,
    /// HTTP connections to endpoints.
    pub upstreams: Shelves,
    /// Bounds copies of requests.
    pub mirrors: Places,
    /// Bounds inbound handshakes.
    pub handshakes: Handshakes,
    /// How inbound tunnels are served.
    pub tunnel_server: ServerSettings,
    unannounced: Arc<Workload>,
    load: Load,
    worker: usize,
}

/// The two ends of an accepted connection, canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Who connected.
    pub peer: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
}

impl<N: Network> Proxy<N> {
    /// A worker's proxy. `buffers` are one value for all workers: clones share one budget of memory.
    pub fn new(
        network: Arc<N>,
        settings: Arc<Settings>,
        buffers: Buffers,
        configuration: Configuration,
        rules: Rules,
        certificates: Certificates,
        traffic: traffic::Worker,
    ) -> Self {
        let engine = settings.tunnel_engine;
        let client = ClientSettings {
            engine,
            buffers: buffers.clone(),
            max_streams: settings.tunnel_streams as usize,
            ..ClientSettings::default()
        };
        let dialer = Dialer::new(network.clone(), settings.clone(), certificates.clone());
        Self {
            tunnels: Pool::new(dialer, PoolSettings { client, idle_timeout: settings.tunnel_idle }),
            rotation: Rotation::default(),
            upstreams: Shelves::default(),
            mirrors: Places::new(Some(mirror::MOST)),
            handshakes: Handshakes::default(),
            tunnel_server: ServerSettings { engine, buffers, ..ServerSettings::default() },
            unannounced: unannounced(&settings),
            network,
            settings,
            configuration,
            rules,
            limiters: Limiters::default(),
            destinations: Destinations::default(),
            certificates,
            traffic,
            load: Load::new(1),
            worker: 0,
        }
    }

    /// With limits that other workers count in too, and what they learn of destinations.
    pub fn with_shared(self, limiters: Limiters, destinations: Destinations) -> Self {
        Self { limiters, destinations, ..self }
    }

    /// As the proxy of the worker `worker`, which counts what it carries in `load`.
    pub fn on_worker(self, worker: usize, load: Load) -> Self {
        Self { load, worker, ..self }
    }

    /// A seat for a connection that came in a tunnel: it is carried where the tunnel is.
    pub fn seat(&self) -> Seat {
        self.load.at(self.worker)
    }

    /// Who this waypoint is, as of this snapshot.
    pub fn own(&self, snapshot: &Snapshot) -> Own {
        Own::of(snapshot, &self.settings, &self.unannounced)
    }

    /// What a relay may take of this worker.
    pub fn limits(&self) -> Limits {
        Limits { splice: self.settings.splice, ..Limits::default() }
    }

    /// This proxy's certificate: at once where it is there, else when it is.
    ///
    /// # Errors
    /// The issuer does not give one.
    pub async fn certificate(&self) -> Result<Arc<Certificate>, FetchError> {
        let identity = &self.settings.identity;
        match self.certificates.current(identity) {
            Some(certificate) => Ok(certificate),
            None => self.certificates.certificate(identity).await,
        }
    }
}

/// The windows and buffers that the settings ask for, with one budget for the whole process.
pub fn buffers(settings: &Settings) -> Buffers {
    Buffers {
        stream_window: settings.stream_window,
        connection_window: settings.connection_window,
        max_frame: settings.frame,
        ..Buffers::default()
    }
}
