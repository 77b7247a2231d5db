//! How many retries may be under way? (Istio `retryBudget` and `maxRetries`, Gateway API GEP-3388)

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ambit_model::l7::destination_rule::{ConnectionPool, RetryBudget};

/// The limit of a service's retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// A share of the requests.
    Share(RetryBudget),
    /// So many at one moment.
    Count(u32),
    /// None.
    Unlimited,
}

impl Budget {
    /// A budget goes before `maxRetries`.
    pub fn new(budget: Option<RetryBudget>, pool: Option<&ConnectionPool>) -> Self {
        match (budget, pool.and_then(|pool| pool.max_retries)) {
            (Some(budget), _) => Self::Share(budget),
            (None, Some(most)) => Self::Count(most),
            (None, None) => Self::Unlimited,
        }
    }

    /// The time over which requests and retries are counted ([`Window`]); `None` counts those under way.
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Self::Share(budget) => budget.interval,
            Self::Count(_) | Self::Unlimited => None,
        }
    }

    /// Whether one more retry may begin beside so many requests (retries among them) and so many retries.
    pub fn allows(&self, requests: u64, retries: u64) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Count(most) => retries < u64::from(*most),
            Self::Share(RetryBudget { share, minimum, .. }) => {
                let denominator = u64::from(share.denominator.max(1));
                let most = requests.saturating_mul(u64::from(share.numerator)) / denominator;
                retries < most.max(u64::from(*minimum))
            }
        }
    }
}

/// How many parts an interval has: counts are exact to one of them.
const PARTS: u32 = 10;

/// Requests and retries of the last interval.
#[derive(Debug, Clone)]
pub struct Window {
    part: Duration,
    parts: VecDeque<Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    began: Instant,
    requests: u64,
    retries: u64,
}

impl Window {
    /// Nothing yet, over this interval.
    pub fn new(interval: Duration) -> Self {
        Self { part: (interval / PARTS).max(Duration::from_millis(1)), parts: VecDeque::new() }
    }

    /// A try has begun.
    pub fn count(&mut self, retry: bool, now: Instant) {
        self.forget(now);
        match self.parts.back_mut() {
            Some(part) if now.saturating_duration_since(part.began) < self.part => {
                part.requests += 1;
                part.retries += u64::from(retry);
            }
            _ => self.parts.push_back(Part { began: now, requests: 1, retries: u64::from(retry) }),
        }
    }

    /// Requests and retries of the interval that ends now.
    pub fn counts(&mut self, now: Instant) -> (u64, u64) {
        self.forget(now);
        let sum = |of: fn(&Part) -> u64| self.parts.iter().map(of).sum();
        (sum(|part| part.requests), sum(|part| part.retries))
    }

    fn forget(&mut self, now: Instant) {
        let interval = self.part * PARTS;
        while self.parts.front().is_some_and(|part| now.saturating_duration_since(part.began) >= interval) {
            self.parts.pop_front();
        }
    }
}
