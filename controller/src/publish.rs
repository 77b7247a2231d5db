//! What is in force: one writer that takes configurations and captured pods, and publishes what follows from both.

mod residents;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_identity::Clock;
use ambit_model::Text;
use ambit_xds::{Kind, Resource, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::captured::{Captured, CapturedPod, NodeReport};
use crate::check::Configuration;
use crate::index::{Delta, Difference, Index, Indexer};
use crate::keys::{KeySets, Wanted};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::settings::MeshSettings;
use crate::source::Reading;
use crate::state::{StateDirectory, StateError};
use crate::tokens::NodeName;
use residents::Residents;

/// Problems that are logged one by one: one mistake, such as a missing Namespace, may hit every object.
const MOST_PROBLEMS: usize = 50;

/// How long a captured pod is remembered that the configuration does not hold.
const GONE: Duration = Duration::from_secs(60);

/// What is in force now. Replaced as a whole, never changed.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The last valid configuration.
    pub configuration: Arc<Configuration>,
    /// What was made of them.
    pub index: Index,
    /// The pods that agents have captured.
    pub captured: Arc<Captured>,
    /// When the configuration came into force.
    pub since: SystemTime,
    /// Which identities live on which node.
    residents: Residents,
}

impl InForce {
    /// Whether some live pod on `node` has this identity.
    pub fn lives_on(&self, node: &NodeName, namespace: &str, service_account: &str) -> bool {
        self.residents.lives_on(node, namespace, service_account)
    }

    /// Whether some live pod on any node has this identity.
    pub fn lives(&self, namespace: &str, service_account: &str) -> bool {
        self.residents.lives(namespace, service_account)
    }
}

/// What a node's agent says, and where to say that they are in force.
type Report = (NodeName, NodeReport, oneshot::Sender<Result<(), StateError>>);

/// Reports captured pods to the one writer. Clones are alike.
#[derive(Debug, Clone)]
pub struct Reports(mpsc::Sender<Report>);

/// Why a report had no effect.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It was not kept, so it is not served either.
    #[error(transparent)]
    State(#[from] StateError),
    /// The process ends.
    #[error("the controller is shutting down; report again to its successor")]
    Closing,
}

impl Reports {
    /// Takes what a node's agent says ([`Captured::after`]). When this returns it is on disk and published.
    pub async fn take(&self, node: NodeName, report: NodeReport) -> Result<(), ReportError> {
        let (done, outcome) = oneshot::channel();
        self.0.send((node, report, done)).await.map_err(|_| ReportError::Closing)?;
        Ok(outcome.await.map_err(|_| ReportError::Closing)??)
    }
}

/// The one writer.
#[derive(Debug)]
pub struct Publisher {
    state: StateDirectory,
    store: Store,
    names: Names,
    metrics: Metrics,
    clock: Clock,
    indexer: Indexer,
    residents: Residents,
    configuration: Option<Arc<Configuration>>,
    since: SystemTime,
    captured: Arc<Captured>,
    /// Captured pods that the configuration does not hold, and since when.
    absent: HashMap<(String, CapturedPod), Instant>,
    /// What has been said about the index.
    notes: Arc<[String]>,
    in_force: watch::Sender<Option<InForce>>,
    /// The keys that are to be fetched.
    wanted: watch::Sender<Wanted>,
    /// Those that were.
    keys: watch::Receiver<Arc<KeySets>>,
}

impl Publisher {
    /// A writer to `store` that begins with the captured pods of the state directory and without a configuration.
    pub fn new(
        mesh: MeshSettings,
        state: StateDirectory,
        store: Store,
        captured: Captured,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        let since = clock.now();
        Self {
            indexer: Indexer::new(mesh),
            residents: Residents::default(),
            state,
            store,
            names: Names::default(),
            metrics,
            clock,
            configuration: None,
            since,
            captured: Arc::new(captured),
            absent: HashMap::new(),
            notes: Arc::default(),
            in_force: watch::Sender::new(None),
            wanted: watch::Sender::default(),
            keys: watch::Sender::default().subscribe(),
        }
    }

