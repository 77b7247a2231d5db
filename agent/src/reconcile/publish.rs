//! Where every pod stands: in the log once per change, in the rows and metrics for operators, in readiness.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_zds::registry::PodStatus;

use super::Reconciler;
use crate::Wanted;
use crate::operators::PodRow;
use crate::plan::{Observed, Rules, Scene, Sight, Standing, standing};

impl Reconciler {
    pub(super) fn publish(&mut self) {
        let statuses: BTreeMap<String, PodStatus> = self.means.registry.statuses().into_iter().collect();
        let scene = Scene::new(&self.wanted, &self.observed);
        let unseen = Observed::default();
        let mut rows = Vec::with_capacity(self.wanted.len());
        let mut changed = Vec::new();
        for (uid, pod) in self.wanted.iter() {
            let seen = self.observed.get(uid).unwrap_or(&unseen);
            let standing = standing(&scene, uid, pod, seen, statuses.get(uid).cloned());
            rows.push(row(uid, pod, seen, statuses.get(uid), &standing));
            if self.said.get(uid) != Some(&standing) {
                changed.push((uid.clone(), pod.name(), standing));
            }
        }
        let explained = rows.iter().all(|row| row.explained);
        self.means.metrics.pods(&rows);
        self.means.rows.send_if_modified(|shown| {
            let differs = **shown != rows;
            if differs {
                *shown = Arc::new(rows);
            }
            differs
        });
        for (uid, name, standing) in changed {
            self.say(uid, &name, standing);
        }
        if explained && self.server.is_none() {
            self.means.pending.pods.take();
        }
    }

    fn say(&mut self, uid: String, name: &str, standing: Standing) {
        let news = match &standing {
            // Between two others.
            Standing::Working => return,
            Standing::Outside(_) => self.said.contains_key(&uid),
            _ => true,
        };
        match &standing {
            Standing::Blocked(_) | Standing::Rejected(_) => tracing::warn!("pod {name}: {standing}"),
            _ if news => tracing::info!("pod {name}: {standing}"),
            _ => tracing::debug!("pod {name}: {standing}"),
        }
        self.said.insert(uid, standing);
    }

    /// What the pods' annotations ask for and do not get, once.
    pub(super) fn say_warnings(&mut self) {
        for (uid, pod) in self.wanted.iter() {
            let before = self.said_warnings.get(uid).map(Vec::as_slice).unwrap_or_default();
            for warning in pod.warnings.iter().filter(|warning| !before.contains(warning)) {
                tracing::warn!("pod {}: {warning}", pod.name());
            }
            self.said_warnings.insert(uid.clone(), pod.warnings.clone());
        }
    }
}

fn row(uid: &str, pod: &Wanted, seen: &Observed, status: Option<&PodStatus>, standing: &Standing) -> PodRow {
    let rules = match (&seen.sight, &seen.rules) {
        (Sight::Seen(_), Rules::InPlace(_)) => "in place",
        (Sight::Seen(_), Rules::Failed(_)) => "failed",
        (Sight::Seen(_), Rules::Unknown) => "unknown",
        _ => "none",
    };
    let ztunnel = match status {
        Some(PodStatus::Accepted) => "accepted",
        Some(PodStatus::Pending) => "pending",
        Some(PodStatus::Failed(_)) => "failed",
        None => "none",
    };
    PodRow {
        pod: pod.name(),
        uid: uid.to_owned(),
        netns: pod.path.as_ref().map(|path| path.display().to_string()),
        namespace_id: match &seen.sight {
            Sight::Seen(id) => Some(id.to_string()),
            _ => None,
        },
        rules,
        ztunnel,
        state: standing.word(),
        reason: standing.to_string(),
        explained: standing.is_explained(),
    }
}
