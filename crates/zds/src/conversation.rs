//! What to tell one proxy next, so that it ends up with the pods as they should be.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::desired::{Desired, NamespaceId, Subject};
use crate::registry::Pod;
use crate::wire::Violation;

/// How long a pod that the proxy refused rests before it is sent again (ztunnel itself retries at this pace).
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// One request to the proxy.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Add(Arc<Pod>),
    Keep(String),
    Remove(String),
    SnapshotSent,
}

/// What the proxy said of one version of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) uid: String,
    pub(crate) version: u64,
    pub(crate) outcome: Result<(), String>,
}

/// What the proxy was told of a pod, and said.
#[derive(Debug)]
struct Told {
    version: u64,
    /// `None`: told to keep it.
    namespace: Option<NamespaceId>,
    outcome: Result<(), String>,
    /// When to send it again.
    retry: Option<Instant>,
}

/// A request that waits for its answer.
#[derive(Debug)]
enum InFlight {
    Told { uid: String, version: u64, namespace: Option<NamespaceId> },
    Remove(String),
    SnapshotSent,
}

/// One request planned.
#[derive(Debug, PartialEq, Eq)]
enum Planned {
    Tell(String),
    Remove(String),
}

/// The dialogue with one proxy, from its hello on. Asks no clock and does no I/O.
///
/// Every pod goes into the snapshot; after it, adds go to the newest proxy only, and every proxy is told of pods that
/// went. A proxy that becomes the newest because a newer one left is told what it missed.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    told: HashMap<String, Told>,
    in_flight: Option<InFlight>,
    snapshot_sent: bool,
    todo: VecDeque<Planned>,
    /// What `todo` was planned for.
    planned_for: Option<(u64, bool, bool)>,
    /// The tenure that all answers were reported in.
    tenure: Option<u64>,
}

impl Conversation {
    /// What to send now; `None` when there is nothing to say, or an answer is due.
    pub(crate) fn next(&mut self, desired: &Desired, newest: bool, now: Instant) -> Option<Step> {
        if self.in_flight.is_some() {
            return None;
        }
        let plan_for = (desired.revision(), newest, self.snapshot_sent);
        if self.planned_for != Some(plan_for) {
            self.planned_for = Some(plan_for);
            self.todo =
                if self.snapshot_sent { self.changes(desired, newest) } else { self.snapshot(desired) };
        }
        while let Some(planned) = self.todo.pop_front() {
            match planned {
                Planned::Remove(uid) => {
                    self.in_flight = Some(InFlight::Remove(uid.clone()));
                    return Some(Step::Remove(uid));
                }
                Planned::Tell(uid) => {
                    if let Some(step) = self.tell(desired, uid) {
                        return Some(step);
                    }
                }
            }
        }
        if !self.snapshot_sent {
            self.in_flight = Some(InFlight::SnapshotSent);
            return Some(Step::SnapshotSent);
        }
        let due = self.due(desired, newest).filter(|(at, _)| *at <= now).map(|(_, uid)| uid.clone())?;
        self.tell(desired, due)
    }

    /// When the next pod is to be tried again.
    pub(crate) fn next_retry(&self, desired: &Desired, newest: bool) -> Option<Instant> {
        self.due(desired, newest).map(|(at, _)| at)
    }

    /// Takes the proxy's answer; comes back with what it says of a pod, if it is about one that was to be told.
    pub(crate) fn answered(
        &mut self,
        outcome: Result<(), String>,
        now: Instant,
    ) -> Result<Option<Answer>, Violation> {
        match self.in_flight.take().ok_or(Violation::Unasked)? {
            InFlight::SnapshotSent => {
                self.snapshot_sent = true;
                Ok(None)
            }
            InFlight::Remove(uid) => {
                self.told.remove(&uid);
                Ok(None)
            }
            InFlight::Told { uid, version, namespace } => {
                let retry = (outcome.is_err() && namespace.is_some()).then_some(now + RETRY_AFTER);
                let told = Told { version, namespace, outcome: outcome.clone(), retry };
                self.told.insert(uid.clone(), told);
                Ok(Some(Answer { uid, version, outcome }))
            }
        }
    }

    /// Everything the proxy has said of pods, once in each tenure: another proxy may have decided in between.
    pub(crate) fn answers(&mut self, tenure: Option<u64>) -> Vec<Answer> {
        if std::mem::replace(&mut self.tenure, tenure) == tenure || tenure.is_none() {
            return Vec::new();
        }
        let told = self.told.iter();
        told.map(|(uid, told)| Answer {
            uid: uid.clone(),
            version: told.version,
            outcome: told.outcome.clone(),
        })
        .collect()
    }

    /// The refused pod whose rest ends first, unless it has changed since.
    fn due(&self, desired: &Desired, newest: bool) -> Option<(Instant, &String)> {
        let unchanged = |uid: &str, told: &Told| {
            desired.pods().get(uid).is_some_and(|entry| entry.version == told.version)
        };
        let refused = self.told.iter().filter(|(uid, told)| unchanged(uid, told));
        let due = refused.filter_map(|(uid, told)| Some((told.retry?, uid)));
        if newest { due.min() } else { None }
    }

    fn tell(&mut self, desired: &Desired, uid: String) -> Option<Step> {
        let entry = desired.pods().get(&uid)?;
        let (namespace, step) = match &entry.subject {
            Subject::Pod { pod, namespace } => (Some(*namespace), Step::Add(Arc::clone(pod))),
            Subject::Kept => (None, Step::Keep(uid.clone())),
        };
        self.in_flight = Some(InFlight::Told { uid, version: entry.version, namespace });
        Some(step)
    }

    /// Before the snapshot's end: what was not told in its present version, oldest first.
    fn snapshot(&self, desired: &Desired) -> VecDeque<Planned> {
        let untold = |uid: &str, version| self.told.get(uid).is_none_or(|told| told.version != version);
        in_order(
            desired
                .pods()
                .iter()
                .filter(|(uid, entry)| untold(uid, entry.version))
                .map(|(uid, entry)| (entry.version, uid)),
        )
    }

    /// After it: removals first, then, for the newest proxy, what was not told in its present version.
    fn changes(&self, desired: &Desired, newest: bool) -> VecDeque<Planned> {
        let mut gone: Vec<&String> =
            self.told.keys().filter(|uid| !desired.pods().contains_key(*uid)).collect();
        let mut untold = Vec::new();
        for (uid, entry) in desired.pods() {
            let Subject::Pod { namespace, .. } = &entry.subject else { continue };
            match self.told.get(uid) {
                Some(told) if told.version == entry.version => {}
                _ if newest => untold.push((entry.version, uid)),
                // The pod got another namespace, which is for the newest proxy; what this one has is no more.
                Some(Told { namespace: Some(old), .. }) if old != namespace => gone.push(uid),
                _ => {}
            }
        }
        gone.sort_unstable();
        let mut todo: VecDeque<Planned> = gone.into_iter().cloned().map(Planned::Remove).collect();
        todo.append(&mut in_order(untold));
        todo
    }
}

fn in_order<'a>(pods: impl IntoIterator<Item = (u64, &'a String)>) -> VecDeque<Planned> {
    let mut pods: Vec<_> = pods.into_iter().collect();
    pods.sort_unstable();
    pods.into_iter().map(|(_, uid)| Planned::Tell(uid.clone())).collect()
}

#[cfg(test)]
mod tests;
