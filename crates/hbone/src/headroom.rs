//! Connection windows that grow with the streams in them, out of one purse for many tunnels.
//!
//! A stream that nobody reads holds its window's worth of the connection's window. When enough of them have it all,
//! every other stream of the tunnel stands still. So the connection's window follows the number of streams, as long as
//! the purse has something left; without, it stays at its start and the tunnel behaves like any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest window that HTTP/2 knows (RFC 9113 section 6.9.1).
const LARGEST_WINDOW: usize = (1 << 31) - 1;
/// Windows grow and shrink by this many streams at a time, so that not every stream costs a WINDOW_UPDATE.
const STRIDE: usize = 8;

/// Bytes that all tunnels made with clones of this value may together have received and not delivered, beyond what
/// each may anyway ([`crate::settings::Buffers::connection_window`]).
#[derive(Debug, Clone)]
pub struct Headroom {
    left: Arc<AtomicUsize>,
    whole: usize,
}

impl Headroom {
    /// A purse of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)), whole: bytes }
    }

    /// Bytes not handed out now, for metrics.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes what there is of `wanted`.
    fn take(&self, wanted: usize) -> usize {
        let mut taken = 0;
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            taken = left.min(wanted);
            Some(left - taken)
        });
        taken
    }

    /// Takes `wanted` or nothing, and never from the half that is for more streams.
    fn take_spare(&self, wanted: usize) -> bool {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(wanted).filter(|rest| *rest >= self.whole / 2)
        });
        taken.is_ok()
    }

    fn give(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Two are equal when they are the same purse.
impl PartialEq for Headroom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.left, &other.left)
    }
}

impl Eq for Headroom {}

/// One connection's share of the purse.
#[derive(Debug)]
pub(crate) struct Growth {
    headroom: Headroom,
    start: usize,
    stream: usize,
    granted: usize,
}

impl Growth {
    pub(crate) fn new(headroom: Headroom, connection_window: u32, stream_window: u32) -> Self {
        Self { headroom, start: connection_window as usize, stream: stream_window as usize, granted: 0 }
    }

    /// The connection's new window when it has so many streams; `None` when it stays as it is.
    pub(crate) fn adjust(&mut self, streams: usize) -> Option<u32> {
        // One more than there are, so that the next one finds room.
        let needed = self.beyond_start(streams + 1);
        let lavish = self.beyond_start(streams + 1 + 2 * STRIDE);
        if needed <= self.granted && self.granted <= lavish {
            return None;
        }
        let before = self.granted;
        let wanted = self.beyond_start(streams + 1 + STRIDE);
        if wanted > before {
            self.granted += self.headroom.take(wanted - before);
        } else {
            self.headroom.give(before - wanted);
            self.granted = wanted;
        }
        let window = u32::try_from(self.start + self.granted).ok()?;
        (self.granted != before).then_some(window)
    }

    fn beyond_start(&self, streams: usize) -> usize {
        streams.saturating_mul(self.stream).min(LARGEST_WINDOW).saturating_sub(self.start)
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.headroom.give(self.granted);
    }
}

/// What one connection has from the purse for streams with windows above their first.
#[derive(Debug)]
pub(crate) struct Lease {
    headroom: Headroom,
    held: usize,
    used: usize,
}

impl Lease {
    pub(crate) fn new(headroom: Headroom) -> Self {
        Self { headroom, held: 0, used: 0 }
    }

    /// Bytes that wide streams have.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Whether wide streams are to be narrow again: less than a quarter of the purse is left.
    pub(crate) fn is_short(&self) -> bool {
        self.headroom.left() < self.headroom.whole / 4
    }

    /// So many bytes more, of what is held already or of the purse. `false`, and nothing has changed, when there is
    /// not enough.
    pub(crate) fn widen(&mut self, bytes: usize) -> bool {
        let used = self.used + bytes;
        let missing = used.saturating_sub(self.held);
        if missing > 0 && !self.headroom.take_spare(missing) {
            return false;
        }
        self.held += missing;
        self.used = used;
        true
    }

