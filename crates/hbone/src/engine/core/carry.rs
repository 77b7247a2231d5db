//! A stream's bytes in and out of the tunnel.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ambit_transport::relay::Outlet;
use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use tokio::io::ReadBuf;

use super::super::frame::{Code, HEAD};
use super::super::machine::Room;
use super::{Core, Failure, Inner, Line, empty};

/// Writes from here on are sealed at once from where they are; smaller ones gather.
const LARGE: usize = 16 * 1024;

impl<C: Line + ?Sized> Core<C> {
    /// Copies what there is into `space`. Nothing copied is the end.
    pub(in crate::engine) fn poll_read(
        &self,
        cx: &Context<'_>,
        stream: u32,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner.lock();
        let Some(local) = inner.locals.get_mut(&stream) else { return Poll::Ready(Err(gone())) };
        let count = local.queue.len().min(space.remaining());
        if count == 0 {
            return inner.poll_end(cx, stream);
        }
        space.put_slice(&local.queue[..count]);
        local.queue.advance(count);
        local.trim();
        inner.consumed(stream, count);
        Poll::Ready(Ok(()))
    }

    /// All there is, without a copy; `None` at the end.
    pub(in crate::engine) fn poll_chunk(
        &self,
        cx: &Context<'_>,
        stream: u32,
    ) -> Poll<io::Result<Option<Bytes>>> {
        let mut inner = self.inner.lock();
        let Some(local) = inner.locals.get_mut(&stream) else { return Poll::Ready(Err(gone())) };
        if local.queue.is_empty() {
            return inner.poll_end(cx, stream).map_ok(|()| None);
        }
        let chunk = std::mem::take(&mut local.queue).freeze();
        inner.consumed(stream, chunk.len());
        Poll::Ready(Ok(Some(chunk)))
    }

    /// From here on received bytes may go into the outlet.
    pub(in crate::engine) fn push_into(&self, stream: u32, outlet: Arc<dyn Outlet>) {
        if let Some(local) = self.inner.lock().locals.get_mut(&stream) {
            local.outlet = Some(outlet);
            // Who waited before may have taken bytes that are not in the outlet yet.
            drop(local.reader());
        }
    }

    /// Takes what the windows and the backlog allow, at least one byte.
    pub(in crate::engine) fn poll_write(
        &self,
        cx: &Context<'_>,
        stream: u32,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner.lock();
        if let Some(error) = inner.write_error(stream) {
            return Poll::Ready(Err(error));
        }
        let Some(room) = inner.machine.room(stream) else { return Poll::Ready(Err(broken())) };
        let full = inner.backlog() >= inner.high;
        let count = room.bytes.min(bytes.len()).min(inner.high.max(1));
        if full || count == 0 {
            inner.wait_for_room(cx, stream, full || room.stream);
            return Poll::Pending;
        }
        inner.note_first(stream);
        let written = if count >= LARGE {
            inner.write_through(stream, &bytes[..count], room)
        } else {
            inner.gather(stream, &bytes[..count], room);
            Ok(())
        };
        if let Err(error) = written {
            return Poll::Ready(Err(inner.broken_by(error)));
        }
        let last = inner.position();
        if let Some(local) = inner.locals.get_mut(&stream) {
            local.last = last;
        }
        Poll::Ready(Ok(count))
    }

    /// Ends this end's direction.
    pub(in crate::engine) fn end(&self, stream: u32) -> io::Result<()> {
        let mut inner = self.inner.lock();
        match inner.write_error(stream) {
            // A peer that wanted no more bytes needs no end of them.
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Some(error) => return Err(error),
            None => {}
        }
        inner.note_first(stream);
        inner.machine.end(stream);
        let last = inner.position();
        if let Some(local) = inner.locals.get_mut(&stream) {
            local.last = last;
        }
        inner.wake();
        Ok(())
    }

    /// Resets the stream, unless it is closed, and drops what is unread.
    pub(in crate::engine) fn reset(&self, stream: u32, code: Code) {
        let mut inner = self.inner.lock();
        inner.machine.reset(stream, code);
        if let Some(local) = inner.locals.get_mut(&stream) {
            let unread = std::mem::take(&mut local.queue).len();
            inner.machine.discard(unread);
        }
        inner.wake();
    }

    /// The stream's handle is gone: so is everything of it.
    pub(in crate::engine) fn leave(&self, stream: u32) {
        let mut inner = self.inner.lock();
        inner.machine.reset(stream, Code::CANCEL);
        inner.forget(stream);
        inner.wake();
    }

