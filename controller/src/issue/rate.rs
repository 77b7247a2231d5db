//! How many certificates a caller may ask for: a bucket for each.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::tokens::Caller;

/// What a node may ask for at once: a full node that starts cold.
const BURST: f64 = 500.0;
/// What it may ask for per second, lastingly.
const PER_SECOND: f64 = 50.0;

/// The buckets. Callers are proven before, so there are as many as the operator made tokens for.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: Mutex<HashMap<Caller, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// Takes one, unless there is none left.
    pub(super) fn take(&self, caller: &Caller) -> bool {
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        let bucket = buckets.entry(caller.clone()).or_insert(Bucket { left: BURST, at: now });
        bucket.left = (bucket.left + (now - bucket.at).as_secs_f64() * PER_SECOND).min(BURST);
        bucket.at = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_node_gets_its_burst_then_its_rate_and_leaves_others_alone() {
        let rates = Rates::default();
        let node = |name: &str| Caller::Node(name.parse().unwrap());
        let (one, other) = (node("one"), node("other"));
        let taken = std::iter::repeat_with(|| rates.take(&one)).take(600).filter(|taken| *taken).count();
        assert_eq!(taken, 500);
        assert!(rates.take(&other));
        tokio::time::advance(Duration::from_millis(100)).await;
        let taken = std::iter::repeat_with(|| rates.take(&one)).take(600).filter(|taken| *taken).count();
        assert_eq!(taken, 5);
    }
}
