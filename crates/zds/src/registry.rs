//! The pods of this node as the agent wants them proxied, and how far that has come.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::desired::{ConnectionId, Desired, NamespaceId};
use crate::identity::WorkloadIdentity;
use crate::wire::{self, MAX_REQUEST};

/// A pod to be proxied.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Unique on the node, and never used again: the Kubernetes UID, or what takes its place.
    pub uid: String,
    /// Which workload it is.
    pub identity: WorkloadIdentity,
    /// Its network namespace. The registry holds it open as long as it knows the pod.
    pub netns: Arc<OwnedFd>,
}

/// How far a pod has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodStatus {
    /// No proxy has answered yet.
    Pending,
    /// A proxy has accepted it, and goes on serving it: also while the proxy restarts.
    Accepted,
    /// The newest proxy could not take it; the proxy's reason. It is sent again every 5 s, and by an `upsert`.
    Failed(String),
}

/// Why a pod cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum UpsertError {
    /// It has no uid, or lacks a part of its identity.
    #[error("pod {0:?} has an empty uid, name, namespace or service account; each must be given")]
    Incomplete(String),
    /// Its names do not fit a datagram.
    #[error(
        "pod {uid:?} needs a message of {bytes} bytes and ztunnel reads {MAX_REQUEST}; shorten its names"
    )]
    TooLong {
        /// The pod.
        uid: String,
        /// What the message would take.
        bytes: usize,
    },
    /// The namespace's descriptor is unusable.
    #[error("cannot look at the network namespace of pod {uid:?}: {source}; open it again")]
    Namespace {
        /// The pod.
        uid: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Why a pod is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// It is not registered, or not any more.
    #[error("pod {0:?} is not registered; it was removed, or never added")]
    Unknown(String),
    /// The proxy could not take it.
    #[error("ztunnel could not take pod {uid:?}: {reason:?}; it is tried again, see ztunnel's log")]
    Failed {
        /// The pod.
        uid: String,
        /// What the proxy said.
        reason: String,
    },
    /// A proxy is connected and has not answered in time.
    #[error("ztunnel has not answered for pod {0:?} in time; see its log")]
    Silent(String),
    /// No proxy is connected.
    #[error(
        "no ztunnel is connected that could take pod {0:?}; check that it runs and uses this agent's socket"
    )]
    NoProxy(String),
}

/// The pods of this node; clones share them. Every connected proxy is brought to this state, whatever it was told before.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    desired: Mutex<Desired>,
    /// Pods or connections changed: connections have something to do.
    work: watch::Sender<()>,
    /// A pod's status changed, or the pods did; counts.
    changes: watch::Sender<u64>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry without pods.
    pub fn new() -> Self {
        let (work, changes) = (watch::Sender::new(()), watch::Sender::new(0));
        Self(Arc::new(Shared { desired: Mutex::default(), work, changes }))
    }

    /// Registers a pod, or replaces it. The same identity and namespace again change nothing, except that a failed pod
    /// is tried again at once.
    pub fn upsert(&self, pod: Pod) -> Result<(), UpsertError> {
        let WorkloadIdentity { name, namespace, service_account } = &pod.identity;
        if [&pod.uid, name, namespace, service_account].iter().any(|part| part.is_empty()) {
            return Err(UpsertError::Incomplete(pod.uid));
        }
        let bytes = wire::add(&pod.uid, &pod.identity).len();
        if bytes > MAX_REQUEST {
            return Err(UpsertError::TooLong { uid: pod.uid, bytes });
        }
        let namespace = match rustix::fs::fstat(&pod.netns) {
            Ok(stat) => NamespaceId { device: stat.st_dev, inode: stat.st_ino },
            Err(errno) => return Err(UpsertError::Namespace { uid: pod.uid, source: errno.into() }),
        };
        self.change(|desired| desired.upsert(pod, namespace));
        Ok(())
    }

    /// Registers a pod that lives but whose namespace the agent cannot open (any more): a proxy that connects from now
    /// on and has it keeps it, instead of dropping it with the snapshot. A pod that is registered stays as it is.
    pub fn keep(&self, uid: &str) {
        self.change(|desired| desired.keep(uid));
    }

    /// Removes a pod from every proxy; tells whether it was registered.
    pub fn remove(&self, uid: &str) -> bool {
        self.change(|desired| desired.remove(uid))
    }

    /// How far a pod has come; `None` when it is not registered.
    pub fn status(&self, uid: &str) -> Option<PodStatus> {
        self.0.desired.lock().status(uid).cloned()
    }

    /// How far each pod has come, by uid.
    pub fn statuses(&self) -> Vec<(String, PodStatus)> {
        let desired = self.0.desired.lock();
        desired.statuses().map(|(uid, status)| (uid.clone(), status.clone())).collect()
    }

    /// How many proxies are connected and have said hello.
    pub fn proxies(&self) -> usize {
        self.0.desired.lock().proxies()
    }

    /// Wakes up after each change of pods, statuses or connected proxies. The number has no meaning but that it differs.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Waits until a proxy has accepted the pod; an error when the newest proxy refuses it or `limit` has passed.
    pub async fn wait_acked(&self, uid: &str, limit: Duration) -> Result<(), WaitError> {
        let mut changes = self.changes();
        let answered = async {
            loop {
                changes.borrow_and_update();
                match self.status(uid) {
                    None => return Err(WaitError::Unknown(uid.to_owned())),
                    Some(PodStatus::Accepted) => return Ok(()),
                    Some(PodStatus::Failed(reason)) => {
                        return Err(WaitError::Failed { uid: uid.to_owned(), reason });
                    }
                    // The sender lives as long as `self`: it never closes.
                    Some(PodStatus::Pending) => drop(changes.changed().await),
                }
            }
        };
        timeout(limit, answered).await.unwrap_or_else(|_| {
            let uid = uid.to_owned();
            Err(if self.proxies() == 0 { WaitError::NoProxy(uid) } else { WaitError::Silent(uid) })
        })
    }

    /// Registers a connection whose proxy has said hello.
    pub(crate) fn join(&self) -> Membership {
        let id = self.0.desired.lock().join();
        let work = self.0.work.subscribe();
        self.announce();
        Membership { registry: self.clone(), id, work }
    }

    fn change(&self, change: impl FnOnce(&mut Desired) -> bool) -> bool {
        let changed = change(&mut self.0.desired.lock());
        if changed {
            self.announce();
        }
        changed
    }

    fn announce(&self) {
        self.0.work.send_replace(());
        self.0.changes.send_modify(|count| *count += 1);
    }
}

/// A connection's place in the registry; it leaves when dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    registry: Registry,
    id: ConnectionId,
    work: watch::Receiver<()>,
}

impl Membership {
    /// Looks at the pods, with this connection's tenure. What changes after it wakes [`Self::changed`].
    pub(crate) fn look<T>(&mut self, look: impl FnOnce(&Desired, Option<u64>) -> T) -> T {
        self.work.borrow_and_update();
        let desired = self.registry.0.desired.lock();
        look(&desired, desired.tenure(self.id))
    }

    /// Waits for a change since the last look.
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as the registry, which we hold: it never closes.
        drop(self.work.changed().await);
    }

    /// Takes the proxy's answer on a version of a pod.
    pub(crate) fn answered(&self, uid: &str, version: u64, outcome: Result<(), &str>) {
        if self.registry.0.desired.lock().answered(self.id, uid, version, outcome) {
            self.registry.0.changes.send_modify(|count| *count += 1);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.registry.0.desired.lock().leave(self.id);
        self.registry.announce();
    }
}
