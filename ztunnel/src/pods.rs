//! The pods of the node: the agent names them, workers listen in their namespaces. Lives on the control thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ambit_app::{Pending, Readiness};
use ambit_identity::Certificates;
use ambit_identity::certificates::Hold;
use ambit_model::Text;
use ambit_netns::Namespace;
use ambit_telemetry::metrics::WorkloadManagerMetrics;
use ambit_transport::drain::Mode;
use ambit_transport::{Drain, Watch};
use ambit_xds::Configuration;
use ambit_zds::client::{Client, Event};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::capture::Capture;
use crate::pod::Pod;
use crate::proxy::Proxy;

/// How often pods that could not be served are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// All pods of the node.
#[derive(Debug)]
pub struct Pods {
    capture: Arc<Capture>,
    configuration: Configuration,
    certificates: Certificates,
    metrics: WorkloadManagerMetrics,
    readiness: Readiness,
    leaving: Watch,
    /// How long the connections of a pod that left may go on.
    patience: Duration,
    running: HashMap<Text, Running>,
    holds: (mpsc::UnboundedSender<Held>, mpsc::UnboundedReceiver<Held>),
}

/// The hold on the certificate of a pod.
type Held = (Arc<Pod>, Hold);

#[derive(Debug)]
struct Running {
    pod: Arc<Pod>,
    drain: Drain,
    /// The worker that accepts for it.
    home: usize,
    certificate: Keeping,
    /// Why the pod is not served; tried again, and the process is not ready meanwhile.
    failed: Option<(String, Pending)>,
}

/// Keeps the certificate of the pod's identity fetched and fresh.
#[derive(Debug)]
enum Keeping {
    /// By a task that finds out which identity that is, and then ends: an idle pod has no use for it.
    Asked(AbortHandle),
    /// By this.
    Held { _hold: Hold },
}

/// What `/config_dump` says about a pod.
#[derive(Debug, Clone)]
pub struct PodState {
    /// The agent's key.
    pub uid: Text,
    /// The pod.
    pub pod: Arc<Pod>,
    /// Why it is not served, if it is not.
    pub failed: Option<String>,
}

impl Pods {
    /// No pods yet, to be served by these workers; `None` without any worker.
    pub fn new(
        capture: Capture,
        metrics: WorkloadManagerMetrics,
        readiness: Readiness,
        leaving: Watch,
    ) -> Option<Self> {
        let first = capture.proxies().first()?;
        Some(Self {
            configuration: first.configuration.clone(),
            certificates: first.certificates.clone(),
            patience: first.settings.drain,
            capture: Arc::new(capture),
            metrics,
            readiness,
            leaving,
            running: HashMap::new(),
            holds: mpsc::unbounded_channel(),
        })
    }

