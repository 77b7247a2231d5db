//! Flow-control windows: what the peer may send us, and what we may send it (RFC 9113 section 5.2 and 6.9).

use super::frame::LARGEST;

/// Bytes that are worth a WINDOW_UPDATE, however wide the window.
const WORTH: u32 = 128 * 1024;

/// What the peer may still send, and what it has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inflow {
    /// The window when nothing is unread.
    target: u32,
    /// What the peer may send as far as it knows. Below zero after a smaller SETTINGS_INITIAL_WINDOW_SIZE of ours.
    left: i32,
    /// Consumed, and not yet told. Below zero after the target has shrunk.
    owed: i64,
    urgent: bool,
}

impl Inflow {
    pub(super) fn new(window: u32) -> Self {
        let target = window.min(LARGEST);
        Self { target, left: target.cast_signed(), owed: 0, urgent: false }
    }

    pub(super) fn target(&self) -> u32 {
        self.target
    }

    /// What has come and has not been consumed.
    pub(super) fn unread(&self) -> i64 {
        i64::from(self.target) - i64::from(self.left) - self.owed
    }

    /// What is promised beyond the target: it has shrunk, and the peer has not used it yet.
    pub(super) fn excess(&self) -> usize {
        usize::try_from(-self.owed).unwrap_or(0)
    }

    /// The peer sent so many bytes. `Err` when it may not.
    pub(super) fn take(&mut self, bytes: u32) -> Result<(), ()> {
        let left = i64::from(self.left) - i64::from(bytes);
        if left < 0 {
            return Err(());
        }
        self.left = i32::try_from(left).map_err(drop)?;
        Ok(())
    }

    /// So many of them are gone from here.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.owed += i64::try_from(bytes).unwrap_or(0);
    }

    /// Changes the window; a larger one is told at the next occasion.
    pub(super) fn retarget(&mut self, target: u32) {
        let target = target.min(LARGEST);
        self.owed += i64::from(target) - i64::from(self.target);
        self.urgent |= target > self.target;
        self.target = target;
    }

    /// The peer has learned another initial window than it had been using (RFC 9113 section 6.9.2).
    pub(super) fn shift(&mut self, from: u32, to: u32) {
        let by = i64::from(to) - i64::from(from);
        let shifted = |value: i64| (value + by).clamp(-i64::from(LARGEST), i64::from(LARGEST));
        self.target = u32::try_from(shifted(i64::from(self.target))).unwrap_or(0);
        self.left = i32::try_from(shifted(i64::from(self.left))).unwrap_or(0);
    }

    /// The increment to send, once it is worth a frame: half of the window. Who has not read that much has more to read.
    /// An eighth of a wide one, because what is not told is missing on a long way.
    pub(super) fn announce(&mut self) -> Option<u32> {
        let half = self.target / 2;
        self.announce_from(i64::from(half.min(WORTH).max(self.target / 8)))
    }

    /// The same for the window of a connection, most of which may be held by streams that nobody reads: half of what
    /// the peer has left.
    pub(super) fn announce_shared(&mut self) -> Option<u32> {
        self.announce_from(i64::from(self.left / 2))
    }

    fn announce_from(&mut self, least: i64) -> Option<u32> {
        if self.owed <= 0 || (!self.urgent && self.owed < least.max(1)) {
            return None;
        }
        let left = (i64::from(self.left) + self.owed).min(i64::from(LARGEST));
        let increment = u32::try_from(left - i64::from(self.left)).ok().filter(|increment| *increment > 0)?;
        self.left = i32::try_from(left).ok()?;
        self.owed = 0;
        self.urgent = false;
        Some(increment)
    }
}

/// What we may still send. Below zero after the peer has lowered SETTINGS_INITIAL_WINDOW_SIZE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outflow(i32);

impl Outflow {
    pub(super) fn new(window: u32) -> Self {
        Self(i32::try_from(window).unwrap_or(i32::MAX))
    }

    /// Bytes that may leave now.
    pub(super) fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// So many leave: at most the room.
    pub(super) fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(i32::try_from(bytes).unwrap_or(i32::MAX));
    }

    /// Moves the window. `Err` above what HTTP/2 knows.
    pub(super) fn add(&mut self, bytes: i64) -> Result<(), ()> {
        self.0 = i32::try_from(i64::from(self.0) + bytes).map_err(drop)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn half_a_window_is_worth_a_frame() {
        let mut inflow = Inflow::new(1000);
        assert_eq!(inflow.take(1001), Err(()));
        inflow.take(600).unwrap();
        inflow.consume(499);
        assert_eq!(inflow.announce(), None);
        inflow.consume(101);
        assert_eq!(inflow.announce(), Some(600));
        assert_eq!(inflow, Inflow::new(1000));
    }

    #[test]
    fn a_shared_window_is_told_in_time_for_who_still_reads() {
        let mut inflow = Inflow::new(1000);
        inflow.take(900).unwrap();
        inflow.consume(49);
        assert_eq!(inflow.announce_shared(), None);
        inflow.consume(1);
        assert_eq!(inflow.announce_shared(), Some(50));
    }

    #[test]
    fn a_larger_window_is_told_at_once_and_a_smaller_one_by_silence() {
        let mut inflow = Inflow::new(65_535);
        inflow.retarget(2 << 20);
        assert_eq!(inflow.announce(), Some((2 << 20) - 65_535));
        inflow.retarget(1 << 20);
        inflow.take(1 << 20).unwrap();
        inflow.consume(1 << 20);
        assert_eq!(inflow.announce(), None);
        inflow.take(1 << 20).unwrap();
        inflow.consume(1 << 20);
        assert_eq!(inflow.announce(), Some(1 << 20));
    }

    #[test]
    fn an_outflow_stays_within_what_http2_knows() {
        let mut outflow = Outflow::new(100);
        outflow.add(-300).unwrap();
        assert_eq!(outflow.room(), 0);
        outflow.add(201).unwrap();
        assert_eq!(outflow.room(), 1);
        assert_eq!(outflow.add(i64::from(LARGEST)), Err(()));
    }

    proptest! {
        #[test]
        fn no_byte_of_a_window_is_lost(steps in prop::collection::vec((0u32..5000, 0u32..5000, 1u32..20_000), 1..200)) {
            let mut inflow = Inflow::new(10_000);
            let (mut peer, mut unread) = (10_000i64, 0i64);
            for (send, read, target) in steps {
                let sent = i64::from(send).min(peer);
                prop_assert_eq!(inflow.take(u32::try_from(sent).unwrap()), Ok(()));
                (peer, unread) = (peer - sent, unread + sent);
                let consumed = i64::from(read).min(unread);
                unread -= consumed;
                inflow.consume(usize::try_from(consumed).unwrap());
                if target % 7 == 0 {
                    inflow.retarget(target);
                }
                peer += i64::from(inflow.announce().unwrap_or(0));
                prop_assert_eq!(i64::from(inflow.left), peer);
                prop_assert_eq!(inflow.owed + peer + unread, i64::from(inflow.target));
            }
        }
    }
}
