//! When the issuer is asked again. Pure: randomness is an argument.

use std::time::{Duration, SystemTime};

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(150);
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

/// When to replace a certificate received at `now`: at half of its remaining life, ±10 %, so that a node's certificates
/// do not all fall due together. `spread` is in 0..=1.
pub(super) fn refresh_at(now: SystemTime, not_after: SystemTime, spread: f64) -> SystemTime {
    let remaining = not_after.duration_since(now).unwrap_or_default();
    let half = remaining / 2;
    now + half.mul_f64(0.9 + 0.2 * spread.clamp(0.0, 1.0)).max(SHORTEST_REFRESH)
}

/// How long to wait after the `failures`th failure in a row (from 1): 0.5 s, doubling to 150 s, ±20 %. An answer that
/// will not change goes straight to the longest. `spread` is in 0..=1.
pub(super) fn retry_after(failures: u32, retryable: bool, spread: f64) -> Duration {
    let doubled =
        FIRST_DELAY.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let delay = if retryable { doubled.min(LONGEST_DELAY) } else { LONGEST_DELAY };
    delay.mul_f64(0.8 + 0.4 * spread.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_life_with_a_tenth_of_spread() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let after = |spread| {
            refresh_at(now, now + Duration::from_secs(1000), spread)
                .duration_since(now)
                .unwrap()
                .as_secs_f64()
        };
        assert_eq!([after(0.0), after(0.5), after(1.0)].map(f64::round), [450.0, 500.0, 550.0]);
    }

    #[test]
    fn an_ended_certificate_is_not_asked_for_in_a_loop() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(refresh_at(now, now - Duration::from_secs(5), 0.5), now + SHORTEST_REFRESH);
    }

    #[test]
    fn delays_double_to_the_longest() {
        let delays: Vec<_> = (1..=11).map(|n| retry_after(n, true, 0.5).as_secs_f64()).collect();
        assert_eq!(delays, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 150.0, 150.0]);
        assert_eq!(retry_after(u32::MAX, true, 0.5), LONGEST_DELAY);
        assert_eq!(retry_after(1, false, 0.5), LONGEST_DELAY);
        assert_eq!(retry_after(1, true, 0.0), Duration::from_millis(400));
        assert_eq!(retry_after(1, true, 1.0), Duration::from_millis(600));
    }
}
