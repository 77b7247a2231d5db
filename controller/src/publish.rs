//! What is in force: one writer that takes configurations and captured pods, and publishes what follows from both.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_identity::Clock;
use ambit_kubernetes::{Object, Pod};
use ambit_xds::{Kind, Resource, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::captured::{Captured, CapturedPod, NodeReport};
use crate::check::Configuration;
use crate::index::{self, Index};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::settings::MeshSettings;
use crate::source::Reading;
use crate::state::{StateDirectory, StateError};
use crate::tokens::NodeName;

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
    pub index: Arc<Index>,
    /// The pods that agents have captured.
    pub captured: Arc<Captured>,
    /// When the configuration came into force.
    pub since: SystemTime,
    /// Which identities live on which node.
    residents: Arc<HashSet<Resident>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Resident {
    node: String,
    namespace: String,
    service_account: String,
}

impl InForce {
    /// Whether some live pod on `node` has this identity.
    pub fn lives_on(&self, node: &NodeName, namespace: &str, service_account: &str) -> bool {
        self.residents.contains(&Resident {
            node: node.as_str().to_owned(),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
        })
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
    mesh: MeshSettings,
    state: StateDirectory,
    store: Store,
    names: Names,
    metrics: Metrics,
    clock: Clock,
    configuration: Option<Arc<Configuration>>,
    since: SystemTime,
    captured: Arc<Captured>,
    /// Captured pods that the configuration does not hold, and since when.
    absent: HashMap<(String, CapturedPod), Instant>,
    /// What has been said about the index.
    notes: Vec<String>,
    in_force: watch::Sender<Option<InForce>>,
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
            mesh,
            state,
            store,
            names: Names::default(),
            metrics,
            clock,
            configuration: None,
            since,
            captured: Arc::new(captured),
            absent: HashMap::new(),
            notes: Vec::new(),
            in_force: watch::Sender::new(None),
        }
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
                _ = look.tick() => self.forget_absent().await,
            }
        }
    }

    async fn configure(&mut self, configuration: Arc<Configuration>) {
        for warning in &configuration.warnings {
            tracing::warn!("{warning}");
        }
        self.configuration = Some(configuration);
        self.since = self.clock.now();
        self.forget_absent().await;
        let Some(index) = self.publish() else { return };
        self.metrics.configuration_applied(self.since);
        for note in index.notes.iter().filter(|note| !self.notes.contains(note)) {
            tracing::warn!("{note}");
        }
        self.notes = index.notes.clone();
        let (workloads, services) = (index.workloads.len(), index.services.len());
        let policies = index.policies.len();
        tracing::info!(workloads, services, policies, "configuration applied");
    }

    /// Forgets captured pods that have been out of the configuration for a while. Not at once: a file that an editor
    /// takes away for a moment must not make its pods plaintext when it comes back.
    async fn forget_absent(&mut self) {
        let Some(configuration) = self.configuration.clone() else { return };
        let pods = configuration.objects.iter().filter_map(pod_of);
        let there: HashSet<(&str, &str, &str)> = pods
            .filter_map(|pod| Some((pod.node()?, &*pod.metadata.namespace, &*pod.metadata.name)))
            .collect();
        let now = Instant::now();
        let absent = self
            .captured
            .pods()
            .filter(|(node, pod)| !there.contains(&(*node, &*pod.namespace, &*pod.name)))
            .map(|(node, pod)| {
                let key = (node.to_owned(), pod.clone());
                let since = self.absent.get(&key).copied().unwrap_or(now);
                (key, since)
            })
            .collect();
        self.absent = absent;
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
        let objects = self.configuration.as_ref().map(|configuration| &*configuration.objects);
        let next = self.captured.after(node, report, objects);
        if next == *self.captured {
            return Ok(());
        }
        // On disk first: what has been served is known after a restart, too.
        self.keep(&next).await?;
        self.captured = Arc::new(next);
        self.publish();
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

    /// Publishes what follows from configuration and captured pods.
    fn publish(&self) -> Option<Arc<Index>> {
        let configuration = self.configuration.clone()?;
        let objects = &configuration.objects;
        let index = Arc::new(index::build(objects, &self.captured, &self.mesh));
        self.serve(&index);
        self.metrics.counts(&index, objects);
        self.in_force.send_replace(Some(InForce {
            residents: Arc::new(objects.iter().filter_map(pod_of).filter_map(resident).collect()),
            configuration,
            index: index.clone(),
            captured: self.captured.clone(),
            since: self.since,
        }));
        Some(index)
    }

    /// Policies come before the workloads that list them and go after them; a policy that takes another's place is
    /// there before the other goes, because without any ALLOW everything is allowed.
    fn serve(&self, index: &Index) {
        self.names.replace(index);
        let policies: Vec<Resource> = index.policies.iter().map(Resource::policy).collect();
        self.store.update(Kind::Authorization, policies.iter().cloned(), []);
        let services = index.services.iter().map(Resource::service);
        let workloads = index.workloads.iter().map(Resource::workload);
        self.store.publish(Kind::Address, services.chain(workloads));
        self.store.publish(Kind::Authorization, policies);
    }
}

/// A channel for reports, with the end that the writer reads.
pub fn reports() -> (Reports, mpsc::Receiver<Report>) {
    let (sender, receiver) = mpsc::channel(16);
    (Reports(sender), receiver)
}

fn pod_of(object: &Object) -> Option<&Pod> {
    match object {
        Object::Pod(pod) => Some(pod),
        _ => None,
    }
}

/// The identity of a pod that may have certificates: Pending, Running, or without a phase, which counts as Running.
fn resident(pod: &Pod) -> Option<Resident> {
    use ambit_kubernetes::PodPhase::{Pending, Running};
    let live = matches!(pod.status.phase, None | Some(Pending | Running));
    let node = pod.node().filter(|_| live)?;
    Some(Resident {
        node: node.to_owned(),
        namespace: pod.metadata.namespace.clone(),
        service_account: pod.service_account().to_owned(),
    })
}

#[cfg(test)]
mod tests;