    /// The keys of token issuers that the configuration needs.
    pub fn wanted_keys(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// Takes the keys of token issuers from here, for ever.
    pub fn follow_keys(&mut self, keys: watch::Receiver<Arc<KeySets>>) {
        self.keys = keys;
        self.keys.mark_changed();
    }

    /// The names of what is published.
    pub fn names(&self) -> Names {
        self.names.clone()
    }

    /// What is in force; `None` before the first valid configuration.
    pub fn in_force(&self) -> watch::Receiver<Option<InForce>> {
        self.in_force.subscribe()
    }

    /// Takes what the directory holds.
    pub async fn take(&mut self, reading: Reading) {
        match reading {
            Reading::Valid(configuration) => self.configure(configuration).await,
            Reading::Invalid(problems) => {
                self.metrics.configuration_valid(false);
                let kept = match self.configuration {
                    Some(_) => "the last good configuration stays in force",
                    None => "there is no configuration yet, so nothing is served",
                };
                for problem in problems.iter().take(MOST_PROBLEMS) {
                    tracing::error!("invalid configuration: {problem}");
                }
                if let more @ 1.. = problems.len().saturating_sub(MOST_PROBLEMS) {
                    tracing::error!("invalid configuration: {more} more; `controller check` names them all");
                }
                tracing::error!(problems = problems.len(), "the configuration was refused; {kept}");
            }
        }
    }

    /// Takes readings and reports for ever.
    pub async fn run(
        mut self,
        mut readings: mpsc::Receiver<Reading>,
        mut reports: mpsc::Receiver<Report>,
    ) -> Infallible {
        let mut look = tokio::time::interval(GONE / 2);
        loop {
            tokio::select! {
                Some(reading) = readings.recv() => self.take(reading).await,
                Some((node, report, done)) = reports.recv() => {
                    let _ = done.send(self.report(&node, report).await);
                }
                Ok(()) = self.keys.changed() => self.take_keys(),
                _ = look.tick() => self.forget_absent().await,
            }
        }
    }

    async fn configure(&mut self, configuration: Arc<Configuration>) {
        for warning in configuration.warnings() {
            tracing::warn!("{warning}");
        }
        let nothing = Configuration::default();
        let (removed, added) = configuration.since(self.configuration.as_deref().unwrap_or(&nothing));
        self.configuration = Some(configuration);
        self.since = self.clock.now();
        let delta = self.indexer.update(&removed, &added, self.captured.clone());
        self.residents.update(&removed, &added);
        let wanted = self.indexer.wanted_keys();
        self.wanted.send_if_modified(|known| {
            let different = *known != wanted;
            *known = wanted;
            different
        });
        // Those that it forgets are of no pod that is published.
        self.forget_absent().await;
        let Some(index) = self.publish(&delta) else { return };
        self.metrics.counts(&index, &removed, &added);
        self.metrics.configuration_applied(self.since);
        self.say(index.notes());
        let [workloads, services, policies] = index.counts();
        tracing::info!(workloads, services, policies, "configuration applied");
    }

    fn take_keys(&mut self) {
        let keys = self.keys.borrow_and_update().clone();
        let delta = self.indexer.know(keys);
        self.publish(&delta);
    }

    /// Forgets captured pods that have been out of the configuration for a while. Not at once: a file that an editor
    /// takes away for a moment must not make its pods plaintext when it comes back.
    async fn forget_absent(&mut self) {
        if self.configuration.is_none() {
            return;
        }
        let now = Instant::now();
        let absent = self
            .captured
            .pods()
            .filter(|(node, captured)| {
                let pod = self.indexer.pod(&captured.namespace, &captured.name);
                pod.and_then(|pod| pod.node()) != Some(*node)
            })
            .map(|(node, pod)| {
                let key = (node.to_owned(), pod.clone());
                let since = self.absent.get(&key).copied().unwrap_or(now);
                (key, since)
            })
            .collect();
        self.absent = absent;
        if self.absent.is_empty() {
            return;
        }
        let gone = |(node, pod): (&str, &CapturedPod)| {
            self.absent.get(&(node.to_owned(), pod.clone())).is_some_and(|since| now - *since >= GONE)
        };
        let kept = self.captured.without(|node, pod| gone((node, pod)));
        if kept == *self.captured {
            return;
        }
        // Kept on disk too long it does no harm: it is forgotten at another time.
        if let Err(error) = self.keep(&kept).await {
            tracing::warn!(%error, "captured pods that are gone could not be forgotten");
            return;
        }
        self.captured = Arc::new(kept);
    }

    async fn report(&mut self, node: &NodeName, report: NodeReport) -> Result<(), StateError> {
        // Named again, they are awaited for their full time.
        self.absent.retain(|(of, _), _| of != node.as_str());
        let configured = self.configuration.is_some();
        let enrolled = configured.then(|| self.indexer.enrolled_on(node.as_str()));
        let next = self.captured.after(node, report, enrolled);
        if next == *self.captured {
            return Ok(());
        }
        // On disk first: what has been served is known after a restart, too.
        self.keep(&next).await?;
        self.captured = Arc::new(next);
        if configured {
            let delta = self.indexer.update(&[], &[], self.captured.clone());
            self.publish(&delta);
        }
        let captured = self.captured.pods().filter(|(of, _)| *of == node.as_str()).count();
        tracing::info!(%node, captured, "captured pods reported");
        Ok(())
    }

    async fn keep(&self, captured: &Captured) -> Result<(), StateError> {
        let (captured, state) = (captured.clone(), self.state.clone());
        match tokio::task::spawn_blocking(move || captured.store(&state)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let path = self.state.file(crate::captured::FILE);
                Err(StateError::Write { path, source: std::io::Error::other(error) })
            }
        }
    }

