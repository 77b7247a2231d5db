//! One worker's counters for one set of labels.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::directory::Entry;

/// Counters for one set of labels on one worker. A flow fetches it once and keeps it until its end.
#[derive(Debug)]
pub struct Series {
    pub(super) entry: Arc<Entry>,
    opened: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Series {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        let zero = || AtomicU64::new(0);
        Self { entry, opened: zero(), closed: zero(), failed: zero(), received: zero(), sent: zero() }
    }

    /// A connection was opened.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended.
    pub fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection failed.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes went from client to server, whichever end reports (Istio's sense of `received`).
    pub fn request_bytes(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes went from server to client, whichever end reports (Istio's sense of `sent`).
    pub fn response_bytes(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> Totals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            opened: load(&self.opened),
            closed: load(&self.closed),
            failed: load(&self.failed),
            received: load(&self.received),
            sent: load(&self.sent),
        }
    }
}

/// The values of a series at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) failed: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.opened += other.opened;
        self.closed += other.closed;
        self.failed += other.failed;
        self.received += other.received;
        self.sent += other.sent;
    }
}
