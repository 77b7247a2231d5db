//! When may a pod that was announced as captured be let go? Pure: the time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for the controller.
const LIMIT: Duration = Duration::from_secs(3);
/// From the controller's word on, so that the other nodes hear of it.
const SPREAD: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug)]
struct Release {
    revision: u64,
    limit: Instant,
    free: Option<Instant>,
}

/// The pods that are no longer in the list of captured ones and of which others may not know yet.
#[derive(Debug, Default)]
pub(crate) struct Released(BTreeMap<String, Release>);

impl Released {
    /// The pod is not in the list from `revision` on.
    pub(crate) fn begin(&mut self, uid: &str, revision: u64, now: Instant) {
        self.0.entry(uid.to_owned()).or_insert(Release { revision, limit: now + LIMIT, free: None });
    }

    /// The pod is in the list again.
    pub(crate) fn cancel(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// Takes out the pods that may go. `told` is the last revision that the controller has taken.
    pub(crate) fn free(&mut self, told: Option<u64>, now: Instant) -> Vec<String> {
        for release in self.0.values_mut() {
            if release.free.is_none() && told.is_some_and(|told| told >= release.revision) {
                release.free = Some(now + SPREAD);
            }
        }
        let due = |release: &Release| release.free.unwrap_or(release.limit).min(release.limit) <= now;
        let free: Vec<String> =
            self.0.iter().filter(|(_, release)| due(release)).map(|(uid, _)| uid.clone()).collect();
        self.0.retain(|_, release| !due(release));
        free
    }

    /// When to ask again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().map(|release| release.free.unwrap_or(release.limit).min(release.limit)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_by_the_controllers_word_or_by_time() {
        let start = Instant::now();
        let mut released = Released::default();
        released.begin("a", 5, start);
        released.begin("b", 6, start);
        assert_eq!(released.free(None, start), Vec::<String>::new());
        assert_eq!(released.next(), Some(start + LIMIT));
        assert_eq!(released.free(Some(5), start), Vec::<String>::new());
        assert_eq!(released.next(), Some(start + SPREAD));
        assert_eq!(released.free(Some(5), start + SPREAD), ["a"]);
        assert_eq!(released.free(Some(5), start + LIMIT - SPREAD), Vec::<String>::new());
        assert_eq!(released.free(Some(5), start + LIMIT), ["b"]);
        assert_eq!(released.next(), None);
    }

    #[test]
    fn a_pod_that_came_back_is_not_freed() {
        let start = Instant::now();
        let mut released = Released::default();
        released.begin("a", 1, start);
        released.cancel("a");
        assert_eq!(released.free(Some(9), start + LIMIT), Vec::<String>::new());
    }
}
