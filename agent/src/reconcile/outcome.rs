//! What came of a step, put into what is known of the pod.

use std::path::PathBuf;

use ambit_netns::Namespace;
use ambit_netns::rules::{Drift, RedirectOptions};

use tokio::time::Instant;

use super::Reconciler;
use crate::Wanted;
use crate::plan::{Rules, Sight};
use crate::redirect::{Enforced, RedirectError};

/// Most differences that one line names.
const MOST_NAMED: usize = 4;

/// A step that has been taken on a thread.
pub(super) struct Done {
    pub(super) uid: String,
    pub(super) outcome: Outcome,
}

/// What came of it.
pub(super) enum Outcome {
    Looked { path: PathBuf, sight: Sight, namespace: Option<Namespace> },
    Enforced { options: RedirectOptions, result: Result<Enforced, RedirectError> },
    Cleared(Result<Vec<String>, RedirectError>),
}

impl Reconciler {
    pub(super) fn take_done(&mut self, done: Done) {
        let Done { uid, outcome } = done;
        self.under_way -= 1;
        match outcome {
            Outcome::Looked { path, sight, namespace } => self.looked(&uid, path, sight, namespace),
            Outcome::Enforced { options, result } => self.enforced(&uid, options, result),
            Outcome::Cleared(result) => self.cleared(&uid, result),
        }
        if let Some(seen) = self.observed.get_mut(&uid) {
            seen.busy = false;
        }
    }

    fn looked(&mut self, uid: &str, path: PathBuf, sight: Sight, namespace: Option<Namespace>) {
        let name = self.pod_name(uid);
        let Some(seen) = self.observed.get_mut(uid) else { return };
        if let (Sight::Seen(before), Sight::Seen(now)) = (&seen.sight, &sight)
            && before != now
        {
            tracing::info!("pod {name}: its network namespace {before} was replaced by {now}");
        }
        let before = seen.sight.clone();
        seen.looked(path, sight);
        if seen.unconfirmed && seen.sight != before {
            self.unconfirmed.insert(uid.to_owned(), Instant::now());
            self.means.look.notify_one();
        }
        match namespace {
            Some(namespace) => self.held.insert(uid.to_owned(), namespace),
            None => self.held.remove(uid),
        };
    }

    fn enforced(&mut self, uid: &str, options: RedirectOptions, result: Result<Enforced, RedirectError>) {
        let name = self.pod_name(uid);
        let Some(seen) = self.observed.get_mut(uid) else { return };
        let before = seen.rules.clone();
        let fresh = before == Rules::Unknown && seen.handed.is_none();
        let same = before == Rules::InPlace(options.clone());
        let enforced = match result {
            Ok(enforced) => enforced,
            Err(error) => return seen.enforced(options, Some(error.to_string())),
        };
        seen.enforced(options, None);
        match (enforced.repaired.is_empty(), same) {
            (true, _) if fresh => {
                self.inherited.insert(uid.to_owned());
            }
            (true, _) => {}
            (false, true) => {
                self.means.metrics.repaired();
                let what = named(&enforced.repaired);
                tracing::warn!("pod {name}: its rules were not whole and were repaired ({what})");
            }
            (false, false) => {
                tracing::info!("pod {name}: rules in place ({})", self.means.redirect.backend());
            }
        }
        for skipped in enforced.skipped {
            tracing::info!("pod {name}: {skipped}");
        }
    }

    fn cleared(&mut self, uid: &str, result: Result<Vec<String>, RedirectError>) {
        let name = self.pod_name(uid);
        let Some(seen) = self.observed.get_mut(uid) else { return };
        match result {
            Ok(found) => {
                if !found.is_empty() {
                    tracing::info!("pod {name}: rules removed");
                }
                seen.cleared(None);
                self.held.remove(uid);
                self.inherited.remove(uid);
            }
            Err(error) => {
                let line = error.to_string();
                if seen.rules != Rules::Failed(line.clone()) {
                    tracing::warn!("pod {name}: its rules cannot be removed: {line}");
                }
                seen.cleared(Some(line));
            }
        }
    }

    /// `namespace/name`, also of a pod that is not wanted any more.
    pub(super) fn pod_name(&self, uid: &str) -> String {
        let handed = || {
            let (_, identity) = self.observed.get(uid)?.handed.as_ref()?;
            Some(format!("{}/{}", identity.namespace, identity.name))
        };
        self.wanted.get(uid).map(Wanted::name).or_else(handed).unwrap_or_else(|| uid.to_owned())
    }
}

fn named(drifts: &[Drift]) -> String {
    let mut text = drifts.iter().take(MOST_NAMED).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if drifts.len() > MOST_NAMED {
        text.push_str(&format!("; and {} more", drifts.len() - MOST_NAMED));
    }
    text
}
