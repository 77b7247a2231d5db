//! Reads the socket in large pieces below TLS, which by itself would read 4 KiB at a time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// What an idle or chatty connection costs.
const SMALLEST: usize = 4 * 1024;
/// Enough to carry whole 16 KiB records in few system calls.
const LARGEST: usize = 64 * 1024;
/// Reads in a row that would have fit a quarter of the buffer, before it shrinks.
const PATIENCE: u8 = 8;

/// A stream with a read buffer of 4 to 64 KiB that follows the traffic: it grows when the socket fills it, and shrinks
/// when it stays mostly empty. Writes pass through.
#[derive(Debug)]
pub(crate) struct ReadAhead<IO> {
    io: IO,
    buffer: BytesMut,
    /// What `buffer` was allocated with; 0 when it holds no memory.
    allocated: usize,
    target: usize,
    small_reads: u8,
}

impl<IO> ReadAhead<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self { io, buffer: BytesMut::new(), allocated: 0, target: SMALLEST, small_reads: 0 }
    }

    pub(crate) fn io(&self) -> &IO {
        &self.io
    }

    /// Chooses the next read's size from this one's.
    fn adapt(&mut self, read: usize) {
        if read >= self.target {
            self.target = (self.target * 4).min(LARGEST);
            self.small_reads = 0;
        } else if read <= self.target / 4 {
            self.small_reads = self.small_reads.saturating_add(1);
            if self.small_reads >= PATIENCE {
                self.target = (self.target / 4).max(SMALLEST);
                self.small_reads = 0;
            }
        } else {
            self.small_reads = 0;
        }
    }
}

impl<IO: AsyncRead + Unpin> ReadAhead<IO> {
    /// One read of the socket into the empty buffer; zero bytes mean its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.allocated == self.target {
            // Empty, so this reclaims the same memory.
            self.buffer.reserve(self.target);
        } else {
            self.buffer = BytesMut::with_capacity(self.target);
            self.allocated = self.target;
        }
        let outcome = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.buffer);
        match &outcome {
            Poll::Ready(Ok(read)) => self.adapt(*read),
            // Nothing to read: an idle connection keeps no large buffer.
            Poll::Pending if self.allocated > SMALLEST => {
                self.buffer = BytesMut::new();
                self.allocated = 0;
            }
            _ => {}
        }
        outcome
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ReadAhead<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.buffer.is_empty() && ready!(this.poll_fill(cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let amount = this.buffer.len().min(into.remaining());
        into.put_slice(&this.buffer[..amount]);
        this.buffer.advance(amount);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ReadAhead<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
