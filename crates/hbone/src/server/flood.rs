//! Telling a flood of taken-back requests (R1, CVE-2023-44487) from clients that give up on a slow answer.

use std::time::Duration;

use tokio::time::Instant;

/// Requests are counted over this long.
const WINDOW: Duration = Duration::from_secs(1);
/// Requests in a window from which on the share counts. Fewer cost less than ordinary traffic, and cutting the tunnel
/// would take healthy streams with it.
const ENOUGH: usize = 1000;

/// A connection's requests, and those taken back before their answer, over the last second.
#[derive(Debug)]
pub(super) struct Flood {
    began: Instant,
    requests: usize,
    /// Of all requests ever, those taken back when the window began.
    before: usize,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, requests: 0, before: 0 }
    }

    /// One more request, when `resets` have been taken back in the life of the connection. `Err` with the numbers of
    /// the window when it is a flood: more than half of enough requests.
    pub(super) fn count(&mut self, now: Instant, resets: usize) -> Result<(), (usize, usize)> {
        if now.duration_since(self.began) >= WINDOW {
            *self = Self { began: now, requests: 0, before: resets };
        }
        self.requests += 1;
        let resets = resets.saturating_sub(self.before);
        let flood = self.requests >= ENOUGH && resets * 2 > self.requests;
        if flood { Err((self.requests, resets)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1_only_a_majority_of_enough_requests_is_a_flood() {
        let now = Instant::now();
        let mut flood = Flood::new(now);
        for total in 1..ENOUGH {
            assert_eq!(flood.count(now, total), Ok(()));
        }
        assert_eq!(flood.count(now, ENOUGH), Err((ENOUGH, ENOUGH)));
    }

    #[test]
    fn half_taken_back_is_tolerated_for_ever() {
        let now = Instant::now();
        let mut flood = Flood::new(now);
        for request in 0..100_000 {
            assert_eq!(flood.count(now, request / 2), Ok(()));
        }
    }

    #[test]
    fn slow_clients_that_all_give_up_are_no_flood() {
        let mut now = Instant::now();
        let mut flood = Flood::new(now);
        for request in 0..100_000 {
            now += Duration::from_millis(2);
            assert_eq!(flood.count(now, request), Ok(()));
        }
    }

    #[test]
    fn a_good_past_is_no_credit() {
        let mut now = Instant::now();
        let mut flood = Flood::new(now);
        for _ in 0..1_000_000 {
            now += Duration::from_micros(100);
            assert_eq!(flood.count(now, 0), Ok(()));
        }
        now += WINDOW;
        let after = (1..).find(|total| flood.count(now, *total).is_err());
        assert_eq!(after, Some(ENOUGH));
    }
}
