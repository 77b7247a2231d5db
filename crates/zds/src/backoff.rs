//! How long a proxy waits before it connects again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles from 10 ms to 15 s (ztunnel's figures), each wait shortened by up to half so that proxies spread out.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait; `share` is a random number in `0.0..1.0`.
    pub(crate) fn wait(&mut self, share: f64) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
    }

    /// Starts over, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..13).map(|_| backoff.wait(1.0).as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 15_000, 15_000]);
        backoff.reset();
        assert_eq!(backoff.wait(0.0), FIRST / 2);
    }
}