    /// Whether something that this stream wrote has not left.
    pub(in crate::engine) fn unsent(&self, stream: u32) -> bool {
        let inner = self.inner.lock();
        inner.failure.is_none()
            && inner.locals.get(&stream).is_some_and(|local| !inner.output.has_left(local.last))
    }

    /// Whether the peer has reset the stream.
    pub(in crate::engine) fn is_reset(&self, stream: u32) -> bool {
        let inner = self.inner.lock();
        inner.failure.is_some() || inner.locals.get(&stream).is_some_and(|local| local.reset.is_some())
    }
}

impl<C: Line + ?Sized> Inner<C> {
    /// Nothing is queued: an end, a failure, or more to come.
    fn poll_end(&mut self, cx: &Context<'_>, stream: u32) -> Poll<io::Result<()>> {
        let failure = self.failure.as_ref().map(Failure::lost);
        let Some(local) = self.locals.get_mut(&stream) else { return Poll::Ready(Err(gone())) };
        if local.complete() {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = local.read_error().or(failure) {
            return Poll::Ready(Err(error));
        }
        local.wait_to_read(cx);
        Poll::Pending
    }

    fn note_first(&mut self, stream: u32) {
        let next = self.position();
        if let Some(local) = self.locals.get_mut(&stream) {
            local.first.get_or_insert(next);
        }
    }

    fn consumed(&mut self, stream: u32, bytes: usize) {
        if self.machine.consumed(stream, bytes) {
            self.wake();
        }
    }

    /// Drops a stream's part; what it had not read counts as read.
    pub(super) fn forget(&mut self, stream: u32) {
        if let Some(local) = self.locals.remove(&stream) {
            self.machine.discard(local.queue.len());
        }
        if self.locals.is_empty() && self.locals.capacity() > 16 {
            self.locals = std::collections::HashMap::default();
        }
    }

    fn write_error(&self, stream: u32) -> Option<io::Error> {
        let local = self.locals.get(&stream)?;
        local.write_error().or_else(|| self.failure.as_ref().map(Failure::lost))
    }

    /// A writer waits for its own window, and for the connection too if `connection`.
    fn wait_for_room(&mut self, cx: &Context<'_>, stream: u32, connection: bool) {
        if let Some(local) = self.locals.get_mut(&stream) {
            local.wait_to_write(cx);
            if connection && !local.queued {
                local.queued = true;
                self.waiting.push(stream);
            }
        }
    }

    /// Appends DATA to the output that leaves with the driver's turn.
    fn gather(&mut self, stream: u32, bytes: &[u8], room: Room) {
        for piece in bytes.chunks(room.frame) {
            let head = self.machine.data(stream, piece.len());
            let out = self.machine.output();
            out.extend_from_slice(&head);
            out.extend_from_slice(piece);
        }
        self.wake();
    }

    /// Seals the gathered output and these bytes from where they are, and sends.
    fn write_through(&mut self, stream: u32, bytes: &[u8], room: Room) -> io::Result<()> {
        let heads: SmallVec<[[u8; HEAD]; 16]> =
            bytes.chunks(room.frame).map(|piece| self.machine.data(stream, piece.len())).collect();
        let Self { machine, carrier, output, driver, .. } = self;
        let out = machine.output();
        let mut pieces: SmallVec<[&[u8]; 32]> = SmallVec::new();
        if !out.is_empty() {
            pieces.push(out);
        }
        for (head, piece) in heads.iter().zip(bytes.chunks(room.frame)) {
            pieces.push(head);
            pieces.push(piece);
        }
        let plain = pieces.iter().map(|piece| piece.len()).sum();
        let before = carrier.queued();
        carrier.seal(&pieces)?;
        output.sealed(plain, carrier.queued().saturating_sub(before));
        drop(pieces);
        empty(out);
        // The driver hears when the rest can be sent; before its first turn it has heard nothing yet.
        let waker = driver.as_ref().map_or(Waker::noop().clone(), Waker::clone);
        match self.send(&mut Context::from_waker(&waker)) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// The connection broke under a write; the driver tells everybody else.
    fn broken_by(&mut self, error: io::Error) -> io::Error {
        let failure = Failure::Io(Arc::new(error));
        let lost = failure.lost();
        self.failure.get_or_insert(failure);
        self.phase = super::Phase::Closed;
        self.wake();
        lost
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
