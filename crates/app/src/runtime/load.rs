//! How many connections does each worker carry, and which worker takes the next?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The open connections of every worker. Clones count the same.
#[derive(Debug, Clone)]
pub struct Load {
    open: Arc<[AtomicUsize]>,
}

/// A connection that a worker carries; dropping it says that it has ended.
#[derive(Debug)]
pub struct Seat {
    load: Load,
    worker: usize,
}

impl Load {
    /// Nothing is open on any of `workers`, of which there is at least one.
    pub fn new(workers: usize) -> Self {
        Self { open: (0..workers.max(1)).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// A seat with the worker that has the fewest; with `home` where none has fewer, since a connection that stays
    /// costs no wake of another thread. Two callers at once may choose the same worker: the next ones make up for it.
    pub fn take(&self, home: usize) -> Seat {
        let of = |worker: usize| self.open[worker].load(Ordering::Relaxed);
        let home = home % self.open.len();
        let worker = (0..self.open.len()).min_by_key(|worker| (of(*worker), *worker != home));
        self.at(worker.unwrap_or(home))
    }

    /// A seat with this worker.
    pub fn at(&self, worker: usize) -> Seat {
        let worker = worker % self.open.len();
        self.open[worker].fetch_add(1, Ordering::Relaxed);
        Seat { load: self.clone(), worker }
    }
}

impl Seat {
    /// Whose it is.
    pub fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.open[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_at_a_time_they_stay_at_home() {
        let load = Load::new(3);
        for home in [0, 2, 1, 2] {
            assert_eq!(load.take(home).worker(), home);
        }
    }

    proptest! {
        /// Whatever comes, wherever, no worker has two more than another while nothing ends.
        #[test]
        fn connections_that_last_are_spread_evenly(workers in 1usize..6, homes in proptest::collection::vec(0usize..6, 0..60)) {
            let load = Load::new(workers);
            let seats: Vec<Seat> = homes.iter().map(|home| load.take(*home)).collect();
            let counts = (0..workers).map(|worker| seats.iter().filter(|seat| seat.worker() == worker).count());
            let counts: Vec<usize> = counts.collect();
            let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
            prop_assert!(most - fewest <= 1, "{counts:?}");
            drop(seats);
            prop_assert!((0..workers).all(|worker| load.take(worker).worker() == worker), "all seats are free again");
        }
    }
}
