//! The published configuration: one writer replaces the snapshot, flows hold the one they started with.

use std::sync::Arc;
use std::time::Duration;

use ambit_model::{Change, Snapshot, Workload};
use arc_swap::ArcSwap;
use tokio::sync::watch;

/// Counts what has been published. Both numbers only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    /// Grows with every change.
    pub any: u64,
    /// Grows when something changed that an earlier authorization may have depended on.
    pub authorization: u64,
    /// Grows when an address may have lost its workload.
    pub removals: u64,
}

/// The reading side, shared by all workers.
#[derive(Debug, Clone)]
pub struct Configuration {
    snapshot: Arc<ArcSwap<Snapshot>>,
    version: watch::Receiver<Version>,
}

/// The writing side. There is one.
#[derive(Debug)]
pub struct Writer {
    published: Arc<ArcSwap<Snapshot>>,
    version: watch::Sender<Version>,
}

/// An empty configuration for a proxy on `node`, and its writer.
pub fn configuration(node: &str) -> (Writer, Configuration) {
    let published = Arc::new(ArcSwap::from_pointee(Snapshot::new(node)));
    let (sender, receiver) = watch::channel(Version::default());
    (
        Writer { published: published.clone(), version: sender },
        Configuration { snapshot: published, version: receiver },
    )
}

impl Configuration {
    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Notified after each publication.
    pub fn version(&self) -> watch::Receiver<Version> {
        self.version.clone()
    }

    /// The first answer other than `None` that a snapshot gives within `patience`; each newer snapshot is asked again.
    pub async fn wait<T>(&self, patience: Duration, ask: impl Fn(&Arc<Snapshot>) -> Option<T>) -> Option<T> {
        // Nearly always at once: then nothing that workers share is written to but the snapshot's count.
        if let Some(answer) = ask(&self.snapshot()) {
            return Some(answer);
        }
        // Asked again after the subscription, so that no change between the two is missed.
        let mut version = self.version();
        version.mark_unchanged();
        if let Some(answer) = ask(&self.snapshot()) {
            return Some(answer);
        }
        tokio::time::timeout(patience, async {
            loop {
                version.changed().await.ok()?;
                if let Some(answer) = ask(&self.snapshot()) {
                    return Some(answer);
                }
            }
        })
        .await
        .ok()
        .flatten()
    }
}

impl Writer {
    /// Applies changes and publishes the result, in one step for readers.
    pub fn apply(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut next = Snapshot::clone(&self.published.load());
        let authorization = changes.iter().any(|change| concerns_authorization(&next, change));
        let removal = changes.iter().any(|change| takes_an_address(&next, change));
        next.apply(changes);
        self.published.store(Arc::new(next));
        self.version.send_modify(|version| {
            version.any += 1;
            version.authorization += u64::from(authorization);
            version.removals += u64::from(removal);
        });
    }
}

/// A policy, or a workload whose list of policies (or whose identity, which trust domains compare with) is not what it
/// was. A workload that goes takes its policies with it, which matters only when it comes back.
fn concerns_authorization(before: &Snapshot, change: &Change) -> bool {
    match change {
        Change::Policy(_) | Change::RemovePolicy(_) => true,
        Change::Workload(workload) => {
            before.workload(&workload.uid).is_none_or(|old| !same_policies(old, workload))
        }
        Change::Service(_)
        | Change::Unreadable(_)
        | Change::RemoveAddress(_)
        | Change::L7(_)
        | Change::UnreadableL7(_)
        | Change::RemoveL7(_) => false,
    }
}

fn takes_an_address(before: &Snapshot, change: &Change) -> bool {
    match change {
        Change::RemoveAddress(key) => before.workload(key).is_some(),
        Change::Workload(workload) => {
            let old = before.workload(&workload.uid);
            old.is_some_and(|old| old.addresses.iter().any(|ip| !workload.owns(*ip)))
        }
        Change::Service(_)
        | Change::Unreadable(_)
        | Change::Policy(_)
        | Change::RemovePolicy(_)
        | Change::L7(_)
        | Change::UnreadableL7(_)
        | Change::RemoveL7(_) => false,
    }
}

fn same_policies(old: &Workload, new: &Workload) -> bool {
    old.policies == new.policies && old.identity == new.identity && old.namespace == new.namespace
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(name: &str, policies: &[&str]) -> Change {
        let mut workload = Workload::new(name, name, "ns").unwrap();
        workload.policies = policies.iter().map(|policy| (*policy).into()).collect();
        Change::Workload(workload.into())
    }

    #[test]
    fn an_attached_policy_counts_for_authorization() {
        let (writer, configuration) = configuration("");
        let version = configuration.version();
        writer.apply(vec![workload("a", &[])]);
        let first = *version.borrow();
        writer.apply(vec![workload("a", &[])]);
        assert_eq!(*version.borrow(), Version { any: first.any + 1, ..first });
        writer.apply(vec![workload("a", &["ns/strict"])]);
        assert_eq!(version.borrow().authorization, first.authorization + 1);
        writer.apply(vec![Change::RemovePolicy("ns/strict".into())]);
        assert_eq!(version.borrow().authorization, first.authorization + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_answer_or_the_patience() {
        let (writer, configuration) = configuration("");
        let ask = |snapshot: &Arc<Snapshot>| snapshot.workload("a").cloned();
        let waiting = tokio::spawn({
            let configuration = configuration.clone();
            async move { configuration.wait(Duration::from_secs(5), ask).await }
        });
        tokio::task::yield_now().await;
        writer.apply(vec![workload("b", &[])]);
        writer.apply(vec![workload("a", &[])]);
        assert_eq!(&*waiting.await.unwrap().unwrap().name, "a");
        let ask = |snapshot: &Arc<Snapshot>| snapshot.workload("c").cloned();
        assert!(configuration.wait(Duration::from_secs(5), ask).await.is_none());
    }
}
