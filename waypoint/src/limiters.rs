//! The rate limits of this replica. They live longer than the tables that name them: an edit elsewhere gives nobody new
//! tokens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_model::l7::ObjectKey;
use ambit_model::l7::route::RateLimit;
use ambit_policy::request::limit::RateLimiter;
use parking_lot::Mutex;

/// Route, rule and number of the limit in it.
pub type Name = (ObjectKey, usize, usize);

/// All limits at work. Clones share them; only requests to rules with a limit touch them.
#[derive(Debug, Clone, Default)]
pub struct Limiters {
    limiters: Arc<Mutex<HashMap<Name, RateLimiter>>>,
}

impl Limiters {
    /// Lets a request of this client pass, or says when it may come back. A limit that was edited starts anew.
    pub fn take(&self, name: Name, limit: &RateLimit, client: &str, now: Instant) -> Result<(), Duration> {
        let mut limiters = self.limiters.lock();
        let limiter = limiters.entry(name).or_insert_with(|| RateLimiter::new(limit, now));
        if limiter.limit() != limit {
            *limiter = RateLimiter::new(limit, now);
        }
        limiter.take(client, now)
    }
}

#[cfg(test)]
mod tests {
    use ambit_model::l7::ObjectKind;

    use super::*;

    #[test]
    fn an_edit_starts_a_limit_anew_and_no_other() {
        let limiters = Limiters::default();
        let name = |name: &str| (ObjectKey::new(ObjectKind::HTTPRoute, "shop", name), 0, 0);
        let mut limit = RateLimit { burst: 1, fill: 1, interval: Duration::from_secs(60), per_client: false };
        let now = Instant::now();
        limiters.take(name("a"), &limit, "", now).unwrap();
        limiters.take(name("b"), &limit, "", now).unwrap();
        limiters.take(name("a"), &limit, "", now).unwrap_err();
        limit.burst = 2;
        limiters.take(name("a"), &limit, "", now).unwrap();
        limit.burst = 1;
        limiters.take(name("b"), &limit, "", now).unwrap_err();
    }
}
