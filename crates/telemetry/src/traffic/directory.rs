//! Every set of labels of the process, once; where the limit is kept.

use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::series::Totals;
use crate::labels::{TrafficFacts, TrafficLabels};

/// A set of labels. Each worker that has traffic for it holds one clone in its own series.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) labels: TrafficLabels,
    /// Touched only while collecting.
    pub(super) history: Mutex<History>,
}

/// What is remembered about a set of labels between scrapes.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What series that workers have given up had counted: totals never fall while the labels are known.
    pub(super) retired: Totals,
    /// The totals at the last look, and when they first were these.
    pub(super) seen: Option<(Totals, Instant)>,
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    table: HashTable<Arc<Entry>>,
    /// Overflow sets are few (reporters x flags x policies, of requests x classes of codes) and do not count towards the
    /// limit.
    overflowing: usize,
}

impl Directory {
    /// The entry for these facts, made if there is room; otherwise the overflow entry, with its own hash.
    pub(super) fn intern(
        &mut self,
        hash: u64,
        facts: &TrafficFacts<'_>,
        limit: usize,
        overflow_hash: u64,
    ) -> Arc<Entry> {
        if let Some(entry) = self.table.find(hash, |entry| entry.labels.are(facts)) {
            return entry.clone();
        }
        if self.table.len() - self.overflowing < limit {
            return self.insert(hash, TrafficLabels::new(facts));
        }
        if let Some(entry) = self.table.find(overflow_hash, |entry| entry.labels.are_overflow(facts)) {
            return entry.clone();
        }
        self.overflowing += 1;
        self.insert(overflow_hash, TrafficLabels::overflow(facts))
    }

    fn insert(&mut self, hash: u64, labels: TrafficLabels) -> Arc<Entry> {
        let entry = Arc::new(Entry { hash, labels, history: Mutex::default() });
        self.table.insert_unique(hash, entry.clone(), |entry| entry.hash);
        entry
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.table.iter().cloned().collect()
    }

    /// Forgets an entry that nobody but the table and the caller holds. Overflow entries stay.
    pub(super) fn forget(&mut self, entry: &Arc<Entry>) {
        // Clones are made from the table, which is locked here, or from a series, which would hold one already.
        let unused = Arc::strong_count(entry) == 2 && !entry.labels.is_overflow();
        if unused && let Ok(found) = self.table.find_entry(entry.hash, |other| Arc::ptr_eq(other, entry)) {
            found.remove();
        }
    }
}
