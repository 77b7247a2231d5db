//! A carried connection over a stream of the library.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ambit_transport::Abort;
use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::activity::Place;

/// Bytes copied at a time by a write: four TLS records, and an allocation that stays below malloc's mmap threshold.
const PIECE: usize = 64 * 1024;

/// Bytes on their way out. As long as one exists, the stream has something unsent.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Bytes,
    place: Arc<Place>,
}

impl Payload {
    fn new(bytes: Bytes, place: &Arc<Place>) -> Self {
        place.queue_piece();
        Self { bytes, place: Arc::clone(place) }
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.place.release_piece();
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }
    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }
    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// See [`crate::Stream`].
#[derive(Debug)]
pub(crate) struct Stream {
    // Dropped first: the connection wakes up when the rest goes, and must then see the place free.
    place: Arc<Place>,
    send: SendStream<Payload>,
    receive: RecvStream,
    /// Received and not yet consumed.
    chunk: Bytes,
    ended: bool,
    shut: bool,
    aborted: bool,
}

impl Stream {
    pub(crate) fn new(place: Arc<Place>, send: SendStream<Payload>, receive: RecvStream) -> Self {
        Self { place, send, receive, chunk: Bytes::new(), ended: false, shut: false, aborted: false }
    }

    /// The number of the stream in its connection, for logs.
    pub(crate) fn id(&self) -> u32 {
        self.send.stream_id().as_u32()
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        ready!(self.poll_fill(cx))?;
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.is_empty() {
            return Poll::Ready(Ok(None));
        }
        self.release(chunk.len());
        Poll::Ready(Ok(Some(chunk)))
    }

    /// Room for the next write: how many of `wanted` bytes the windows and the send buffer take now, at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.aborted || self.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let wanted = wanted.max(1);
        self.send.reserve_capacity(wanted);
        // The library announces only growth: what is there already must be looked at first.
        let room = match self.send.capacity() {
            0 => match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Poll::Ready(Err(write_error(error))),
                None => return Poll::Ready(Err(self.why_closed(cx))),
            },
            room => room,
        };
        Poll::Ready(Ok(room.min(wanted)))
    }

    /// Queues bytes without a copy; at most as many as [`Self::poll_room`] allowed, or they wait here unbounded.
    fn send_chunk(&mut self, bytes: Bytes) -> io::Result<()> {
        if self.aborted || self.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let payload = Payload::new(bytes, &self.place);
        self.send
            .send_data(payload, false)
            .map_err(|_| self.why_closed(&mut Context::from_waker(std::task::Waker::noop())))
    }

    /// Resets the stream now (RST_STREAM CANCEL). What was written and has not left yet is discarded.
    pub(crate) fn abort(&mut self) {
        if !self.aborted {
            self.aborted = true;
            self.chunk = Bytes::new();
            self.send.send_reset(Reason::CANCEL);
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() && !self.ended {
            if self.aborted {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) if is_complete(&error) => self.ended = true,
                Some(Err(error)) => return Poll::Ready(Err(read_error(error))),
                None => self.ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn release(&mut self, bytes: usize) {
        // Fails only for bytes that were never received.
        let _ = self.receive.flow_control().release_capacity(bytes);
    }

    /// What a write fails with once the stream takes no more.
    fn why_closed(&mut self, cx: &mut Context<'_>) -> io::Error {
        match self.send.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => reset(reason),
            Poll::Ready(Err(error)) => write_error(error),
            Poll::Pending => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

/// The peer has said all it had to say and wants no more from us (RFC 9113 section 8.1): an end, not a failure.
fn is_complete(error: &h2::Error) -> bool {
    error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}

fn reset(reason: Reason) -> io::Error {
    let kind =
        if reason == Reason::NO_ERROR { io::ErrorKind::BrokenPipe } else { io::ErrorKind::ConnectionReset };
    io::Error::new(kind, format!("the peer reset the tunnelled stream ({reason})"))
}

fn read_error(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(reason) if error.is_reset() => reset(reason),
        Some(reason) => lost(format!("the tunnel was closed ({reason})")),
        None => match error.into_io() {
            Some(error) => lost(format!("the tunnel was lost ({error})")),
            None => io::ErrorKind::ConnectionAborted.into(),
        },
    }
}

fn lost(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, message)
}

fn write_error(error: h2::Error) -> io::Error {
    read_error(error)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if space.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut consumed = 0;
        // Small frames are gathered, so that one read makes one write further on.
        loop {
            match this.poll_fill(cx) {
                Poll::Ready(Ok(())) => {}
                // Shown by the next read, after what came before it.
                Poll::Ready(Err(_)) | Poll::Pending if consumed > 0 => break,
                other => return other,
            }
            let count = this.chunk.len().min(space.remaining());
            if count == 0 {
                break;
            }
            space.put_slice(&this.chunk[..count]);
            this.chunk.advance(count);
            consumed += count;
        }
        if consumed > 0 {
            this.release(consumed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(this.poll_room(cx, bytes.len().min(PIECE)))?;
        this.send_chunk(Bytes::copy_from_slice(&bytes[..room]))?;
        Poll::Ready(Ok(room))
    }

    /// Bytes leave by themselves; nothing waits for a flush.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the writing direction (END_STREAM), behind the queued bytes. Once the reading direction has ended too, they
    /// leave even after a drop.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.aborted {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if !this.shut {
            let end = Payload::new(Bytes::new(), &this.place);
            if this.send.send_data(end, true).is_err() {
                let error = this.why_closed(cx);
                // A peer that wanted no more bytes needs no end of them.
                if error.kind() != io::ErrorKind::BrokenPipe {
                    return Poll::Ready(Err(error));
                }
            }
            this.shut = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Abort for Stream {
    fn abort(&mut self) {
        Self::abort(self);
    }

    fn unsent(&self) -> bool {
        self.place.unsent()
    }
}