    /// So many fewer are needed. They go back with [`Self::settle`].
    pub(crate) fn narrow(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Gives back what is not needed, except for `excess`: HTTP/2 takes no window back, so that much may still come.
    pub(crate) fn settle(&mut self, excess: usize) {
        let given = (self.held - self.used).saturating_sub(excess);
        if given > 0 {
            self.held -= given;
            self.headroom.give(given);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.headroom.give(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn a_few_streams_need_nothing() {
        let headroom = Headroom::new(64 * MIB);
        let mut growth = Growth::new(headroom.clone(), 2 << 20, 256 << 10);
        for streams in 0..8 {
            assert_eq!(growth.adjust(streams), None);
        }
        assert_eq!(headroom.left(), 64 * MIB);
        assert!(growth.adjust(8).is_some());
    }

    #[test]
    fn an_empty_purse_leaves_the_window_as_it_is() {
        let mut growth = Growth::new(Headroom::new(0), 2 << 20, 256 << 10);
        assert_eq!(growth.adjust(100), None);
    }

    #[test]
    fn a_drop_gives_everything_back() {
        let headroom = Headroom::new(10 * MIB);
        let mut growth = Growth::new(headroom.clone(), 2 << 20, 256 << 10);
        assert_eq!(growth.adjust(200), Some(12 << 20));
        assert_eq!(headroom.left(), 0);
        drop(growth);
        assert_eq!(headroom.left(), 10 * MIB);
    }

    #[test]
    fn a_lease_leaves_half_and_gives_back_what_cannot_come_any_more() {
        let headroom = Headroom::new(8 * MIB);
        let mut lease = Lease::new(headroom.clone());
        assert!(lease.widen(3 * MIB) && !lease.widen(2 * MIB) && lease.widen(MIB));
        assert_eq!((lease.used(), headroom.left(), lease.is_short()), (4 * MIB, 4 * MIB, false));
        lease.narrow(3 * MIB);
        lease.settle(2 * MIB);
        assert_eq!((lease.used(), headroom.left()), (MIB, 5 * MIB));
        // What is held already is taken before the purse.
        assert!(lease.widen(2 * MIB));
        assert_eq!(headroom.left(), 5 * MIB);
        drop(lease);
        assert_eq!(headroom.left(), 8 * MIB);
    }

    #[test]
    fn a_lease_is_short_when_streams_need_the_purse() {
        let headroom = Headroom::new(8 * MIB);
        let lease = Lease::new(headroom.clone());
        let mut growth = Growth::new(headroom, 2 << 20, 256 << 10);
        growth.adjust(16);
        assert!(!lease.is_short());
        growth.adjust(32);
        assert!(lease.is_short());
    }

    proptest! {
        #[test]
        fn the_purse_is_kept_and_the_window_covers_every_stream(
            purse in 0..100 * MIB, counts in prop::collection::vec((0usize..3, 0usize..300), 1..60)
        ) {
            let headroom = Headroom::new(purse);
            let mut tunnels: Vec<_> =
                (0..3).map(|_| (Growth::new(headroom.clone(), 2 << 20, 256 << 10), 2 * MIB)).collect();
            for (at, streams) in counts {
                let (growth, window) = &mut tunnels[at];
                let broke = headroom.left() == 0;
                if let Some(new) = growth.adjust(streams) {
                    *window = new as usize;
                }
                let covered = *window >= (streams + 1) * (256 << 10) || headroom.left() == 0;
                prop_assert!(covered || broke, "{streams} streams in {window} bytes");
                prop_assert!(*window >= 2 * MIB);
                let out: usize = tunnels.iter().map(|(_, window)| window - 2 * MIB).sum();
                prop_assert_eq!(headroom.left() + out, purse);
            }
        }
    }
}
