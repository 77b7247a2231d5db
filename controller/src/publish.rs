//! What is in force: one writer that takes configurations and captured pods, and publishes what follows from both.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_identity::Clock;
use ambit_kubernetes::{Object, Pod};
use ambit_xds::{Kind, Resource, Store};
use tokio::sync::{mpsc, oneshot, watch};

use crate::captured::{Captured, CapturedPod};
use crate::check::Configuration;
use crate::index::{self, Index};
use crate::metrics::Metrics;
use crate::settings::MeshSettings;
use crate::source::Reading;
use crate::state::{StateDirectory, StateError};
use crate::tokens::NodeName;

/// What is in force now. Replaced as a whole, never changed.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The objects of the last valid configuration.
    pub objects: Arc<Vec<Object>>,
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

/// A node's captured pods, and where to say that they are in force.
type Report = (NodeName, Vec<CapturedPod>, oneshot::Sender<Result<(), StateError>>);

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
    /// Replaces the captured pods of a node. When this returns they are on disk and published.
    pub async fn replace(&self, node: NodeName, pods: Vec<CapturedPod>) -> Result<(), ReportError> {
        let (done, outcome) = oneshot::channel();
        self.0.send((node, pods, done)).await.map_err(|_| ReportError::Closing)?;
        Ok(outcome.await.map_err(|_| ReportError::Closing)??)
    }
}

/// The one writer.
#[derive(Debug)]
pub struct Publisher {
    mesh: MeshSettings,
    state: StateDirectory,
    store: Store,
    metrics: Metrics,
    clock: Clock,
    objects: Option<Arc<Vec<Object>>>,
    since: SystemTime,
    captured: Arc<Captured>,
    /// Reported pods that no configuration has held yet: they are not gone, they are to come.
    awaited: HashSet<(String, CapturedPod)>,
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
            metrics,
            clock,
            objects: None,
            since,
            captured: Arc::new(captured),
            awaited: HashSet::new(),
            in_force: watch::Sender::new(None),
        }
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
                let kept = match self.objects {
                    Some(_) => "the last good configuration stays in force",
                    None => "there is no configuration yet, so nothing is served",
                };
                for problem in &problems {
                    tracing::error!("invalid configuration: {problem}");
                }
                tracing::error!(problems = problems.len(), "the configuration was refused; {kept}");
            }
        }
    }

    /// Takes readings and reports until the senders are gone.
    pub async fn run(mut self, mut readings: mpsc::Receiver<Reading>, mut reports: mpsc::Receiver<Report>) {
        loop {
            tokio::select! {
                Some(reading) = readings.recv() => self.take(reading).await,
                Some((node, pods, done)) = reports.recv() => {
                    let _ = done.send(self.report(&node, pods).await);
                }
                else => return,
            }
        }
    }

    async fn configure(&mut self, configuration: Configuration) {
        for warning in &configuration.warnings {
            tracing::warn!("{warning}");
        }
        let pods: Vec<&Pod> = configuration.objects.iter().filter_map(pod_of).collect();
        let there = |node: &str, captured: &CapturedPod| {
            pods.iter().any(|pod| captured.is_of(pod) && pod.node() == Some(node))
        };
        let gone = self.captured.without(|node, captured| {
            !there(node, captured) && !self.awaited.contains(&(node.to_owned(), captured.clone()))
        });
        self.awaited.retain(|(node, captured)| !there(node, captured));
        if gone != *self.captured {
            // Kept on disk too long it does no harm: the next start drops it.
            if let Err(error) = self.keep(&gone).await {
                tracing::warn!(%error, "captured pods that are gone could not be forgotten");
            }
            self.captured = Arc::new(gone);
        }
        self.objects = Some(Arc::new(configuration.objects));
        self.since = self.clock.now();
        let index = self.publish();
        self.metrics.configuration_applied(self.since);
        if let Some(index) = index {
            for note in &index.notes {
                tracing::warn!("{note}");
            }
            let (pods, services) = (index.workloads.len(), index.services.len());
            let policies = index.policies.len();
            tracing::info!(workloads = pods, services, policies, "configuration applied");
        }
    }

    async fn report(&mut self, node: &NodeName, pods: Vec<CapturedPod>) -> Result<(), StateError> {
        let next = self.captured.with_node(node, pods);
        if next == *self.captured {
            return Ok(());
        }
        // On disk first: what has been served is known after a restart, too.
        self.keep(&next).await?;
        self.captured = Arc::new(next);
        let objects = self.objects.clone().unwrap_or_default();
        let known: HashSet<(&str, &str)> = objects
            .iter()
            .filter_map(pod_of)
            .map(|pod| (pod.metadata.namespace.as_str(), pod.metadata.name.as_str()))
            .collect();
        self.awaited = self
            .captured
            .pods()
            .filter(|(_, pod)| !known.contains(&(pod.namespace.as_str(), pod.name.as_str())))
            .map(|(node, pod)| (node.to_owned(), pod.clone()))
            .collect();
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
        let objects = self.objects.clone()?;
        let index = Arc::new(index::build(&objects, &self.captured, &self.mesh));
        self.serve(&index);
        self.metrics.counts(&index, &objects);
        self.in_force.send_replace(Some(InForce {
            residents: Arc::new(objects.iter().filter_map(pod_of).filter_map(resident).collect()),
            objects,
            index: index.clone(),
            captured: self.captured.clone(),
            since: self.since,
        }));
        Some(index)
    }

    /// Policies come before the workloads that list them and go after them; a policy that takes another's place is
    /// there before the other goes, because without any ALLOW everything is allowed.
    fn serve(&self, index: &Index) {
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
