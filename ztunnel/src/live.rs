//! The inbound connections of a worker that were let in, so that they can be put out again: when a policy changes,
//! each is judged anew, with the workload's policies of now and not of when it was opened.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Workload;
use ambit_model::traffic::Connection;
use ambit_policy::authorize;
use ambit_transport::CloseReason;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::configuration::Configuration;
use crate::pod::Pod;

/// The connections of one worker.
#[derive(Debug, Clone, Default)]
pub struct Live {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    open: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    /// As it was last known; used when the configuration no longer has it.
    workload: Arc<Workload>,
    connection: Connection,
    close: oneshot::Sender<CloseReason>,
}

/// A connection's place among the live ones; dropping it takes it out.
#[derive(Debug)]
pub struct Place {
    live: Live,
    number: u64,
    closed: oneshot::Receiver<CloseReason>,
}

impl Live {
    /// Enters a connection. From now on a policy change can close it, so it must be judged *after* this call.
    pub fn enter(&self, pod: &Arc<Pod>, workload: &Arc<Workload>, connection: &Connection) -> Place {
        let (close, closed) = oneshot::channel();
        let entry =
            Entry { pod: pod.clone(), workload: workload.clone(), connection: connection.clone(), close };
        let mut entries = self.entries.lock();
        let number = entries.next;
        entries.next += 1;
        entries.open.insert(number, entry);
        Place { live: self.clone(), number, closed }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.lock().open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Judges every connection anew each time that something changes which authorization depends on. Runs until the
    /// configuration's writer is gone.
    pub async fn watch(self, configuration: Configuration) {
        let mut version = configuration.version();
        let mut judged = version.borrow_and_update().authorization;
        while version.changed().await.is_ok() {
            let now = version.borrow_and_update().authorization;
            if now != judged {
                judged = now;
                self.judge(&configuration);
            }
        }
    }

    fn judge(&self, configuration: &Configuration) {
        let snapshot = configuration.snapshot();
        let mut entries = self.entries.lock();
        let denied: Vec<(u64, String)> = entries
            .open
            .iter()
            .filter_map(|(number, entry)| {
                let workload = entry.pod.workload(&snapshot).unwrap_or_else(|_| entry.workload.clone());
                let decision = authorize(&snapshot, &workload, &entry.connection);
                Some((*number, decision.verdict.denied()?.to_string()))
            })
            .collect();
        for (number, reason) in denied {
            if let Some(entry) = entries.open.remove(&number) {
                // A receiver that is gone has ended by itself.
                let _ = entry.close.send(CloseReason::Policy(reason));
            }
        }
    }
}

impl Place {
    /// Resolves when the connection must be closed.
    pub async fn closed(&mut self) -> CloseReason {
        match (&mut self.closed).await {
            Ok(reason) => reason,
            // The entry is only ever dropped with a reason or with this place.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.live.entries.lock().open.remove(&self.number);
    }
}
