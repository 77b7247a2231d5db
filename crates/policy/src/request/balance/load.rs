//! What is known about an endpoint's load: requests under way, and how fast it has answered of late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time in which an observation loses two thirds of its weight (linkerd2-proxy's default).
const DECAY: Duration = Duration::from_secs(10);

/// What a failure counts as at least: failing fast must not look good.
const FAILURE: Duration = Duration::from_secs(5);

/// The load of one endpoint. Its counts are exact, its times approximate where several threads report at once.
#[derive(Debug)]
pub struct Load {
    since: Instant,
    active: AtomicU32,
    /// Nanoseconds, as the bits of a floating-point number; 0 is unknown.
    time: AtomicU64,
    /// When that was, in nanoseconds after `since`.
    at: AtomicU64,
}

impl Load {
    /// Of an endpoint that is known since this time.
    pub fn new(since: Instant) -> Self {
        Self { since, active: AtomicU32::new(0), time: AtomicU64::new(0), at: AtomicU64::new(0) }
    }

    /// Since when the endpoint is known.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Requests under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// One more request is under way, until the value is dropped.
    pub fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(self.clone())
    }

    /// An answer took this time. Slower ones count at once, faster ones by and by (peak EWMA).
    pub fn observe(&self, took: Duration, failed: bool, now: Instant) {
        let took = if failed { took.max(FAILURE) } else { took };
        // At least a nanosecond: 0 is unknown.
        let took = nanos(took).max(1) as f64;
        let before = self.time().unwrap_or(0.0);
        let weight = self.weight(now);
        let time = if took > before { took } else { before * weight + took * (1.0 - weight) };
        self.time.store(time.to_bits(), Ordering::Relaxed);
        self.at.store(self.age(now), Ordering::Relaxed);
    }

    /// What a further request would cost: the time of an answer by the requests before it. `None` where no answer has
    /// been seen.
    pub fn score(&self, now: Instant) -> Option<f64> {
        // What was seen long ago counts less, so that a slow endpoint is tried again.
        let time = self.time()? * self.weight(now);
        Some(time * (f64::from(self.active()) + 1.0))
    }

    fn time(&self) -> Option<f64> {
        Some(f64::from_bits(self.time.load(Ordering::Relaxed))).filter(|time| *time > 0.0)
    }

    /// What is left of the weight of the last observation.
    fn weight(&self, now: Instant) -> f64 {
        let passed = self.age(now).saturating_sub(self.at.load(Ordering::Relaxed));
        (-(passed as f64) / nanos(DECAY) as f64).exp()
    }

    fn age(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.since))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A request that is under way. It ends when this is dropped.
#[derive(Debug)]
pub struct Active(Arc<Load>);

impl Active {
    /// The endpoint's load.
    pub fn load(&self) -> &Arc<Load> {
        &self.0
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
