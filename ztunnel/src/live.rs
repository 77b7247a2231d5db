//! The inbound connections of a worker that were let in, so that they can be put out again: when a policy changes,
//! each is judged anew, with the workload's policies of now and not of when it was opened.
//!
//! A workload may list a policy a moment before the policy itself arrives. New connections wait for it; open ones go on
//! for as long, so that attaching a policy cuts nobody whom it allows.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Workload;
use ambit_model::traffic::Connection;
use ambit_policy::{DenyReason, authorize};
use ambit_transport::CloseReason;
use ambit_xds::Configuration;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::admit::POLICY_PATIENCE;
use crate::pod::Pod;

/// The connections of one worker.
#[derive(Debug, Clone, Default)]
pub struct Live {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    open: HashMap<u64, Entry, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    /// As it was last known; used when the configuration no longer has it.
    workload: Arc<Workload>,
    connection: Connection,
    close: oneshot::Sender<CloseReason>,
}

/// What becomes of a connection whose policies have not all arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Spared,
    Denied,
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
        // When open connections have waited long enough for a policy.
        let mut deadline: Option<Instant> = None;
        loop {
            let overdue = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = version.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = version.borrow_and_update().authorization;
                    if now == judged {
                        continue;
                    }
                    judged = now;
                    let pending = self.judge(&configuration, Pending::Spared);
                    deadline = pending.then(|| deadline.unwrap_or_else(|| Instant::now() + POLICY_PATIENCE));
                }
                () = overdue => {
                    self.judge(&configuration, Pending::Denied);
                    deadline = None;
                }
            }
        }
    }

    /// Closes what is denied. Whether something waits for a policy that has not arrived.
    fn judge(&self, configuration: &Configuration, pending: Pending) -> bool {
        let snapshot = configuration.snapshot();
        let mut entries = self.entries.lock();
        let mut waiting = false;
        let denied: Vec<(u64, String)> = entries
            .open
            .iter()
            .filter_map(|(number, entry)| {
                let workload = entry.pod.workload(&snapshot).unwrap_or_else(|_| entry.workload.clone());
                let decision = authorize(&snapshot, &workload, &entry.connection);
                let reason = decision.verdict.denied()?;
                if pending == Pending::Spared && matches!(reason, DenyReason::PolicyPending { .. }) {
                    waiting = true;
                    return None;
                }
                Some((*number, reason.to_string()))
            })
            .collect();
        for (number, reason) in denied {
            if let Some(entry) = entries.open.remove(&number) {
                // A receiver that is gone has ended by itself.
                let _ = entry.close.send(CloseReason::Policy(reason));
            }
        }
        waiting
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ambit_model::policy::{Action, Clause, Match, Rule, Scope};
    use ambit_model::{Change, Policy};
    use ambit_netns::Namespace;

    use super::*;
    use ambit_xds::configuration::configuration;

    fn workload(policies: &[&str]) -> Change {
        let mut workload = Workload::new("a", "a", "ns").unwrap();
        workload.node = "node".into();
        workload.policies = policies.iter().map(|policy| (*policy).into()).collect();
        Change::Workload(workload.into())
    }

    /// A policy that denies what comes from this address.
    fn deny(source: &str) -> Change {
        let matches = vec![Match { source_ips: vec![source.parse().unwrap()], ..Match::default() }];
        let rule = Rule { clauses: vec![Clause { matches }], undecodable: None };
        Change::Policy(
            Policy {
                key: "ns/p".into(),
                namespace: "ns".into(),
                scope: Scope::WorkloadSelector,
                action: Action::Deny,
                rules: vec![rule],
                dry_run: false,
                unusable: None,
            }
            .into(),
        )
    }

    fn open(live: &Live, configuration: &Configuration, source: &str) -> Place {
        let account = configuration.snapshot().workload("a").unwrap().identity.service_account().to_string();
        let netns = Namespace::current().unwrap();
        let pod = Arc::new(Pod::new("a".into(), "ns".into(), "a".into(), account, netns));
        let connection = Connection {
            source_ip: source.parse().unwrap(),
            network: "".into(),
            source_identity: None,
            destination: "10.0.0.1:80".parse().unwrap(),
        };
        let own = configuration.snapshot().workload("a").unwrap().clone();
        live.enter(&pod, &own, &connection)
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_is_late_cuts_only_whom_it_denies() {
        let (writer, configuration) = configuration("node");
        writer.apply(vec![workload(&[])]);
        let live = Live::default();
        let (mut good, mut bad) =
            (open(&live, &configuration, "10.0.0.2"), open(&live, &configuration, "10.0.0.3"));
        tokio::spawn(live.clone().watch(configuration.clone()));
        tokio::task::yield_now().await;
        writer.apply(vec![workload(&["ns/p"])]);
        tokio::time::sleep(POLICY_PATIENCE / 2).await;
        assert_eq!(live.len(), 2, "the policy is awaited");
        writer.apply(vec![deny("10.0.0.3/32")]);
        assert!(matches!(bad.closed().await, CloseReason::Policy(reason) if reason.contains("ns/p")));
        tokio::time::timeout(2 * POLICY_PATIENCE, good.closed()).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_never_comes_denies() {
        let (writer, configuration) = configuration("node");
        writer.apply(vec![workload(&[])]);
        let live = Live::default();
        let mut place = open(&live, &configuration, "10.0.0.2");
        tokio::spawn(live.clone().watch(configuration.clone()));
        tokio::task::yield_now().await;
        let start = Instant::now();
        writer.apply(vec![workload(&["ns/p"])]);
        // Further changes do not buy it more time.
        tokio::time::sleep(POLICY_PATIENCE - Duration::from_millis(100)).await;
        writer.apply(vec![workload(&["ns/p", "ns/q"])]);
        assert!(
            matches!(place.closed().await, CloseReason::Policy(reason) if reason.contains("POLICY_PENDING"))
        );
        assert!(start.elapsed() <= POLICY_PATIENCE + Duration::from_millis(50));
    }
}