    /// Follows the agent until the process leaves. `synced` is held until the agent has named all pods once.
    pub async fn follow(
        mut self,
        mut agent: Client,
        synced: Pending,
        state: tokio::sync::watch::Sender<Vec<PodState>>,
    ) {
        let mut synced = Some(synced);
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let leaving = self.leaving.clone();
        loop {
            tokio::select! {
                _ = leaving.signaled() => break,
                event = agent.next() => match event {
                    Ok(event) => {
                        let complete = matches!(event, Event::SnapshotSent { .. });
                        agent.ack(self.handle(event));
                        if complete {
                            synced = None;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "no word from the node agent; its pods stay as they are"),
                },
                Some(held) = self.holds.1.recv() => {
                    self.keep(held);
                    continue;
                }
                _ = retry.tick() => self.retry(),
            }
            state.send_replace(self.state());
        }
        drop(synced);
        // The pods' drains follow the process's; dropped before they are done, they would cut what may still finish.
        let Self { running, leaving: own, .. } = self;
        drop((leaving, own));
        for pod in running.values() {
            pod.drain.finished().await;
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Add { uid, identity, netns } => {
                let netns = Namespace::from_fd(netns).map_err(|error| error.to_string())?;
                self.add(Pod::new(uid, identity.namespace, identity.name, identity.service_account, netns))
            }
            Event::Keep { uid } => match self.running.get(uid.as_str()) {
                Some(Running { failed: None, .. }) => Ok(()),
                Some(_) => self.start(&uid.into()),
                None => Err(format!("pod {uid} is not known to this proxy, send its namespace")),
            },
            Event::Remove { uid } => {
                self.remove(&uid);
                Ok(())
            }
            Event::SnapshotSent { stale } => {
                stale.iter().for_each(|uid| self.remove(uid));
                tracing::info!(pods = self.running.len(), "the node agent has named all pods");
                Ok(())
            }
        }
    }

    fn add(&mut self, pod: Pod) -> Result<(), String> {
        let uid = pod.uid.clone();
        if let Some(running) = self.running.get(&uid) {
            if same(&running.pod, &pod) {
                return match &running.failed {
                    None => Ok(()),
                    Some(_) => self.start(&uid),
                };
            }
            tracing::info!(pod = %uid, name = %pod.name, "the pod was replaced");
            self.remove(&uid);
        }
        let pod = Arc::new(pod);
        let (configuration, certificates) = (self.configuration.clone(), self.certificates.clone());
        let (asked, holds) = (pod.clone(), self.holds.0.clone());
        let certificate = tokio::spawn(async move {
            let hold = hold_certificate(&asked, configuration, certificates).await;
            // Nobody is there to take it only when the process leaves.
            let _ = holds.send((asked, hold));
        });
        let (drain, _) = self.leaving.nested();
        let home = self.home();
        self.running.insert(
            uid.clone(),
            Running {
                pod,
                drain,
                home,
                certificate: Keeping::Asked(certificate.abort_handle()),
                failed: None,
            },
        );
        self.start(&uid)
    }

    /// Keeps a hold for as long as its pod runs.
    fn keep(&mut self, (pod, hold): Held) {
        // Another pod may have the key by now.
        if let Some(running) =
            self.running.get_mut(&pod.uid).filter(|running| Arc::ptr_eq(&running.pod, &pod))
        {
            running.certificate = Keeping::Held { _hold: hold };
        }
    }

    /// The worker that is home to the fewest pods.
    fn home(&self) -> usize {
        let mut homes = vec![0usize; self.capture.proxies().len()];
        self.running.values().for_each(|running| homes[running.home] += 1);
        let fewest = homes.iter().enumerate().min_by_key(|(_, pods)| **pods);
        fewest.map_or(0, |(worker, _)| worker)
    }

    /// Starts the pod's listeners; all or none.
    fn start(&mut self, uid: &Text) -> Result<(), String> {
        let Some(running) = self.running.get_mut(uid) else { return Ok(()) };
        let (drain, watch) = self.leaving.nested();
        running.drain = drain;
        let started = self.capture.start(running.home, &running.pod, &watch);
        let outcome = started.map_err(|error| error.to_string());
        let pod = &running.pod;
        match &outcome {
            Ok(()) => {
                running.failed = None;
                self.metrics.started.increment();
                tracing::info!(pod = %uid, name = %pod.name, namespace = %pod.namespace, "pod is served");
            }
            Err(reason) => {
                running.drain.drain(Mode::Immediate);
                self.capture.proxies().iter().for_each(|proxy| forget(proxy, pod));
                let pending =
                    self.readiness.register(&format!("pod {}/{}: {reason}", pod.namespace, pod.name));
                tracing::error!(pod = %uid, name = %pod.name, namespace = %pod.namespace, reason, "pod is not served; trying again");
                running.failed = Some((reason.clone(), pending));
            }
        }
        self.count();
        outcome
    }

    fn retry(&mut self) {
        let failed = self.running.iter().filter(|(_, running)| running.failed.is_some());
        let failed: Vec<Text> = failed.map(|(uid, _)| uid.clone()).collect();
        for uid in failed {
            // The outcome is kept with the pod, and logged there.
            let _ = self.start(&uid);
        }
    }

    fn remove(&mut self, uid: &str) {
        let Some(running) = self.running.remove(uid) else { return };
        let pod = running.pod;
        tracing::info!(pod = %uid, name = %pod.name, namespace = %pod.namespace, "pod has left");
        self.metrics.stopped.increment();
        self.count();
        pod.leave();
        if let Keeping::Asked(task) = &running.certificate {
            task.abort();
        }
        running.drain.drain(Mode::Graceful);
        let (drain, patience) = (running.drain, self.patience);
        let capture = self.capture.clone();
        tokio::spawn(async move {
            // A pod that was deleted has no network any more; one that only left the mesh may finish what it does.
            let _ = tokio::time::timeout(patience, drain.finished()).await;
            drain.drain(Mode::Immediate);
            for proxy in capture.proxies() {
                forget(proxy, &pod);
                proxy.tunnels.close(|key| *key.pod() == pod.instance);
            }
        });
    }

    fn count(&self) {
        let pending = self.running.values().filter(|running| running.failed.is_some()).count();
        self.metrics.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.metrics.active.set(i64::try_from(self.running.len() - pending).unwrap_or(i64::MAX));
    }

    fn state(&self) -> Vec<PodState> {
        let state = |(uid, running): (&Text, &Running)| PodState {
            uid: uid.clone(),
            pod: running.pod.clone(),
            failed: running.failed.as_ref().map(|(reason, _)| reason.clone()),
        };
        let mut pods: Vec<_> = self.running.iter().map(state).collect();
        pods.sort_by(|a, b| a.uid.cmp(&b.uid));
        pods
    }
}

/// The same pod in the same namespace: the inode alone could have been given out again (A28).
fn same(running: &Pod, named: &Pod) -> bool {
    running.netns.id() == named.netns.id()
        && running.netns.cookie() == named.netns.cookie()
        && (&running.name, &running.namespace, &running.service_account)
            == (&named.name, &named.namespace, &named.service_account)
}

/// Takes the pod from a worker: no tunnel is dialled for it any more, and none of its tunnels takes a new stream.
fn forget(proxy: &Proxy, pod: &Pod) {
    let mut pods = proxy.pods.lock();
    pods.remove(&pod.instance);
    proxy.rotation.retain(|identity| pods.values().any(|pod| pod.runs_as(identity)));
    drop(pods);
    proxy.tunnels.drain(|key| *key.pod() == pod.instance);
}

/// A hold on the certificate of the pod's identity, from the moment that its trust domain is known.
async fn hold_certificate(pod: &Pod, configuration: Configuration, certificates: Certificates) -> Hold {
    loop {
        match pod.known(&configuration).await {
            Ok(workload) => return certificates.hold(&workload.identity),
            Err(unknown) => tracing::warn!(pod = %pod.uid, "{unknown}"),
        }
    }
}
