//! When to say again that a stream ended: at once for a new reason, for the same one every now and then.
//!
//! A permanent mistake, such as a missing token, ends many attempts within the first second of the back-off.

use std::time::Duration;

use tokio::time::Instant;

/// How long the same reason is not said again.
const QUIET: Duration = Duration::from_secs(30);

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    last: Option<(String, Instant)>,
}

impl Complaint {
    /// Whether this reason is to be said now; it then counts as said.
    pub(super) fn is_due(&mut self, reason: &str, now: Instant) -> bool {
        let said = |(last, at): &(String, Instant)| last == reason && now.duration_since(*at) < QUIET;
        if self.last.as_ref().is_some_and(said) {
            return false;
        }
        self.last = Some((reason.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_until_it_changes_or_time_has_passed() {
        let mut complaint = Complaint::default();
        let start = Instant::now();
        let said: Vec<bool> = [
            ("no token", 0),
            ("no token", 1),
            ("no token", 29),
            ("refused", 29),
            ("no token", 29),
            ("no token", 58),
            ("no token", 59),
            ("no token", 60),
        ]
        .into_iter()
        .map(|(reason, at)| complaint.is_due(reason, start + Duration::from_secs(at)))
        .collect();
        assert_eq!(said, [true, false, false, true, true, false, true, false]);
    }
}
