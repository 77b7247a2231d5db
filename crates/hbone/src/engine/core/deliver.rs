//! Where received bytes go: straight into the receiver's socket if it waits for them there, else into the stream's queue.

use std::io::IoSlice;
use std::task::Waker;

use smallvec::SmallVec;

use super::Locals;

/// Slices that are written at once, at most.
const RUN: usize = 64;

/// Consecutive bytes of one stream in a carrier's buffer.
#[derive(Default)]
pub(super) struct Run<'a> {
    stream: u32,
    slices: SmallVec<[IoSlice<'a>; 16]>,
}

/// What became of the bytes of one read.
#[derive(Default)]
pub(super) struct Delivered {
    /// By stream: bytes that are gone from here already.
    pub(super) consumed: SmallVec<[(u32, usize); 4]>,
    /// Bytes that nobody wants.
    pub(super) lost: usize,
}

impl<'a> Run<'a> {
    pub(super) fn push(
        &mut self,
        stream: u32,
        bytes: &'a [u8],
        locals: &mut Locals,
        delivered: &mut Delivered,
        wakers: &mut Vec<Waker>,
    ) {
        if stream != self.stream || self.slices.len() == RUN {
            self.finish(locals, delivered, wakers);
            self.stream = stream;
        }
        self.slices.push(IoSlice::new(bytes));
    }

    /// Brings the run to its stream.
    pub(super) fn finish(&mut self, locals: &mut Locals, delivered: &mut Delivered, wakers: &mut Vec<Waker>) {
        if self.slices.is_empty() {
            return;
        }
        match locals.get_mut(&self.stream) {
            None => delivered.lost += self.slices.iter().map(|slice| slice.len()).sum::<usize>(),
            Some(local) => {
                let mut gone = local.push(&self.slices);
                if gone > 0 {
                    delivered.consumed.push((self.stream, gone));
                }
                for slice in &self.slices {
                    let skip = gone.min(slice.len());
                    gone -= skip;
                    local.queue.extend_from_slice(&slice[skip..]);
                }
                if !local.queue.is_empty() {
                    wakers.extend(local.reader());
                }
            }
        }
        self.slices.clear();
    }
}
