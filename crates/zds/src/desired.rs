//! The pods as they should be at every proxy, and what proxies said of them. No I/O: the registry is its shell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::registry::{Pod, PodStatus};

/// What makes two descriptors the same network namespace: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// A proxy's connection; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

/// What is known of a pod.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// All that a proxy needs.
    Pod { pod: Arc<Pod>, namespace: NamespaceId },
    /// Only that it lives.
    Kept,
}

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Grows with each change that a proxy must hear of; no two entries share one.
    pub(crate) version: u64,
    pub(crate) subject: Subject,
    status: PodStatus,
}

/// All pods and all connections.
#[derive(Debug, Default)]
pub(crate) struct Desired {
    pods: BTreeMap<String, Entry>,
    connections: BTreeSet<ConnectionId>,
    /// Grows with each change of the pods or of the newest connection.
    revision: u64,
    last_version: u64,
    last_connection: u64,
    /// Grows with each connection that comes or goes.
    generation: u64,
}

impl Desired {
    /// Adds or replaces a pod; tells whether anything is to be sent. What is there already and did not fail stays.
    pub(crate) fn upsert(&mut self, pod: Pod, namespace: NamespaceId) -> bool {
        if let Some(Entry { subject: Subject::Pod { pod: old, namespace: same }, status, .. }) =
            self.pods.get(&pod.uid)
            && old.identity == pod.identity
            && *same == namespace
            && !matches!(status, PodStatus::Failed(_))
        {
            return false;
        }
        let uid = pod.uid.clone();
        self.set(uid, Subject::Pod { pod: Arc::new(pod), namespace });
        true
    }

    /// Notes a pod whose namespace is lost; tells whether anything changed. Known pods stay as they are.
    pub(crate) fn keep(&mut self, uid: &str) -> bool {
        let unknown = !self.pods.contains_key(uid);
        if unknown {
            self.set(uid.to_owned(), Subject::Kept);
        }
        unknown
    }

    /// Forgets a pod; tells whether there was one.
    pub(crate) fn remove(&mut self, uid: &str) -> bool {
        let removed = self.pods.remove(uid).is_some();
        self.revision += u64::from(removed);
        removed
    }

    fn set(&mut self, uid: String, subject: Subject) {
        self.last_version += 1;
        self.revision += 1;
        self.pods.insert(uid, Entry { version: self.last_version, subject, status: PodStatus::Pending });
    }

    /// A proxy has said hello.
    pub(crate) fn join(&mut self) -> ConnectionId {
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        self.connections.insert(connection);
        self.revision += 1;
        self.generation += 1;
        connection
    }

    /// A proxy has gone. What it accepted stays accepted: it, or its successor, comes back for the pods.
    pub(crate) fn leave(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.revision += 1;
        self.generation += 1;
    }

    /// Set for the connection that gets new pods, the newest; another number tells that others came or went since.
    pub(crate) fn tenure(&self, connection: ConnectionId) -> Option<u64> {
        (self.connections.last() == Some(&connection)).then_some(self.generation)
    }

    /// Whether this is the connection that gets new pods.
    pub(crate) fn is_newest(&self, connection: ConnectionId) -> bool {
        self.tenure(connection).is_some()
    }

    /// Takes a proxy's answer on a version of a pod; tells whether the pod's status changed.
    ///
    /// The newest proxy decides. An older one may accept what nobody has answered yet: it does serve the pod.
    pub(crate) fn answered(
        &mut self,
        from: ConnectionId,
        uid: &str,
        version: u64,
        outcome: Result<(), &str>,
    ) -> bool {
        let newest = self.is_newest(from);
        let Some(entry) = self.pods.get_mut(uid) else { return false };
        if entry.version != version || !(newest || (entry.status == PodStatus::Pending && outcome.is_ok())) {
            return false;
        }
        let status = match outcome {
            Ok(()) => PodStatus::Accepted,
            Err(reason) => PodStatus::Failed(reason.to_owned()),
        };
        let changed = entry.status != status;
        entry.status = status;
        changed
    }

    pub(crate) fn status(&self, uid: &str) -> Option<&PodStatus> {
        self.pods.get(uid).map(|entry| &entry.status)
    }

    pub(crate) fn statuses(&self) -> impl Iterator<Item = (&String, &PodStatus)> {
        self.pods.iter().map(|(uid, entry)| (uid, &entry.status))
    }

    pub(crate) fn pods(&self) -> &BTreeMap<String, Entry> {
        &self.pods
    }

    pub(crate) fn proxies(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }
}
