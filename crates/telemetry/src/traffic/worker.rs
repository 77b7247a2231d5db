//! One worker's series, and its count of open sockets.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::Shared;
use super::series::Series;
use crate::labels::{Reporter, TrafficFacts};

/// What one worker counts. Its lock is contended only by a scrape, which holds it to read numbers.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) series: Mutex<HashTable<Arc<Series>>>,
    pub(super) sockets: Sockets,
}

/// Open sockets by reporter.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    source: AtomicI64,
    destination: AtomicI64,
    waypoint: AtomicI64,
}

impl Sockets {
    pub(super) fn of(&self, reporter: Reporter) -> &AtomicI64 {
        match reporter {
            Reporter::Source => &self.source,
            Reporter::Destination => &self.destination,
            Reporter::Waypoint => &self.waypoint,
        }
    }
}

/// The counting end for flows of one worker thread. Clones count in the same series.
#[derive(Debug, Clone)]
pub struct Worker(Arc<Own>);

#[derive(Debug)]
struct Own {
    shared: Arc<Shared>,
    shard: Arc<Shard>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, shard: Arc<Shard>) -> Self {
        Self(Arc::new(Own { shared, shard }))
    }

    /// The series of these facts, or an overflow series where the limit is reached. A few hundred nanoseconds.
    pub fn series(&self, facts: &TrafficFacts<'_>) -> Arc<Series> {
        let Own { shared, shard } = &*self.0;
        let hash = shared.hasher.hash_one(facts);
        let mut series = shard.series.lock();
        if let Some(found) = series.find(hash, |series| series.entry.labels.are(facts)) {
            return found.clone();
        }
        let overflow_hash = shared.hasher.hash_one(facts.coarse());
        let entry = shared.directory.lock().intern(hash, facts, shared.limits.series, overflow_hash);
        // New here, or the overflow series, which this worker may have already.
        if let Some(found) = series.find(entry.hash, |series| Arc::ptr_eq(&series.entry, &entry)) {
            return found.clone();
        }
        let made = Arc::new(Series::new(entry));
        series.insert_unique(made.entry.hash, made.clone(), |series| series.entry.hash);
        made
    }

    /// Counts an open socket until the result is dropped (`istio_tcp_sockets_open`).
    pub fn socket(&self, reporter: Reporter) -> OpenSocket {
        self.0.shard.sockets.of(reporter).fetch_add(1, Ordering::Relaxed);
        OpenSocket { shard: self.0.shard.clone(), reporter }
    }
}

/// A socket that is counted as open until this is dropped.
#[derive(Debug)]
pub struct OpenSocket {
    shard: Arc<Shard>,
    reporter: Reporter,
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.shard.sockets.of(self.reporter).fetch_sub(1, Ordering::Relaxed);
    }
}
