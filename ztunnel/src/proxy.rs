//! What a flow may use: the worker's own tunnels, live connections and counters, and the configuration that all share.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_app::runtime::load::{Load, Seat};
use ambit_hbone::settings::Buffers;
use ambit_hbone::{ClientSettings, Pool, PoolSettings, Rotation, ServerSettings};
use ambit_identity::certificates::FetchError;
use ambit_identity::{Certificate, Certificates};
use ambit_model::{Identity, Text};
use ambit_telemetry::report::Failure;
use ambit_telemetry::traffic;
use ambit_transport::{CloseReason, DialOptions, Limits, Watch};
use parking_lot::Mutex;

use crate::connections::Connections;
use crate::doors::Doors;
use crate::hand_over::Courses;
use crate::live::Live;
use crate::network::{Namespaces, Network};
use crate::pod::Pod;
use crate::same_node::Pairs;
use crate::settings::Settings;
use crate::tunnels::PodDialer;
use ambit_transport::handshakes::Handshakes;
use ambit_xds::Configuration;

/// One worker's part of the data plane. Only its own thread uses it, but for scrapes.
#[derive(Debug)]
pub struct Proxy<N: Network = Namespaces> {
    /// Where flows dial.
    pub network: Arc<N>,
    /// Settings of the process.
    pub settings: Arc<Settings>,
    /// Configuration from the controller.
    pub configuration: Configuration,
    /// Certificates of the node's identities.
    pub certificates: Certificates,
    /// Traffic counters.
    pub traffic: traffic::Worker,
    /// Open connections, for operators.
    pub connections: Connections,
    /// Inbound connections that were let in.
    pub live: Live,
    /// Tunnels to other pods' proxies.
    pub tunnels: Pool<PodDialer<N>>,
    /// Which certificates they were made with.
    pub rotation: Rotation,
    /// Bounds inbound handshakes.
    pub handshakes: Handshakes,
    /// How inbound tunnels are served.
    pub tunnel_server: ServerSettings,
    /// The pods that this worker serves, by instance.
    pub pods: Pods,
    /// Those whose tunnel port is served, by name.
    pub doors: Doors,
    /// Which certificates accept each other.
    pub pairs: Pairs,
    /// Connections that are handed over within the node.
    pub courses: Courses,
    load: Load,
    worker: usize,
}

/// The pods of a worker, by [`Pod::instance`]; also where the tunnel dialer finds the namespace to dial from.
pub type Pods = Arc<Mutex<HashMap<Text, Arc<Pod>>>>;

impl<N: Network> Proxy<N> {
    /// A worker without pods. `buffers` are one value for all workers: clones share one budget of memory.
    pub fn new(
        network: Arc<N>,
        settings: Arc<Settings>,
        buffers: Buffers,
        configuration: Configuration,
        certificates: Certificates,
        traffic: traffic::Worker,
    ) -> Self {
        let (engine, early_bytes) = (settings.tunnel_engine, settings.early_bytes);
        let client = ClientSettings {
            engine,
            buffers: buffers.clone(),
            max_streams: settings.tunnel_streams as usize,
            early_bytes,
            ..ClientSettings::default()
        };
        let pods = Pods::default();
        let dialer = PodDialer::new(network.clone(), settings.clone(), pods.clone(), certificates.clone());
        Self {
            tunnels: Pool::new(dialer, PoolSettings { client, idle_timeout: settings.tunnel_idle }),
            tunnel_server: ServerSettings { engine, buffers, early_bytes, ..ServerSettings::default() },
            handshakes: Handshakes::default(),
            network,
            connections: Connections::default(),
            live: Live::default(),
            rotation: Rotation::default(),
            settings,
            configuration,
            certificates,
            traffic,
            pods,
            doors: Doors::default(),
            pairs: Pairs::default(),
            courses: Courses::default(),
            load: Load::new(1),
            worker: 0,
        }
    }

    /// As the proxy of the worker `worker`, which counts what it carries in `load`.
    pub fn on_worker(self, worker: usize, load: Load) -> Self {
        Self { load, worker, ..self }
    }

    /// A seat for a connection that came in a tunnel: it is carried where the tunnel is.
    pub fn seat(&self) -> Seat {
        self.load.at(self.worker)
    }

    /// How this proxy dials: marked, so that the pod's own rules let it pass.
    pub fn dial_options(&self) -> DialOptions {
        dial_options(&self.settings)
    }

    /// What a relay may take of this worker.
    pub fn limits(&self) -> Limits {
        Limits { splice: self.settings.splice, ..Limits::default() }
    }

    /// How it dials an application for a client: from the client's address, where the application can answer to it.
    pub fn application_options(&self, client: IpAddr, application: SocketAddr) -> DialOptions {
        // A pod that talks to itself is on both ends of one address; the kernel takes a foreign source only.
        let foreign = client != application.ip() && client.is_ipv4() == application.is_ipv4();
        let source = (self.settings.original_source && foreign).then_some(client);
        DialOptions { source, ..self.dial_options() }
    }

    /// Resolves when a relay has to be cut because its pod, or the process, leaves.
    pub async fn cut(&self, pod: &Pod, drain: &Watch) -> CloseReason {
        drain.immediate().await;
        if pod.has_left() { CloseReason::PodRemoved } else { CloseReason::Drain }
    }

    /// The outcome of `work`, unless its pod or the process leaves first: what is not open yet is not left hanging then.
    ///
    /// # Errors
    /// One of them left.
    pub async fn unless_cut<T>(
        &self,
        pod: &Pod,
        drain: &Watch,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            _ = self.cut(pod, drain) => Err(Failure::drained()),
        }
    }

    /// The certificate of an identity: at once where it is there, else when it is.
    pub async fn certificate(&self, identity: &Identity) -> Result<Arc<Certificate>, FetchError> {
        match self.certificates.current(identity) {
            Some(certificate) => Ok(certificate),
            None => self.certificates.certificate(identity).await,
        }
    }
}

/// The windows and buffers that the settings ask for, with one budget for the whole node.
pub fn buffers(settings: &Settings) -> Buffers {
    let defaults = Buffers::default();
    Buffers {
        stream_window: settings.stream_window,
        widest_stream_window: if settings.growing_windows { defaults.widest_stream_window } else { 0 },
        connection_window: settings.connection_window,
        max_frame: settings.frame,
        ..defaults
    }
}

/// See [`Proxy::dial_options`].
pub fn dial_options(settings: &Settings) -> DialOptions {
    let keepalive = settings.keepalive.clone();
    let user_timeout = keepalive.as_ref().filter(|_| settings.user_timeout);
    let user_timeout = user_timeout.map(|probes| probes.idle + probes.interval * probes.probes);
    DialOptions { mark: Some(settings.mark), keepalive, user_timeout, ..DialOptions::default() }
}
