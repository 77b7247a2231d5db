//! How many values fell below each bound: a histogram with Envoy's bounds, which Istio's dashboards are made for.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds; one more bucket takes what is above the last.
pub(super) const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Counts of one worker.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// In thousandths, so that it can be an integer.
    sum: AtomicU64,
}

impl Histogram {
    /// Counts a value, given in thousandths.
    pub(super) fn observe(&self, thousandths: u64) {
        let value = thousandths as f64 / 1000.0;
        let bucket = BOUNDS.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(thousandths, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { buckets: std::array::from_fn(|bucket| load(&self.buckets[bucket])), sum: load(&self.sum) }
    }
}

/// The values of a histogram at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    buckets: [u64; BUCKETS],
    sum: u64,
}

impl Counts {
    /// For each bound how many values were not above it; the last is all.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let mut below = 0;
        self.buckets.iter().enumerate().map(move |(bucket, count)| {
            below += count;
            (BOUNDS.get(bucket).copied(), below)
        })
    }

    /// The sum of all values.
    pub(super) fn sum(&self) -> f64 {
        self.sum as f64 / 1000.0
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (own, other) in self.buckets.iter_mut().zip(other.buckets) {
            *own += other;
        }
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_counts_below_it() {
        let histogram = Histogram::default();
        for thousandths in [0, 500, 501, 5_000, 4_000_000_000] {
            histogram.observe(thousandths);
        }
        let counts = histogram.counts();
        let below: Vec<u64> = counts.cumulative().map(|(_, below)| below).collect();
        assert_eq!(&below[..4], &[2, 3, 4, 4]);
        assert_eq!(below.last(), Some(&5));
        assert_eq!(counts.sum(), 4_000_006.001);
    }
}
