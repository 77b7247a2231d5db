//! What a connection's driver, its owner and its streams know of each other: a few counters, no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by one connection's driver, handle and streams.
#[derive(Debug)]
pub(crate) struct Activity {
    received: AtomicU64,
    settled: AtomicBool,
    streams: AtomicUsize,
    retired: AtomicBool,
    born: Instant,
    /// Milliseconds from `born` to the moment the last stream ended.
    emptied: AtomicU64,
    early_resets: AtomicUsize,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            received: AtomicU64::new(0),
            settled: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            born: Instant::now(),
            emptied: AtomicU64::new(0),
            early_resets: AtomicUsize::new(0),
        })
    }

    /// Bytes received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The driver alone writes, so a load and a store do; a locked addition would cost more than it gives.
    pub(crate) fn count_received(&self, bytes: usize) {
        self.received.store(self.received() + bytes as u64, Ordering::Relaxed);
    }

    /// Whether the peer's first SETTINGS have been read.
    pub(crate) fn settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Whether the connection takes no new streams any more.
    pub(crate) fn retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Streams that are open, or were dropped with bytes still to send.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// Since when there is no stream; `None` while there is one.
    pub(crate) fn empty_since(&self) -> Option<Instant> {
        let emptied = Duration::from_millis(self.emptied.load(Ordering::Relaxed));
        (self.streams() == 0).then(|| self.born + emptied)
    }

    /// Requests that the peer took back before they were answered.
    pub(crate) fn early_resets(&self) -> usize {
        self.early_resets.load(Ordering::Relaxed)
    }

    pub(crate) fn count_early_reset(&self) {
        self.early_resets.fetch_add(1, Ordering::Relaxed);
    }

    /// A place for one more stream, if there are fewer than `limit`.
    pub(crate) fn reserve(self: &Arc<Self>, limit: usize) -> Option<Place> {
        self.streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |streams| {
                (streams < limit).then_some(streams + 1)
            })
            .is_ok()
            .then(|| Place { activity: Arc::clone(self), unsent: AtomicUsize::new(0) })
    }
}

/// One stream's place in its connection. It is given back when the stream and every byte it queued are gone.
#[derive(Debug)]
pub(crate) struct Place {
    activity: Arc<Activity>,
    /// Pieces that the stream accepted and the connection has not written yet.
    unsent: AtomicUsize,
}

impl Place {
    pub(crate) fn unsent(&self) -> bool {
        self.unsent.load(Ordering::Acquire) > 0
    }

    pub(crate) fn queue_piece(&self) {
        self.unsent.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn release_piece(&self) {
        self.unsent.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = u64::try_from(self.activity.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.activity.emptied.store(now, Ordering::Relaxed);
        self.activity.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let activity = Activity::new();
        let first = activity.reserve(2).unwrap();
        let second = activity.reserve(2).unwrap();
        assert!(activity.reserve(2).is_none());
        assert_eq!(activity.empty_since(), None);
        drop(first);
        assert_eq!(activity.streams(), 1);
        assert!(activity.reserve(0).is_none());
        drop(second);
        assert_eq!(activity.streams(), 0);
        assert!(activity.empty_since().is_some());
    }
}
