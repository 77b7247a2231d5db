//! Which pods the controller is told are captured, and when a pod that left may go.
//!
//! A pod is announced when its rules are verified and ztunnel has accepted it, and stays announced as long as it is
//! enrolled: its peers must not fall back to plaintext because its namespace, its rules or ztunnel have a bad moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_zds::registry::PodStatus;
use tokio::time::Instant;

use super::Reconciler;
use crate::Wanted;
use crate::controller::{Captured, PodKey};
use crate::plan::{Rules, Scene, Sight};

impl Reconciler {
    /// Brings the list up to date, and lets go whom others have forgotten.
    pub(super) fn announce(&mut self) {
        if self.first_round.is_some() || self.server.is_some() {
            // What is not known yet must not be taken for gone.
            return;
        }
        let now_captured = self.now_captured();
        let Some(controller) = &self.means.controller else {
            self.captured = now_captured;
            return;
        };
        let known = controller.captured.borrow().is_some();
        if !known || now_captured != self.captured {
            self.revision += 1;
            let wanted = &self.wanted;
            let mut pods: Vec<PodKey> =
                now_captured.iter().filter_map(|uid| Some(key(uid, wanted.get(uid)?))).collect();
            pods.sort();
            controller
                .captured
                .send_replace(Some(Captured { revision: self.revision, pods: Arc::new(pods) }));
        }
        let now = Instant::now();
        for (uid, seen) in &mut self.observed {
            if now_captured.contains(uid) {
                seen.announced = true;
                self.released.cancel(uid);
            } else if seen.announced {
                self.released.begin(uid, self.revision, now);
            }
        }
        self.captured = now_captured;
        let told = *controller.told.borrow();
        for uid in self.released.free(told, now) {
            if let Some(seen) = self.observed.get_mut(&uid) {
                seen.announced = false;
            }
        }
    }

    fn now_captured(&self) -> BTreeSet<String> {
        let scene = Scene::new(&self.wanted, &self.observed);
        let enrolled = self.wanted.iter().filter(|(_, pod)| pod.is_enrolled() && pod.path.is_some());
        enrolled.filter(|(uid, _)| self.is_captured(&scene, uid)).map(|(uid, _)| uid.clone()).collect()
    }

    fn is_captured(&self, scene: &Scene<'_>, uid: &str) -> bool {
        let Some(seen) = self.observed.get(uid) else { return false };
        if let Sight::Seen(id) = seen.sight
            && scene.owner(id) != Some(uid)
        {
            return false;
        }
        if self.captured.contains(uid) || self.inherited.contains(uid) {
            return true;
        }
        matches!(seen.rules, Rules::InPlace(_))
            && seen.handed.is_some()
            && self.means.registry.status(uid) == Some(PodStatus::Accepted)
    }
}

fn key(uid: &str, pod: &Wanted) -> PodKey {
    PodKey { namespace: pod.identity.namespace.clone(), name: pod.identity.name.clone(), uid: uid.to_owned() }
}
