//! The pods of the node: the agent names them, each worker listens in their namespaces. Lives on the control thread.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_app::{Pending, Readiness, Workers};
use ambit_identity::Certificates;
use ambit_model::traffic::ports;
use ambit_model::{Identity, Text};
use ambit_netns::Namespace;
use ambit_telemetry::metrics::WorkloadManagerMetrics;
use ambit_transport::drain::Mode;
use ambit_transport::peer::canonical;
use ambit_transport::{AcceptOptions, Drain, Socket, Watch, accept_loop, original_destination};
use ambit_zds::client::{Client, Event};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::configuration::Configuration;
use crate::inbound::tunnel;
use crate::network::Ends;
use crate::outbound::outbound;
use crate::plaintext::plaintext;
use crate::pod::{Pod, PodSocketError};
use crate::proxy::Proxy;

/// How often pods that could not be served are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// All pods of the node.
#[derive(Debug)]
pub struct Pods {
    workers: Arc<Workers>,
    proxies: Vec<Arc<Proxy>>,
    configuration: Configuration,
    certificates: Certificates,
    metrics: WorkloadManagerMetrics,
    readiness: Readiness,
    leaving: Watch,
    /// How long the connections of a pod that left may go on.
    patience: Duration,
    running: HashMap<Text, Running>,
}

