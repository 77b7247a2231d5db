//! One large buffer for each worker thread, lent to whichever connection reads: an idle connection owns none.

use std::cell::Cell;
use std::fmt;

/// Most bytes that one read takes from a connection: 16 full records.
pub(super) const SCRATCH: usize = 256 * 1024;

thread_local! {
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// [`SCRATCH`] bytes of this thread, given back when dropped. A second loan while the first is out is a buffer of its
/// own. What an earlier borrower left in it is still there: only what was written since may be looked at.
pub(super) struct Scratch(Box<[u8]>);

impl Scratch {
    pub(super) fn borrow() -> Self {
        // `try_with`: a connection that is dropped while its thread ends must not panic.
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        Self(spare.unwrap_or_else(|| vec![0; SCRATCH].into_boxed_slice()))
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        let _thread_ends = SPARE.try_with(|spare| spare.set(Some(bytes)));
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_memory_is_lent_again_and_again() {
        let first = Scratch::borrow().bytes().as_ptr();
        assert_eq!(Scratch::borrow().bytes().as_ptr(), first);
        let mut outer = Scratch::borrow();
        let mut inner = Scratch::borrow();
        assert_ne!(outer.bytes().as_ptr(), inner.bytes().as_ptr());
        assert_eq!((outer.bytes().len(), inner.bytes().len()), (SCRATCH, SCRATCH));
    }
}
