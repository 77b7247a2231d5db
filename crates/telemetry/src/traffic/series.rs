//! One worker's counters for one set of labels.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::directory::Entry;
use super::histogram::{Counts, Histogram};

/// Counters for one set of labels on one worker. A flow fetches it once and keeps it until its end.
#[derive(Debug)]
pub struct Series {
    pub(super) entry: Arc<Entry>,
    opened: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    /// Only where requests are counted.
    requests: Option<Box<Requests>>,
}

/// What is counted of requests.
#[derive(Debug, Default)]
struct Requests {
    duration: Histogram,
    received: Histogram,
    sent: Histogram,
}

impl Series {
    pub(super) fn new(entry: Arc<Entry>) -> Self {
        let zero = || AtomicU64::new(0);
        let requests = entry.labels.counts_requests().then(Box::default);
        Self {
            entry,
            opened: zero(),
            closed: zero(),
            failed: zero(),
            received: zero(),
            sent: zero(),
            requests,
        }
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

    /// A request ended: how long it took, and its bytes and those of its response. Does nothing in a series of connections.
    pub fn request(&self, duration: Duration, received: u64, sent: u64) {
        let Some(requests) = &self.requests else { return };
        requests.duration.observe(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
        requests.received.observe(received.saturating_mul(1000));
        requests.sent.observe(sent.saturating_mul(1000));
    }

    pub(super) fn totals(&self) -> Totals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let requests = self.requests.as_ref().map(|requests| {
            let Requests { duration, received, sent } = &**requests;
            Box::new(RequestTotals {
                duration: duration.counts(),
                received: received.counts(),
                sent: sent.counts(),
            })
        });
        Totals {
            opened: load(&self.opened),
            closed: load(&self.closed),
            failed: load(&self.failed),
            received: load(&self.received),
            sent: load(&self.sent),
            requests,
        }
    }
}

/// The values of a series at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) failed: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) requests: Option<Box<RequestTotals>>,
}

/// The values of a series of requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct RequestTotals {
    pub(super) duration: Counts,
    pub(super) received: Counts,
    pub(super) sent: Counts,
}

impl AddAssign<&Self> for Totals {
    fn add_assign(&mut self, other: &Self) {
        self.opened += other.opened;
        self.closed += other.closed;
        self.failed += other.failed;
        self.received += other.received;
        self.sent += other.sent;
        if let Some(other) = &other.requests {
            let own = self.requests.get_or_insert_default();
            own.duration += other.duration;
            own.received += other.received;
            own.sent += other.sent;
        }
    }
}