#[derive(Debug)]
struct Running {
    pod: Arc<Pod>,
    drain: Drain,
    /// Fetches the pod's certificate and keeps it fresh.
    certificate: AbortHandle,
    /// Why the pod is not served; tried again, and the process is not ready meanwhile.
    failed: Option<(String, Pending)>,
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
    /// No pods yet, to be served by one proxy on each worker.
    pub fn new(
        workers: Arc<Workers>,
        proxies: Vec<Arc<Proxy>>,
        metrics: WorkloadManagerMetrics,
        readiness: Readiness,
        leaving: Watch,
    ) -> Option<Self> {
        let first = proxies.first()?;
        Some(Self {
            configuration: first.configuration.clone(),
            certificates: first.certificates.clone(),
            patience: first.settings.drain,
            workers,
            proxies,
            metrics,
            readiness,
            leaving,
            running: HashMap::new(),
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
                        agent.ack(self.handle(event).await);
                        if complete {
                            synced = None;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "no word from the node agent; its pods stay as they are"),
                },
                _ = retry.tick() => self.retry().await,
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

    async fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Add { uid, identity, netns } => {
                let netns = Namespace::from_fd(netns).map_err(|error| error.to_string())?;
                self.add(Pod::new(uid, identity.namespace, identity.name, identity.service_account, netns))
                    .await
            }
            Event::Keep { uid } => match self.running.get(uid.as_str()) {
                Some(Running { failed: None, .. }) => Ok(()),
                Some(_) => self.start(&uid.into()).await,
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

    async fn add(&mut self, pod: Pod) -> Result<(), String> {
        let uid = pod.uid.clone();
        if let Some(running) = self.running.get(&uid) {
            if same(&running.pod, &pod) {
                return match &running.failed {
                    None => Ok(()),
                    Some(_) => self.start(&uid).await,
                };
            }
            tracing::info!(pod = %uid, name = %pod.name, "the pod was replaced");
            self.remove(&uid);
        }
        let pod = Arc::new(pod);
        let certificate = tokio::spawn(keep_certificate(
            pod.clone(),
            self.configuration.clone(),
            self.certificates.clone(),
        ));
        let (drain, _) = self.leaving.nested();
        self.running.insert(
            uid.clone(),
            Running { pod, drain, certificate: certificate.abort_handle(), failed: None },
        );
        self.start(&uid).await
    }

    /// Starts the pod's listeners on every worker; all or none.
    async fn start(&mut self, uid: &Text) -> Result<(), String> {
        let Some(running) = self.running.get_mut(uid) else { return Ok(()) };
        let (drain, watch) = self.leaving.nested();
        running.drain = drain;
        let mut outcome = Ok(());
        for (index, proxy) in self.proxies.iter().enumerate() {
            let start = start(proxy.clone(), running.pod.clone(), watch.clone());
            let started = match self.workers.spawn_on(index, start) {
                Some(started) => started.await.ok().flatten(),
                None => None,
            };
            match started {
                Some(Ok(())) => {}
                Some(Err(error)) => outcome = Err(error.to_string()),
                None => outcome = Err("a worker has stopped".into()),
            }
            if outcome.is_err() {
                break;
            }
        }
        let pod = &running.pod;
        match &outcome {
            Ok(()) => {
                running.failed = None;
                self.metrics.started.increment();
                tracing::info!(pod = %uid, name = %pod.name, namespace = %pod.namespace, "pod is served");
            }
            Err(reason) => {
                running.drain.drain(Mode::Immediate);
                self.proxies.iter().for_each(|proxy| forget(proxy, pod));
                let pending =
                    self.readiness.register(&format!("pod {}/{}: {reason}", pod.namespace, pod.name));
                tracing::error!(pod = %uid, name = %pod.name, namespace = %pod.namespace, reason, "pod is not served; trying again");
                running.failed = Some((reason.clone(), pending));
            }
        }
        self.count();
        outcome
    }

    async fn retry(&mut self) {
        let failed = self.running.iter().filter(|(_, running)| running.failed.is_some());
        let failed: Vec<Text> = failed.map(|(uid, _)| uid.clone()).collect();
        for uid in failed {
            // The outcome is kept with the pod, and logged there.
            let _ = self.start(&uid).await;
        }
    }

    fn remove(&mut self, uid: &str) {
        let Some(running) = self.running.remove(uid) else { return };
        let pod = running.pod;
        tracing::info!(pod = %uid, name = %pod.name, namespace = %pod.namespace, "pod has left");
        self.metrics.stopped.increment();
        self.count();
        pod.leave();
        running.certificate.abort();
        running.drain.drain(Mode::Graceful);
        let (drain, patience) = (running.drain, self.patience);
        let proxies = self.proxies.clone();
        tokio::spawn(async move {
            // A pod that was deleted has no network any more; one that only left the mesh may finish what it does.
            let _ = tokio::time::timeout(patience, drain.finished()).await;
            drain.drain(Mode::Immediate);
            for proxy in &proxies {
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

/// Holds the certificate of the pod's identity from the moment that its trust domain is known.
async fn keep_certificate(pod: Arc<Pod>, configuration: Configuration, certificates: Certificates) {
    let identity: Identity = loop {
        match pod.known(&configuration).await {
            Ok(workload) => break workload.identity.clone(),
            Err(unknown) => tracing::warn!(pod = %pod.uid, "{unknown}"),
        }
    };
    let _hold = certificates.hold(&identity);
    std::future::pending::<()>().await;
}

/// Opens the pod's listeners on the current worker and serves them until the drain.
async fn start(proxy: Arc<Proxy>, pod: Arc<Pod>, drain: Watch) -> Result<(), PodSocketError> {
    let ipv6 = proxy.settings.ipv6;
    let captured = pod.listen(ports::OUTBOUND, ipv6)?;
    let plain = pod.listen(ports::INBOUND_PLAINTEXT, ipv6)?;
    let tunnels = pod.listen(ports::HBONE, ipv6)?;
    proxy.pods.lock().insert(pod.instance.clone(), pod.clone());
    let door = proxy.doors.open(&pod, &drain);
    serve(captured, &proxy, &pod, &drain, original_destination, outbound, ());
    serve(plain, &proxy, &pod, &drain, original_destination, plaintext, ());
    serve(tunnels, &proxy, &pod, &drain, |stream| stream.local_addr().map(canonical), tunnel, door);
    Ok(())
}

/// Spawns the accept loop of one port; each connection becomes a task of `flow`, told where it was going by `target`. `held` lives
/// as long as the loop.
fn serve<F, Fut>(
    listener: TcpListener,
    proxy: &Arc<Proxy>,
    pod: &Arc<Pod>,
    drain: &Watch,
    target: fn(&TcpStream) -> io::Result<SocketAddr>,
    flow: F,
    held: impl Send + 'static,
) where
    F: Fn(Arc<Proxy>, Arc<Pod>, Socket, Ends, Watch) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (proxy, pod, drain) = (proxy.clone(), pod.clone(), drain.clone());
    tokio::spawn(async move {
        let _held = held;
        let options =
            AcceptOptions { keepalive: proxy.settings.keepalive.clone(), ..AcceptOptions::default() };
        accept_loop(listener, &options, drain.clone(), |stream, peer| match target(&stream) {
            Ok(destination) => {
                let ends = Ends { peer, destination };
                tokio::spawn(flow(proxy.clone(), pod.clone(), stream.into(), ends, drain.clone()));
            }
            Err(error) => tracing::debug!(%peer, %error, "a connection was gone before it was looked at"),
        })
        .await;
    });
}
