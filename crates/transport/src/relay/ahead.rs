//! A stream that is read ahead of its relay: what was read is kept, and the relay reads it first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::buffers::{Lease, Size};
use super::{Abort, Outlet};
use crate::socket::Tap;

/// A stream with what was read ahead from it. Read, it gives that first, then the end or the failure that was met, then
/// what the stream itself has. In every other way it is the stream. Nothing is allocated until a byte is read ahead.
#[derive(Debug)]
pub struct Ahead<S> {
    stream: S,
    held: Vec<u8>,
    met: Option<Met>,
}

/// What reading ahead met behind the held bytes.
#[derive(Debug)]
enum Met {
    End,
    Failure(io::Error),
}

impl<S> Ahead<S> {
    /// Of which nothing has been read.
    pub fn new(stream: S) -> Self {
        Self { stream, held: Vec::new(), met: None }
    }

    /// What was read ahead and is still to be read.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Whether the stream ends behind the held bytes.
    pub fn ends(&self) -> bool {
        matches!(self.met, Some(Met::End))
    }

    /// Whether reading ahead met a failure: there will be no more than what is held.
    pub fn failed(&self) -> bool {
        matches!(self.met, Some(Met::Failure(_)))
    }

    /// Forgets the first `count` held bytes: they have gone where they were to go.
    pub fn skip(&mut self, count: usize) {
        if count >= self.held.len() {
            self.held = Vec::new();
        } else {
            self.held.drain(..count);
        }
    }
}

impl<S: AsyncRead + Unpin> Ahead<S> {
    /// Reads once, as long as fewer than `most` bytes are held: at most 16 KiB. Ready when there is something new, an end
    /// included; with enough in hand, or after a failure, it never is.
    pub fn poll_more(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        let room = most.saturating_sub(self.held.len());
        if room == 0 || self.met.is_some() {
            return Poll::Pending;
        }
        let mut lease = Lease::take(Size::Small);
        let space = lease.space();
        let room = room.min(space.len());
        let mut space = ReadBuf::new(&mut space[..room]);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space)) {
            Ok(()) if space.filled().is_empty() => self.met = Some(Met::End),
            Ok(()) => self.held.extend_from_slice(space.filled()),
            Err(error) => {
                self.met = Some(Met::Failure(error));
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.held.is_empty() {
            let count = this.held.len().min(space.remaining());
            space.put_slice(&this.held[..count]);
            this.skip(count);
            return Poll::Ready(Ok(()));
        }
        match this.met.take() {
            None => Pin::new(&mut this.stream).poll_read(cx, space),
            Some(Met::End) => {
                this.met = Some(Met::End);
                Poll::Ready(Ok(()))
            }
            Some(Met::Failure(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: Abort> Abort for Ahead<S> {
    fn abort(&mut self) {
        self.stream.abort();
    }

    fn unsent(&self) -> bool {
        self.stream.unsent()
    }

    /// None while something is held: the kernel knows nothing of it.
    fn socket(&self) -> Option<&TcpStream> {
        if self.held.is_empty() && self.met.is_none() { self.stream.socket() } else { None }
    }

    fn tap(&self) -> Option<Tap> {
        self.stream.tap()
    }

    fn pushes(&self) -> bool {
        self.stream.pushes()
    }

    /// It pushes only to who waits for the stream itself, and so has read all that was held.
    fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        self.stream.push_into(outlet);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    struct Failing;

    impl AsyncRead for Failing {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _space: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }

    async fn more<S: AsyncRead + Unpin>(ahead: &mut Ahead<S>, most: usize) -> bool {
        poll_fn(|cx| Poll::Ready(ahead.poll_more(cx, most).is_ready())).await
    }

    #[tokio::test]
    async fn what_was_held_is_read_first_and_nothing_twice() {
        let (mut near, far) = duplex(100);
        let mut ahead = Ahead::new(far);
        assert!(!more(&mut ahead, 8).await, "there is nothing yet");
        near.write_all(b"first and more").await.unwrap();
        assert!(more(&mut ahead, 8).await);
        assert!(!more(&mut ahead, 8).await, "that was enough");
        assert_eq!(ahead.held(), b"first an");
        ahead.skip(2);
        near.shutdown().await.unwrap();
        let mut rest = Vec::new();
        ahead.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"rst and more");
    }

    #[tokio::test]
    async fn an_end_that_was_met_stays_behind_the_bytes() {
        let (mut near, far) = duplex(100);
        let mut ahead = Ahead::new(far);
        near.write_all(b"all").await.unwrap();
        near.shutdown().await.unwrap();
        assert!(more(&mut ahead, 8).await && more(&mut ahead, 8).await);
        assert!(ahead.ends() && !more(&mut ahead, 8).await);
        let mut rest = Vec::new();
        ahead.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"all");
        assert_eq!(ahead.read(&mut [0; 1]).await.unwrap(), 0, "the end stays the end");
    }

    #[tokio::test]
    async fn a_failure_that_was_met_comes_behind_the_bytes() {
        let mut ahead = Ahead::new((&b"last words"[..]).chain(Failing));
        assert!(more(&mut ahead, 100).await);
        assert!(!more(&mut ahead, 100).await && !ahead.ends());
        let mut words = [0; 10];
        ahead.read_exact(&mut words).await.unwrap();
        assert_eq!(&words, b"last words");
        let error = ahead.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