    /// Publishes what the indexer found different.
    fn publish(&self, delta: &Delta) -> Option<Index> {
        let configuration = self.configuration.clone()?;
        let index = self.indexer.index();
        self.serve(delta);
        self.in_force.send_replace(Some(InForce {
            residents: self.residents.clone(),
            configuration,
            index: index.clone(),
            captured: self.captured.clone(),
            since: self.since,
        }));
        Some(index)
    }

    /// Policies come before the workloads that list them or are bound to a waypoint, and go after them; a policy that takes another's place is
    /// there before the other goes, because without any ALLOW everything is allowed.
    fn serve(&self, delta: &Delta) {
        self.names.update(delta);
        let policies = come(&delta.policies).map(Resource::policy);
        self.store.update(Kind::Authorization, policies, []);
        self.store.update(Kind::L7, come(&delta.l7).map(Resource::l7), []);
        let services = come(&delta.services).map(Resource::service);
        let workloads = come(&delta.workloads).map(Resource::workload);
        let removed = gone(&delta.services).chain(gone(&delta.workloads));
        self.store.update(Kind::Address, services.chain(workloads), removed);
        self.store.update(Kind::Authorization, [], gone(&delta.policies));
        self.store.update(Kind::L7, [], gone(&delta.l7));
    }

    /// Says what was not said before.
    fn say(&mut self, notes: &Arc<[String]>) {
        let before: HashSet<&String> = self.notes.iter().collect();
        for note in notes.iter().filter(|note| !before.contains(note)) {
            tracing::warn!("{note}");
        }
        self.notes = notes.clone();
    }
}

/// What is there after a change and differs.
fn come<T>(differences: &[Difference<T>]) -> impl Iterator<Item = &T> {
    differences.iter().filter_map(|difference| difference.new.as_deref())
}

/// The names of what is not there any more.
fn gone<T>(differences: &[Difference<T>]) -> impl Iterator<Item = Text> {
    differences.iter().filter(|difference| difference.new.is_none()).map(|difference| difference.name.clone())
}

/// A channel for reports, with the end that the writer reads.
pub fn reports() -> (Reports, mpsc::Receiver<Report>) {
    let (sender, receiver) = mpsc::channel(16);
    (Reports(sender), receiver)
}

#[cfg(test)]
mod tests;
