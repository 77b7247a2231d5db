//! Telling a flood of taken-back requests (R1, CVE-2023-44487) from a client that changes its mind.

/// Requests from which on the share counts; a client that gives up on slow answers stays below it.
const ENOUGH: usize = 200;

/// A connection's requests and those taken back, over its recent past.
#[derive(Debug, Default)]
pub(super) struct Flood {
    requests: usize,
    resets: usize,
    seen: usize,
}

impl Flood {
    /// One more request.
    pub(super) fn count_request(&mut self) {
        // Halving forgets: a long good past earns no credit for a flood.
        if self.requests >= 2 * ENOUGH {
            self.requests /= 2;
            self.resets /= 2;
        }
        self.requests += 1;
    }

    /// `total` requests have been taken back in the life of the connection. `Err` with both numbers when it is a flood: more than
    /// half of enough requests.
    pub(super) fn check(&mut self, total: usize) -> Result<(), (usize, usize)> {
        self.resets += total.saturating_sub(self.seen);
        self.seen = total;
        let flood = self.requests >= ENOUGH && self.resets * 2 > self.requests;
        if flood { Err((self.requests, self.resets)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1_only_a_majority_of_enough_requests_is_a_flood() {
        let mut flood = Flood::default();
        for total in 1..ENOUGH {
            flood.count_request();
            assert_eq!(flood.check(total), Ok(()));
        }
        flood.count_request();
        assert_eq!(flood.check(ENOUGH), Err((ENOUGH, ENOUGH)));
    }

    #[test]
    fn half_taken_back_is_tolerated_for_ever() {
        let mut flood = Flood::default();
        for request in 0..100_000 {
            flood.count_request();
            assert_eq!(flood.check(request / 2), Ok(()));
        }
    }

    #[test]
    fn a_good_past_is_no_credit() {
        let mut flood = Flood::default();
        for _ in 0..1_000_000 {
            flood.count_request();
        }
        let after = (1..).find(|total| {
            flood.count_request();
            flood.check(*total).is_err()
        });
        assert!(after.unwrap() <= 2 * ENOUGH);
    }
}
