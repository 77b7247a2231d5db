//! Our own record layer: records are opened in place in the worker's scratch buffer, and sealed into a queue that is
//! written many at a time. rustls does the handshake and keeps the key schedule (docs/decisions/0007).

mod alert;
mod fault;
mod handshake;
mod header;
mod keys;
mod messages;
mod queue;
mod records;
mod session;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scratch::Scratch;
use super::stream::{Negotiated, Received};
use records::{Opened, Records};

pub(super) use handshake::{Established, accept, connect};

/// Most bytes that the byte-stream interface queues for a slow peer; [`Own::seal`] has no limit.
const SEND_LIMIT: usize = 256 * 1024;

/// A connection whose records we make and read.
pub(super) struct Own<IO> {
    io: IO,
    records: Records,
    /// The beginning of a record that has not come whole; at first, whatever came behind the handshake.
    partial: Vec<u8>,
    /// Whether `partial` may hold whole records.
    unopened: bool,
    /// The stream below ended without `close_notify`.
    cut: bool,
    /// Plaintext that a reader of the byte stream had no room for.
    plain: BytesMut,
    negotiated: Negotiated,
}

impl<IO> Own<IO> {
    pub(super) fn new(io: IO, mut established: Established) -> Result<Self, Error> {
        let partial = std::mem::take(&mut established.behind);
        let negotiated = established.negotiated;
        let records = Records::new(established)?;
        let unopened = !partial.is_empty();
        Ok(Self { io, records, partial, unopened, cut: false, plain: BytesMut::new(), negotiated })
    }

    pub(super) fn io(&self) -> &IO {
        &self.io
    }

    pub(super) fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    #[cfg(test)]
    pub(super) fn update_key(&mut self, request: bool) -> Result<(), Error> {
        self.records.update_key(request)
    }

    pub(super) fn seal(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.records.seal(pieces).map_err(invalid)
    }

    pub(super) fn queued(&self) -> usize {
        self.records.queue.bytes()
    }

    /// Opens what `bytes` hold and keeps the beginning of the record that is not whole.
    fn open(&mut self, bytes: &mut [u8], deliver: &mut dyn FnMut(&[&[u8]])) -> Result<usize, Error> {
        self.unopened = false;
        let Opened { consumed, delivered } = self.records.open(bytes, deliver)?;
        self.partial.clear();
        match bytes.get(consumed..) {
            None | Some([]) => self.partial = Vec::new(),
            Some(rest) => self.partial.extend_from_slice(rest),
        }
        Ok(delivered)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Own<IO> {
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        deliver: &mut dyn FnMut(&[&[u8]]),
    ) -> Poll<io::Result<Received>> {
        if self.records.ended().map_err(invalid)? {
            return Poll::Ready(Ok(Received::End));
        }
        if self.cut {
            return Poll::Ready(Err(cut_off()));
        }
        if self.unopened {
            let mut behind = std::mem::take(&mut self.partial);
            let delivered = self.open(&mut behind, deliver);
            if let Ok(0) = delivered
                && self.records.ended() == Ok(false)
            {
                // Nothing for the caller yet: what is missing must be read.
            } else {
                return Poll::Ready(self.received(cx, delivered));
            }
        }
        let mut scratch = Scratch::borrow();
        let space = scratch.bytes();
        let kept = self.partial.len();
        let mut room = ReadBuf::new(&mut space[kept..]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        if read == 0 {
            self.cut = true;
            self.records.stop_opening();
            return Poll::Ready(Err(cut_off()));
        }
        space[..kept].copy_from_slice(&self.partial);
        let delivered = self.open(&mut space[..kept + read], deliver);
        Poll::Ready(self.received(cx, delivered))
    }

    fn received(&mut self, cx: &mut Context<'_>, delivered: Result<usize, Error>) -> io::Result<Received> {
        match delivered {
            Ok(0) if self.records.ended() == Ok(true) => Ok(Received::End),
            Ok(delivered) => Ok(Received::Bytes(delivered)),
            Err(error) => {
                self.partial = Vec::new();
                // The alert goes out if the stream takes it at once: nobody waits for it.
                let _sent = self.records.queue.poll_write(&mut self.io, cx);
                Err(invalid(error))
            }
        }
    }

    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.records.queue.poll_write(&mut self.io, cx))?;
        self.records.ended().map_err(invalid)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A connection that is dead ends without further words.
        let _told = self.records.close();
        ready!(self.records.queue.poll_write(&mut self.io, cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// The byte stream's read: what there is room for, and the rest the next time.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        while self.plain.is_empty() && into.filled().len() == before {
            let mut plain = std::mem::take(&mut self.plain);
            let received = self.poll_receive(cx, &mut |pieces| {
                for piece in pieces {
                    let (now, later) = piece.split_at(piece.len().min(into.remaining()));
                    into.put_slice(now);
                    plain.extend_from_slice(later);
                }
            });
            self.plain = plain;
            match ready!(received) {
                Ok(Received::Bytes(_)) => {}
                Ok(Received::End) => return Poll::Ready(Ok(())),
                // It is reported again when what came before it has been read.
                Err(_) if into.filled().len() > before => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let count = self.plain.len().min(into.remaining());
        into.put_slice(&self.plain[..count]);
        self.plain.advance(count);
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// The byte stream's write: sealed and, as far as the stream below takes it, sent.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[&[u8]]) -> Poll<io::Result<usize>> {
        if self.queued() > 0 {
            let sent = self.records.queue.poll_write(&mut self.io, cx)?;
            if sent.is_pending() && self.queued() >= SEND_LIMIT {
                return Poll::Pending;
            }
        }
        let mut room = SEND_LIMIT.saturating_sub(self.queued()).max(1);
        let mut taken = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let now = &piece[..piece.len().min(room)];
            room -= now.len();
            taken.push(now);
            if room == 0 {
                break;
            }
        }
        self.seal(&taken)?;
        if let Poll::Ready(Err(error)) = self.records.queue.poll_write(&mut self.io, cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken.iter().map(|piece| piece.len()).sum()))
    }
}

/// As tokio-rustls reports it; a dead connection reports it each time.
fn invalid(error: Error) -> io::Error {
    match error {
        // The writing end was closed.
        Error::EncryptError => io::ErrorKind::BrokenPipe.into(),
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection without TLS close_notify")
}
