//! What one thread of a load has done within the measured window.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Longest latency that is told apart, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// Counts and latencies, shared between the thread that records and the one that reads. The lock is never contended
/// while work is measured.
#[derive(Debug)]
pub struct Recorder {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    from: Option<Instant>,
    until: Option<Instant>,
    count: u64,
    latencies: Histogram<u64>,
}

impl Recorder {
    /// With nothing recorded, and nothing to record before [`Recorder::begin`].
    pub fn new() -> anyhow::Result<Self> {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 3)?;
        Ok(Self { inner: Mutex::new(Inner { from: None, until: None, count: 0, latencies }) })
    }

    /// The window begins.
    pub fn begin(&self, at: Instant) {
        let mut inner = self.inner.lock();
        inner.from = Some(at);
        inner.until = None;
        inner.count = 0;
        inner.latencies.reset();
    }

    /// The window ends; what belongs to it can still be recorded.
    pub fn end(&self, at: Instant) {
        self.inner.lock().until = Some(at);
    }

    /// Something that belongs to the moment `at` took this long. Ignored outside of the window.
    ///
    /// With a closed loop `at` is the completion; with an open one the moment it should have begun, so that what a stall
    /// delayed is counted with its whole delay (no coordinated omission).
    pub fn record(&self, at: Instant, took: Duration) {
        let mut inner = self.inner.lock();
        if inner.from.is_some_and(|from| at >= from) && inner.until.is_none_or(|until| at < until) {
            inner.count += 1;
            inner.latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST));
        }
    }

    /// Adds what was recorded.
    pub fn add_to(&self, count: &mut u64, latencies: &mut Histogram<u64>) -> anyhow::Result<()> {
        let inner = self.inner.lock();
        *count += inner.count;
        latencies.add(&inner.latencies)?;
        Ok(())
    }
}

/// An empty histogram of the same kind.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST, 3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_counts() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let recorder = Recorder::new().unwrap();
        let took = Duration::from_micros(100);
        recorder.record(at(0), took);
        recorder.begin(at(10));
        recorder.record(at(9), took);
        recorder.record(at(10), took);
        recorder.end(at(20));
        // Late, but it should have begun within the window.
        recorder.record(at(19), Duration::from_secs(2));
        recorder.record(at(20), took);
        let (mut count, mut latencies) = (0, histogram().unwrap());
        recorder.add_to(&mut count, &mut latencies).unwrap();
        assert_eq!((count, latencies.len()), (2, 2));
        assert!(latencies.max() >= 1_990_000_000, "the delay is counted whole");
    }
}
