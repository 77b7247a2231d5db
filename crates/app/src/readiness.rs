//! Whether the process is ready, and what it still waits for.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_transport::Watch;
use tokio::sync::watch;

/// The tasks that the process still waits for. Clones share one list.
#[derive(Debug, Clone)]
pub struct Readiness {
    pending: Arc<watch::Sender<List>>,
}

#[derive(Debug, Default)]
struct List {
    names: BTreeMap<u64, String>,
    next: u64,
}

/// A task that is not ready yet. Dropped, it is: a task that never became ready must be held.
#[derive(Debug)]
#[must_use = "dropped at once, the task counts as ready"]
pub struct Pending {
    list: Arc<watch::Sender<List>>,
    number: u64,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Nothing registered, thus ready: register before serving.
    pub fn new() -> Self {
        Self { pending: Arc::new(watch::Sender::new(List::default())) }
    }

    /// The process is not ready until the guard is dropped. Several tasks may have one name.
    pub fn register(&self, name: &str) -> Pending {
        let mut number = 0;
        self.pending.send_modify(|list| {
            number = list.next;
            list.next += 1;
            list.names.insert(number, name.to_owned());
        });
        Pending { list: Arc::clone(&self.pending), number }
    }

    /// Whether nothing is pending.
    pub fn ready(&self) -> bool {
        self.pending.borrow().names.is_empty()
    }

    /// What is pending, oldest first.
    pub fn pending(&self) -> Vec<String> {
        self.pending.borrow().names.values().cloned().collect()
    }

    /// Resolves when nothing is pending.
    pub async fn reached(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.pending.subscribe().wait_for(|list| list.names.is_empty()).await;
    }
}

impl Pending {
    /// The task is ready; the same as dropping it, said aloud.
    pub fn ready(self) {}

    /// Ready with the first complete configuration; false when the process leaves before. A proxy serves nobody earlier:
    /// nothing could be judged.
    pub async fn complete(self, mut synced: watch::Receiver<bool>, leaving: Watch) -> bool {
        tokio::select! {
            synced = synced.wait_for(|synced| *synced) => {
                tracing::info!("configuration is complete");
                synced.is_ok()
            }
            _ = leaving.signaled() => false,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.list.send_modify(|list| {
            list.names.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_task_is() {
        let readiness = Readiness::new();
        assert!(readiness.ready());
        let first = readiness.register("state");
        let second = readiness.clone().register("proxy");
        assert_eq!(readiness.pending(), ["state", "proxy"]);
        first.ready();
        assert_eq!(readiness.pending(), ["proxy"]);
        drop(second);
        assert!(readiness.ready());
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_task() {
        let readiness = Readiness::new();
        let pending = readiness.register("state");
        let waiting = readiness.clone();
        let waiter = tokio::spawn(async move { waiting.reached().await });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(pending);
        waiter.await.unwrap();
    }
}
