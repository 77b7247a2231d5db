//! How far what was written has left: positions in a tunnel's plaintext, matched with what its carrier still holds.

use std::collections::VecDeque;

/// Counts plaintext as it is sealed and as it leaves.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Plaintext sealed, and what the carrier made of it.
    plain: u64,
    sealed: u64,
    /// Plaintext that has left, and what the carrier had made of it.
    left: u64,
    left_sealed: u64,
    /// Sealed bytes that have left.
    gone: u64,
    /// From this position on the peer hears nothing.
    unheard: Option<u64>,
    /// After each sealing that has not left: plaintext and sealed bytes.
    marks: VecDeque<(u64, u64)>,
}

impl Output {
    /// Where the plaintext ends that has been sealed.
    pub(super) fn plain(&self) -> u64 {
        self.plain
    }

    /// Whether everything up to this position has left.
    pub(super) fn has_left(&self, position: u64) -> bool {
        position <= self.left
    }

    /// Whether the peer may have what is at this position: part of what it was sealed with has left.
    pub(super) fn touched(&self, position: u64) -> bool {
        if self.unheard.is_some_and(|from| position >= from) {
            return false;
        }
        let before = self.marks.iter().take_while(|(plain, _)| *plain <= position).last();
        let begins = before.map_or(self.left_sealed, |(_, sealed)| *sealed);
        position < self.left || (position < self.plain && self.gone > begins)
    }

    /// The peer has ended the connection: what is sealed from here on it never looks at.
    pub(super) fn unheard(&mut self) {
        self.unheard.get_or_insert(self.plain);
    }

    /// So much plaintext was sealed, which made the carrier's queue grow by so many bytes.
    pub(super) fn sealed(&mut self, plain: usize, growth: usize) {
        self.plain += plain as u64;
        self.sealed += growth as u64;
        self.marks.push_back((self.plain, self.sealed));
    }

    /// The carrier's queue is this long now.
    pub(super) fn queued(&mut self, queue: usize) {
        let gone = self.sealed.saturating_sub(queue as u64);
        self.gone = self.gone.max(gone);
        while let Some((plain, sealed)) = self.marks.pop_front_if(|(_, sealed)| *sealed <= gone) {
            (self.left, self.left_sealed) = (plain, sealed);
        }
        if self.marks.is_empty() && self.marks.capacity() > 8 {
            self.marks = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_left_with_the_seal_that_holds_it() {
        let mut output = Output::default();
        output.sealed(100, 122);
        output.sealed(50, 72);
        assert_eq!(output.plain(), 150);
        output.queued(194);
        assert!(!output.has_left(1) && output.has_left(0));
        output.queued(73);
        assert!(!output.has_left(100));
        output.queued(72);
        assert!(output.has_left(100) && !output.has_left(101));
        output.queued(0);
        assert!(output.has_left(150));
    }

    #[test]
    fn a_position_is_touched_with_the_first_byte_of_its_seal() {
        let mut output = Output::default();
        assert!(!output.touched(0), "not even sealed");
        output.sealed(100, 122);
        output.sealed(50, 72);
        output.queued(194);
        assert!(!output.touched(0));
        output.queued(193);
        assert!(output.touched(0) && output.touched(99) && !output.touched(100));
        output.queued(72);
        assert!(output.touched(99) && !output.touched(100));
        output.queued(71);
        assert!(output.touched(100) && output.touched(149) && !output.touched(150));
        output.unheard();
        output.sealed(10, 32);
        output.queued(0);
        assert!(output.touched(149) && !output.touched(150));
    }
}
