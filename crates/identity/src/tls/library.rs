//! The record layer of rustls and tokio-rustls: the fallback, and the oracle of ours.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ReadAhead;
use super::scratch::{SCRATCH, Scratch};
use super::stream::Received;

/// Most encrypted bytes queued for a slow peer; one write call then carries up to 16 full records.
const SEND_LIMIT: usize = 256 * 1024;

/// A connection whose records rustls makes and reads.
pub(super) struct Library<IO> {
    pub(super) stream: tokio_rustls::TlsStream<ReadAhead<IO>>,
    /// What was sealed since everything was last sent.
    queued: usize,
    /// What went wrong after bytes that still had to be delivered.
    failure: Option<io::Error>,
}

impl<IO> Library<IO> {
    pub(super) fn new(stream: tokio_rustls::TlsStream<ReadAhead<IO>>) -> Self {
        let mut library = Self { stream, queued: 0, failure: None };
        library.limit(Some(SEND_LIMIT));
        library
    }

    fn limit(&mut self, limit: Option<usize>) {
        match &mut self.stream {
            tokio_rustls::TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(limit),
            tokio_rustls::TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(limit),
        }
    }

    pub(super) fn seal(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        // What is sealed is queued whole; how much, the caller limits.
        self.limit(None);
        let pieces: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let written = match &mut self.stream {
            tokio_rustls::TlsStream::Client(stream) => stream.get_mut().1.writer().write_vectored(&pieces),
            tokio_rustls::TlsStream::Server(stream) => stream.get_mut().1.writer().write_vectored(&pieces),
        };
        self.limit(Some(SEND_LIMIT));
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        if written? != total {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.queued += total;
        Ok(())
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Library<IO> {
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        deliver: &mut dyn FnMut(&[&[u8]]),
    ) -> Poll<io::Result<Received>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        let mut scratch = Scratch::borrow();
        let mut total = 0;
        while total < SCRATCH {
            let mut piece = ReadBuf::new(&mut scratch.bytes()[total..]);
            match Pin::new(&mut self.stream).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if piece.filled().is_empty() && total == 0 => {
                    return Poll::Ready(Ok(Received::End));
                }
                Poll::Ready(Ok(())) if piece.filled().is_empty() => break,
                Poll::Ready(Ok(())) => total += piece.filled().len(),
                Poll::Ready(Err(error)) if total == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(error)) => {
                    self.failure = Some(error);
                    break;
                }
                Poll::Pending if total == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if let Some(plain @ [_, ..]) = scratch.bytes().get(..total) {
            deliver(&[plain]);
        }
        Poll::Ready(Ok(Received::Bytes(total)))
    }

    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.queued = 0;
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
