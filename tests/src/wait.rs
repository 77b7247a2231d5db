//! Waiting for a real condition, for a bounded time.

use std::time::{Duration, Instant};

/// Longer than anything should take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Asks again until there is an answer; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, ask)
}

/// The same with another bound.
#[track_caller]
pub fn wait_within<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        pause();
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// The pause between two looks at a condition.
pub fn pause() {
    std::thread::park_timeout(Duration::from_millis(10));
}
