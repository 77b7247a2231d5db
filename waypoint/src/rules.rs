//! What users ask of requests, compiled for each service: policies, tokens, routes. One writer, read through one pointer.
//!
//! What an object says reaches exactly the services that it targets: an edit compiles these anew, and no others.

mod book;
mod compile;
pub mod listeners;
mod telemetry;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ambit_model::l7::MeshConfig;
use ambit_model::service::ServiceKey;
use ambit_model::table::Table;
use ambit_model::{Change, Text};
use ambit_policy::request::{Authenticator, PolicySet, RouteTable, StreamTable, TrafficRules};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::settings::Settings;
use book::Book;
use listeners::Listeners;

/// What applies to one service, ready for use.
#[derive(Debug, Default)]
pub struct ServiceRules {
    /// Who may ask.
    pub policies: PolicySet,
    /// Which tokens are accepted.
    pub authenticator: Authenticator,
    /// By port where a route names one.
    ports: HashMap<u16, RouteTable>,
    /// For all other ports.
    routes: RouteTable,
    /// Requests are logged that are answered with this status or a higher one.
    pub log_from: u16,
    /// Who may connect where bytes are no requests.
    pub stream_policies: PolicySet,
    stream_ports: HashMap<u16, StreamTable>,
    streams: StreamTable,
}

impl ServiceRules {
    /// The routes of a port.
    pub fn routes(&self, port: u16) -> &RouteTable {
        self.ports.get(&port).unwrap_or(&self.routes)
    }

    /// The routes of a port for connections whose bytes are no requests.
    pub fn streams(&self, port: u16) -> &StreamTable {
        self.stream_ports.get(&port).unwrap_or(&self.streams)
    }
}

/// Everything that is in force at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct InForce {
    mesh: Arc<MeshConfig>,
    /// How services are called.
    traffic: Arc<TrafficRules>,
    /// Services that some object names.
    services: Table<ServiceKey, Arc<ServiceRules>>,
    /// For the other services of namespaces that some object names.
    namespaces: Table<Text, Arc<ServiceRules>>,
    /// For all others.
    rest: Arc<ServiceRules>,
    /// For what is asked for by a workload's address.
    workloads: Arc<ServiceRules>,
    /// Of this proxy's own Gateway.
    listeners: Arc<Listeners>,
    /// Labels by the workload's uid.
    labels: Table<Text, Arc<[(Text, Text)]>>,
}

/// The reading side, shared by all workers.
#[derive(Debug, Clone)]
pub struct Rules {
    in_force: Arc<ArcSwap<InForce>>,
    ports: watch::Receiver<BTreeSet<u16>>,
}

/// The writing side. There is one.
#[derive(Debug)]
pub struct RulesWriter {
    published: Arc<ArcSwap<InForce>>,
    ports: watch::Sender<BTreeSet<u16>>,
    book: Mutex<Book>,
}

/// No rules, and their writer.
pub fn rules(settings: &Settings) -> (RulesWriter, Rules) {
    let mesh = MeshConfig { trust_domain: settings.identity.trust_domain().clone(), ..MeshConfig::default() };
    let in_force = InForce { mesh: mesh.into(), ..InForce::default() };
    let published = Arc::new(ArcSwap::from_pointee(in_force));
    let book = Mutex::new(Book::new(settings));
    let (sender, ports) = watch::channel(BTreeSet::new());
    (RulesWriter { published: published.clone(), ports: sender, book }, Rules { in_force: published, ports })
}

impl Rules {
    /// What applies to a service.
    pub fn of_service(&self, key: &ServiceKey) -> Arc<ServiceRules> {
        let now = self.in_force.load();
        let found = now.services.get(key).or_else(|| now.namespaces.get(&key.namespace));
        found.unwrap_or(&now.rest).clone()
    }

    /// What applies to workloads that are asked for by their address.
    pub fn of_workloads(&self) -> Arc<ServiceRules> {
        self.in_force.load().workloads.clone()
    }

    /// The listeners of this proxy's own Gateway; none where it is a waypoint.
    pub fn listeners(&self) -> Arc<Listeners> {
        self.in_force.load().listeners.clone()
    }

    /// The ports of these, as they change.
    pub fn ports(&self) -> watch::Receiver<BTreeSet<u16>> {
        self.ports.clone()
    }

    /// Everything at this moment.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Settings of the mesh.
    pub fn mesh(&self) -> Arc<MeshConfig> {
        self.in_force.load().mesh.clone()
    }

    /// The labels of a workload.
    pub fn labels(&self, uid: &Text) -> Option<Arc<[(Text, Text)]>> {
        self.in_force.load().labels.get(uid).cloned()
    }
}

impl InForce {
    /// How services are called.
    pub(crate) fn traffic(&self) -> &TrafficRules {
        &self.traffic
    }

    /// The labels of a workload; none where they are not known.
    pub(crate) fn labels(&self, uid: &Text) -> &[(Text, Text)] {
        self.labels.get(uid).map_or(&[], |labels| labels)
    }
}

impl RulesWriter {
    /// Applies what concerns requests and publishes the result, in one step for readers.
    pub fn apply(&self, changes: &[Change]) {
        let mut book = self.book.lock();
        let Some(affected) = book.apply(changes) else { return };
        let before = self.published.load_full();
        let next = book.compile(&before, &affected);
        let ports = next.listeners.ports();
        self.published.store(Arc::new(next));
        // What listens on them finds its rules.
        self.ports.send_if_modified(|known| {
            let different = *known != ports;
            *known = ports;
            different
        });
    }
}

#[cfg(test)]
mod tests;
