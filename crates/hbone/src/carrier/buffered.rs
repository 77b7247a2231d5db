//! Any byte stream as a carrier.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Carrier, Received};

/// Bytes read at a time.
const SCRATCH: usize = 256 * 1024;
/// A queue that has been sent keeps no more room than this.
const KEPT: usize = 4 * 1024;

thread_local! {
    /// The worker's read buffer; taken while in use.
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A byte stream with a queue for what it does not take at once. Everything passes as it is.
#[derive(Debug)]
pub struct Buffered<IO> {
    io: IO,
    queue: Vec<u8>,
    sent: usize,
    unflushed: bool,
}

impl<IO> Buffered<IO> {
    /// Over this stream.
    pub fn new(io: IO) -> Self {
        Self { io, queue: Vec::new(), sent: 0, unflushed: false }
    }
}

impl<IO: AsyncWrite + Unpin> Buffered<IO> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.queue.len() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.queue[self.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        self.sent = 0;
        self.queue.clear();
        if self.queue.capacity() > KEPT {
            self.queue = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Carrier for Buffered<IO> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        deliver: &mut dyn FnMut(&[&[u8]]),
    ) -> Poll<io::Result<Received>> {
        let mut scratch = SPARE.try_with(RefCell::take).unwrap_or_default();
        scratch.resize(SCRATCH, 0);
        let mut space = ReadBuf::new(&mut scratch);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut space).map_ok(|()| {
            let bytes = space.filled();
            if bytes.is_empty() {
                return Received::End;
            }
            deliver(&[bytes]);
            Received::Bytes(bytes.len())
        });
        // Fails only while the thread ends.
        let _ = SPARE.try_with(|spare| spare.replace(scratch));
        read
    }

    fn seal(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        if self.sent > 0 {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
        self.unflushed = true;
        self.queue.reserve(pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            self.queue.extend_from_slice(piece);
        }
        Ok(())
    }

    fn queued(&self) -> usize {
        self.queue.len() - self.sent
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(self.poll_drain(cx))?;
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// As if unbuffered: for whoever wants the stream itself.
impl<IO: AsyncRead + Unpin> AsyncRead for Buffered<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, space)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Buffered<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
