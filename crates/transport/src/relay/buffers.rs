//! Read buffers that belong to the worker thread: a direction leases one while bytes are under way, and owns none idle.

use std::cell::RefCell;

/// The three sizes of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Small => 16 * 1024,
            Self::Medium => 64 * 1024,
            Self::Large => 256 * 1024,
        }
    }

    /// The size of the next read: larger when the source filled this one, smaller when it used little of it, never
    /// above `largest`.
    pub(super) fn after(self, read: usize, largest: usize) -> Self {
        let wanted = match self {
            _ if read == self.bytes() => self.larger(),
            _ if read < self.bytes() / 8 => self.smaller(),
            _ => self,
        };
        if wanted.bytes() <= largest { wanted } else { self.min(wanted) }
    }

    fn larger(self) -> Self {
        match self {
            Self::Small => Self::Medium,
            Self::Medium | Self::Large => Self::Large,
        }
    }

    fn smaller(self) -> Self {
        match self {
            Self::Small | Self::Medium => Self::Small,
            Self::Large => Self::Medium,
        }
    }

    /// Buffers of this size that a worker keeps for the next lease: 1.5 MiB in all.
    const fn kept(self) -> usize {
        match self {
            Self::Small => 16,
            Self::Medium => 4,
            Self::Large => 4,
        }
    }
}

/// What a worker may have leased in large pieces, that is to readers that are slower than their writers. Above it
/// every lease is small, so that stalled peers cannot take the node's memory.
const BUDGET: usize = 16 * 1024 * 1024;

#[derive(Default)]
struct Spare {
    buffers: [Vec<Box<[u8]>>; 3],
    leased: usize,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// A leased buffer and the bytes in it that are still to be written. Dropped, it goes back to the worker.
#[derive(Debug)]
pub(super) struct Lease {
    buffer: Box<[u8]>,
    size: Size,
    start: u32,
    end: u32,
}

impl Lease {
    /// A buffer of `size`, or a small one when the worker's budget is spent.
    pub(super) fn take(size: Size) -> Self {
        let spare = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            let size = if spare.leased + size.bytes() > BUDGET { Size::Small } else { size };
            spare.leased += size.bytes();
            (size, spare.buffers[size as usize].pop())
        });
        // The thread-local is gone only while its thread ends.
        let (size, buffer) = spare.unwrap_or((Size::Small, None));
        let buffer = buffer.unwrap_or_else(|| vec![0; size.bytes()].into_boxed_slice());
        Self { buffer, size, start: 0, end: 0 }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// The first `bytes` of the space now hold what is to be written.
    pub(super) fn fill(&mut self, bytes: usize) {
        self.start = 0;
        self.end = u32::try_from(bytes.min(self.buffer.len())).unwrap_or(0);
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.start as usize..self.end as usize]
    }

    /// `bytes` of the rest have been written; true when nothing is left.
    pub(super) fn advance(&mut self, bytes: usize) -> bool {
        let written = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.start = self.start.saturating_add(written).min(self.end);
        self.start == self.end
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        let size = self.size;
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            // A lease may end on another thread than it began on; the books are then off by it, never below zero.
            spare.leased = spare.leased.saturating_sub(size.bytes());
            let kept = &mut spare.buffers[size as usize];
            if kept.len() < size.kept() {
                kept.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_reads_grow_and_small_ones_shrink() {
        let any = usize::MAX;
        assert_eq!(Size::Small.after(16 * 1024, any), Size::Medium);
        assert_eq!(Size::Medium.after(64 * 1024, any), Size::Large);
        assert_eq!(Size::Large.after(256 * 1024, any), Size::Large);
        assert_eq!(Size::Large.after(100 * 1024, any), Size::Large);
        assert_eq!(Size::Large.after(100, any), Size::Medium);
        assert_eq!(Size::Medium.after(100, any), Size::Small);
        assert_eq!(Size::Small.after(1, any), Size::Small);
    }

    #[test]
    fn largest_read_is_respected() {
        assert_eq!(Size::Small.after(16 * 1024, 32 * 1024), Size::Small);
        assert_eq!(Size::Medium.after(64 * 1024, 64 * 1024), Size::Medium);
    }

    #[test]
    fn leases_are_reused() {
        let first = Lease::take(Size::Large);
        let place = first.buffer.as_ptr();
        drop(first);
        assert_eq!(Lease::take(Size::Large).buffer.as_ptr(), place);
    }

    #[test]
    fn a_spent_budget_leaves_small_leases() {
        let held: Vec<Lease> = (0..BUDGET / Size::Large.bytes()).map(|_| Lease::take(Size::Large)).collect();
        assert!(held.iter().all(|lease| lease.size() == Size::Large));
        assert_eq!(Lease::take(Size::Large).size(), Size::Small);
        drop(held);
        assert_eq!(Lease::take(Size::Large).size(), Size::Large);
        let kept = SPARE.with(|spare| spare.borrow().buffers[Size::Large as usize].len());
        assert!(kept <= Size::Large.kept());
    }

    #[test]
    fn a_lease_gives_back_what_it_was_filled_with() {
        let mut lease = Lease::take(Size::Small);
        lease.space()[..5].copy_from_slice(b"hello");
        lease.fill(5);
        assert!(!lease.advance(2));
        assert_eq!(lease.rest(), b"llo");
        assert!(lease.advance(3));
    }
}
