//! Who counts the bytes of a relay while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SharedCounters;

/// Told of every byte as the receiving side accepts it. Called on the byte path: must be quick and never block.
pub trait Counters {
    /// `bytes` more went from downstream to upstream.
    fn sent(&self, bytes: u64);
    /// `bytes` more came from upstream to downstream.
    fn received(&self, bytes: u64);

    /// The same counters for somebody who delivers bytes past the relay's task; without them nobody does.
    fn shared(&self) -> Option<SharedCounters> {
        None
    }
}

/// Counts nothing; the totals are in the result.
impl Counters for () {
    fn sent(&self, _bytes: u64) {}
    fn received(&self, _bytes: u64) {}
}

impl<N: Counters + ?Sized> Counters for &N {
    fn sent(&self, bytes: u64) {
        (**self).sent(bytes);
    }
    fn received(&self, bytes: u64) {
        (**self).received(bytes);
    }
    fn shared(&self) -> Option<SharedCounters> {
        (**self).shared()
    }
}

impl<N: Counters + Send + Sync + 'static> Counters for Arc<N> {
    fn sent(&self, bytes: u64) {
        (**self).sent(bytes);
    }
    fn received(&self, bytes: u64) {
        (**self).received(bytes);
    }
    fn shared(&self) -> Option<SharedCounters> {
        Some(Arc::<N>::clone(self))
    }
}

/// Live totals of one relay: written by it alone, read by anyone.
#[derive(Debug, Default)]
pub struct ByteCounters {
    sent: AtomicU64,
    received: AtomicU64,
}

impl ByteCounters {
    /// Bytes from downstream to upstream so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes from upstream to downstream so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// One relay writes, so a load and a store do; a locked addition would cost more than it gives.
fn add(total: &AtomicU64, bytes: u64) {
    total.store(total.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
}

impl Counters for ByteCounters {
    fn sent(&self, bytes: u64) {
        add(&self.sent, bytes);
    }
    fn received(&self, bytes: u64) {
        add(&self.received, bytes);
    }
}
