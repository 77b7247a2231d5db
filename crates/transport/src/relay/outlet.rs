//! Bytes delivered past the relay's task: what a tunnel has received goes straight into the receiver's socket.
//!
//! Nothing overtakes: a tunnel pushes only while the relay waits to read from it with nothing in hand, and what the
//! socket does not take goes the relay's way, as everything does from then on until the relay waits again.

use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counters, Direction};
use crate::socket::Tap;

/// Where received bytes can be pushed to.
pub trait Outlet: fmt::Debug + Send + Sync {
    /// Delivers what is taken at once, without waiting: how many bytes, from the front. 0 when none are, and from a
    /// failure on: the relay meets it with the next byte that goes its way.
    fn try_deliver(&self, pieces: &[IoSlice<'_>]) -> usize;
}

/// Counters that outlive the borrow of a relay's.
pub type SharedCounters = Arc<dyn Counters + Send + Sync>;

/// The outlet of one direction of a relay.
pub(super) struct Delivery {
    tap: Tap,
    direction: Direction,
    counters: SharedCounters,
    delivered: AtomicU64,
}

impl Delivery {
    pub(super) fn new(tap: Tap, direction: Direction, counters: SharedCounters) -> Self {
        Self { tap, direction, counters, delivered: AtomicU64::new(0) }
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }
}

impl Outlet for Delivery {
    fn try_deliver(&self, pieces: &[IoSlice<'_>]) -> usize {
        let written = self.tap.try_write(pieces);
        if written > 0 {
            let bytes = written as u64;
            self.delivered.fetch_add(bytes, Ordering::Relaxed);
            match self.direction {
                Direction::Send => self.counters.sent(bytes),
                Direction::Receive => self.counters.received(bytes),
            }
        }
        written
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("tap", &self.tap)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}
