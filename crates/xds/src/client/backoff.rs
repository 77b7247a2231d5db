//! How long to wait before the next attempt: exponential, with full jitter (each pause is uniform between 0 and a
//! ceiling that doubles).
//!
//! Full jitter keeps a thousand nodes that lose the same controller from coming back as one herd. Until a first stream
//! was answered the ceiling starts at 10 ms, because a node that starts beside its controller should not wait; it grows
//! to 15 s. Afterwards it starts at 0.5 s and grows to 30 s. A stream that lived for 10 s starts it over.

use std::time::Duration;

/// First and last ceiling before any stream was answered.
const EARLY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(15));

/// First and last ceiling afterwards.
const LATER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A stream that lived this long was healthy.
const HEALTHY: Duration = Duration::from_secs(10);

/// The state of the retries. Time and randomness are arguments.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    attempts: u32,
    answered: bool,
}

impl Backoff {
    /// A stream was answered and ended after this time.
    pub fn lived(&mut self, time: Duration) {
        if !self.answered || time >= HEALTHY {
            self.attempts = 0;
        }
        self.answered = true;
    }

    /// The pause before the next attempt; `random` is uniform in 0..1.
    pub fn pause(&mut self, random: f64) -> Duration {
        let ceiling = self.ceiling();
        self.attempts = self.attempts.saturating_add(1);
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }

    /// The longest that the next pause may be.
    pub fn ceiling(&self) -> Duration {
        let (first, last) = if self.answered { LATER } else { EARLY };
        first.saturating_mul(2u32.saturating_pow(self.attempts)).min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ceilings(backoff: &mut Backoff, count: usize) -> Vec<Duration> {
        (0..count).map(|_| backoff.pause(1.0)).collect()
    }

    #[test]
    fn starts_fast_and_once_answered_slowly() {
        let mut backoff = Backoff::default();
        assert_eq!(ceilings(&mut backoff, 3), [10, 20, 40].map(Duration::from_millis));
        assert_eq!(ceilings(&mut backoff, 20).pop(), Some(Duration::from_secs(15)));
        backoff.lived(Duration::from_secs(1));
        assert_eq!(ceilings(&mut backoff, 3), [500, 1000, 2000].map(Duration::from_millis));
        assert_eq!(ceilings(&mut backoff, 20).pop(), Some(Duration::from_secs(30)));
    }

    #[test]
    fn only_a_healthy_stream_starts_over() {
        let mut backoff = Backoff::default();
        backoff.lived(Duration::ZERO);
        ceilings(&mut backoff, 5);
        backoff.lived(HEALTHY - Duration::from_millis(1));
        assert_eq!(backoff.ceiling(), Duration::from_secs(16));
        backoff.lived(HEALTHY);
        assert_eq!(backoff.ceiling(), LATER.0);
    }

    proptest! {
        #[test]
        fn a_pause_is_between_nothing_and_the_ceiling(attempts in 0u32..100, answered: bool, random in 0.0..1.0f64) {
            let mut backoff = Backoff { attempts, answered };
            let ceiling = backoff.ceiling();
            prop_assert!(ceiling <= LATER.1);
            prop_assert!(backoff.pause(random) <= ceiling);
            prop_assert!(backoff.ceiling() >= ceiling);
        }
    }
}
