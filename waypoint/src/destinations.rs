//! Where requests go: a port of a service, or of a subset of it, by the rules that say how it is called (Istio
//! DestinationRule).
//!
//! What is learned about a destination (load, failures, how much is under way) outlives edits and is shared by all workers:
//! limits are those of the whole replica. What follows from configuration ([`Current`]) is made anew when configuration
//! has changed, by the next request that comes.

mod call;
mod current;
mod groups;
mod health;
mod held;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ambit_model::service::ServiceKey;
use ambit_model::table::Table;
use ambit_model::{Snapshot, Text};
use ambit_policy::Family;
use ambit_policy::request::balance::Load;
use ambit_policy::request::limit::Places;
use ambit_policy::request::retry::Window;
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

pub use call::Call;
pub use current::{Asker, Current, Uncallable};
pub use groups::{Place, Wish};
pub use health::Health;
pub use held::Held;

/// All destinations that were asked for. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Destinations {
    table: Arc<ArcSwap<Known>>,
    writing: Arc<Mutex<()>>,
}

/// The destinations of each service.
type Known = Table<ServiceKey, Arc<[Arc<Destination>]>>;

/// One destination.
#[derive(Debug)]
pub struct Destination {
    service: ServiceKey,
    port: u16,
    subset: Option<Text>,
    /// Requests under way.
    pub requests: Places,
    /// Retries under way.
    pub retries: Places,
    /// Requests that wait for a connection.
    pub pending: Places,
    /// Connections that carry one request or stream each.
    pub connections: Places,
    /// Who fails.
    pub health: Health,
    window: Mutex<Option<Window>>,
    loads: Mutex<HashMap<Text, Arc<Load>>>,
    /// As configuration has it, for clients of either family.
    current: [ArcSwapOption<Current>; 2],
}

impl Destinations {
    /// The destination of a port of a service, or of a subset of it.
    pub fn of(&self, service: &ServiceKey, port: u16, subset: Option<&Text>) -> Arc<Destination> {
        let is_it = |each: &&Arc<Destination>| each.port == port && each.subset.as_ref() == subset;
        let known = |table: &Known| table.get(service).and_then(|all| all.iter().find(is_it)).cloned();
        if let Some(found) = known(&self.table.load()) {
            return found;
        }
        let _writing = self.writing.lock();
        let mut table = Table::clone(&self.table.load());
        if let Some(found) = known(&table) {
            return found;
        }
        let new = Arc::new(Destination::new(service.clone(), port, subset.cloned()));
        let others = table.get(service).into_iter().flat_map(|all| all.iter().cloned());
        let all = others.chain([new.clone()]).collect();
        table.insert(service.clone(), all);
        self.table.store(Arc::new(table));
        new
    }

    /// Forgets destinations of services that are gone.
    pub fn retain(&self, snapshot: &Snapshot) {
        let gone = |table: &Known| -> Vec<ServiceKey> {
            table.iter().map(|(key, _)| key).filter(|key| snapshot.service(key).is_none()).cloned().collect()
        };
        if gone(&self.table.load()).is_empty() {
            return;
        }
        let _writing = self.writing.lock();
        let mut table = Table::clone(&self.table.load());
        for key in gone(&table) {
            table.remove(&key);
        }
        self.table.store(Arc::new(table));
    }
}

impl Destination {
    fn new(service: ServiceKey, port: u16, subset: Option<Text>) -> Self {
        let places = || Places::new(None);
        Self {
            service,
            port,
            subset,
            requests: places(),
            retries: places(),
            pending: places(),
            connections: places(),
            health: Health::default(),
            window: Mutex::new(None),
            loads: Mutex::new(HashMap::new()),
            current: [ArcSwapOption::empty(), ArcSwapOption::empty()],
        }
    }

    /// One that nobody else knows: a workload that is asked for by its address.
    pub fn nameless() -> Self {
        Self::new(ServiceKey::new("", ""), 0, None)
    }

    /// The service.
    pub fn service(&self) -> &ServiceKey {
        &self.service
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn slot(&self, family: Family) -> &ArcSwapOption<Current> {
        &self.current[usize::from(family == Family::V6)]
    }

    /// The load of an endpoint, known since `now` if not before.
    fn load(&self, key: &Text, now: Instant) -> Arc<Load> {
        self.loads.lock().entry(key.clone()).or_insert_with(|| Arc::new(Load::new(now))).clone()
    }

    /// A try has begun: it counts in the budget of retries.
    fn count(&self, current: &Current, retry: bool, now: Instant) {
        let Some(interval) = current.budget.interval() else { return };
        self.window.lock().get_or_insert_with(|| Window::new(interval)).count(retry, now);
    }

    /// Whether one more retry may begin.
    pub fn may_retry(&self, current: &Current, now: Instant) -> bool {
        let (requests, retries) = match current.budget.interval() {
            Some(_) => self.window.lock().as_mut().map_or((0, 0), |window| window.counts(now)),
            None => (self.requests.taken().into(), self.retries.taken().into()),
        };
        current.budget.allows(requests, retries)
    }
}

/// A number for what may share connections.
fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}
