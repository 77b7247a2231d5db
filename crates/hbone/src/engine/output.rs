//! How far what was written has left: positions in a tunnel's plaintext, matched with what its carrier still holds.

use std::collections::VecDeque;

/// Counts plaintext as it is sealed and as it leaves.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Plaintext sealed, and what the carrier made of it.
    plain: u64,
    sealed: u64,
    /// Plaintext that has left.
    left: u64,
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

    /// So much plaintext was sealed, which made the carrier's queue grow by so many bytes.
    pub(super) fn sealed(&mut self, plain: usize, growth: usize) {
        self.plain += plain as u64;
        self.sealed += growth as u64;
        self.marks.push_back((self.plain, self.sealed));
    }

    /// The carrier's queue is this long now.
    pub(super) fn queued(&mut self, queue: usize) {
        let gone = self.sealed.saturating_sub(queue as u64);
        while let Some((plain, _)) = self.marks.pop_front_if(|(_, sealed)| *sealed <= gone) {
            self.left = plain;
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
}
