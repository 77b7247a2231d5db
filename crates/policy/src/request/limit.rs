//! How many at once, and how many in a while? (Istio `connectionPool`, local rate limits)

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ambit_model::Text;
use ambit_model::l7::route::RateLimit;

/// So many places, each taken by a [`Permit`]: connections, requests, or requests that wait. Nobody waits for a place:
/// a request without one is answered 503 (response flag `UO`).
#[derive(Debug, Clone)]
pub struct Places {
    most: Option<u32>,
    taken: Arc<AtomicU32>,
}

/// A place. Given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<AtomicU32>);

impl Places {
    /// At most so many at once; `None` is without limit.
    pub fn new(most: Option<u32>) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// The same places under another limit; who has one keeps it.
    pub fn limited(&self, most: Option<u32>) -> Self {
        Self { most, taken: self.taken.clone() }
    }

    /// How many are taken.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// A place, or `None` where there is none.
    pub fn take(&self) -> Option<Permit> {
        let most = self.most.unwrap_or(u32::MAX);
        let one_more = |taken: u32| (taken < most).then(|| taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Permit(self.taken.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tokens that requests take, and that come back by the interval.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u32,
    filled: Instant,
}

impl Bucket {
    fn take(&mut self, limit: &RateLimit, now: Instant) -> Result<(), Duration> {
        self.fill(limit, now);
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                Ok(())
            }
            None => Err((self.filled + limit.interval).saturating_duration_since(now)),
        }
    }

    fn fill(&mut self, limit: &RateLimit, now: Instant) {
        let interval = limit.interval.max(Duration::from_nanos(1));
        let passed = now.saturating_duration_since(self.filled);
        let times = passed.as_nanos() / interval.as_nanos();
        if times > 0 {
            let added = times.saturating_mul(u128::from(limit.fill)).saturating_add(u128::from(self.tokens));
            self.tokens = u32::try_from(added).unwrap_or(u32::MAX).min(limit.burst);
            // What is left of the interval counts for the next one.
            let rest = passed.as_nanos() % interval.as_nanos();
            self.filled = now.checked_sub(Duration::from_nanos_u128(rest)).unwrap_or(now);
        }
    }
}

/// How many clients have a bucket of their own at once. Those beyond share one.
const MOST_CLIENTS: usize = 10_000;

/// A rate limit at work: one bucket, or one for each client identity.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    shared: Bucket,
    clients: HashMap<Text, Bucket>,
}

impl RateLimiter {
    /// Full buckets.
    pub fn new(limit: &RateLimit, now: Instant) -> Self {
        let shared = Bucket { tokens: limit.burst, filled: now };
        Self { limit: limit.clone(), shared, clients: HashMap::new() }
    }

    /// The limit.
    pub fn limit(&self) -> &RateLimit {
        &self.limit
    }

    /// Lets a request of this client pass (`""` for one without identity), or says when it may come back (429).
    pub fn take(&mut self, client: &str, now: Instant) -> Result<(), Duration> {
        if !self.limit.per_client {
            return self.shared.take(&self.limit, now);
        }
        if let Some(bucket) = self.clients.get_mut(client) {
            return bucket.take(&self.limit, now);
        }
        if self.clients.len() >= MOST_CLIENTS {
            self.forget_full(now);
        }
        if self.clients.len() >= MOST_CLIENTS {
            return self.shared.take(&self.limit, now);
        }
        let full = Bucket { tokens: self.limit.burst, filled: now };
        self.clients.entry(client.into()).or_insert(full).take(&self.limit, now)
    }

    /// A full bucket says nothing that a new one does not.
    fn forget_full(&mut self, now: Instant) {
        let limit = &self.limit;
        self.clients.retain(|_, bucket| {
            bucket.fill(limit, now);
            bucket.tokens < limit.burst
        });
    }
}

#[cfg(test)]
mod tests;
