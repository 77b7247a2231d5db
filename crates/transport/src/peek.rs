//! A stream whose first bytes are looked at before anybody reads them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::relay::{Abort, Outlet};
use crate::socket::Tap;

/// A stream with what was read ahead of it. Reading it gives those bytes first.
#[derive(Debug)]
pub struct Peeked<S> {
    stream: S,
    ahead: Vec<u8>,
    /// How many of them have been read.
    taken: usize,
}

impl<S> Peeked<S> {
    /// Nothing has been looked at.
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), taken: 0 }
    }

    fn waiting(&self) -> &[u8] {
        &self.ahead[self.taken..]
    }
}

impl<S: AsyncRead + Unpin> Peeked<S> {
    /// Reads ahead until `decide` says something about the bytes so far, or until the stream ends or `most` bytes are there
    /// and it says nothing: then `None`. It is asked for the first time when there is a byte. Given up halfway it has lost
    /// nothing.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub async fn peek<T>(
        &mut self,
        most: usize,
        mut decide: impl FnMut(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        loop {
            if !self.waiting().is_empty()
                && let Some(decision) = decide(self.waiting())
            {
                return Ok(Some(decision));
            }
            if self.waiting().len() >= most {
                return Ok(None);
            }
            let room = most - self.waiting().len();
            self.ahead.reserve(room);
            if (&mut self.stream).take(room as u64).read_buf(&mut self.ahead).await? == 0 {
                return Ok(None);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waiting().is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let now = self.waiting().len().min(buffer.remaining());
        buffer.put_slice(&self.waiting()[..now]);
        self.taken += now;
        if self.waiting().is_empty() {
            (self.ahead, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Peeked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Past the relay's task go only bytes that nothing waits in front of.
impl<S: Abort> Abort for Peeked<S> {
    fn abort(&mut self) {
        self.stream.abort();
    }

    fn unsent(&self) -> bool {
        self.stream.unsent()
    }

    fn socket(&self) -> Option<&TcpStream> {
        if self.waiting().is_empty() { self.stream.socket() } else { None }
    }

    fn tap(&self) -> Option<Tap> {
        self.stream.tap()
    }

    fn pushes(&self) -> bool {
        self.waiting().is_empty() && self.stream.pushes()
    }

    fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        self.stream.push_into(outlet);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_read_again() {
        let (mut far, near) = duplex(64);
        let mut peeked = Peeked::new(near);
        far.write_all(b"GET / HTTP/1.1").await.unwrap();
        let decided = peeked.peek(64, |bytes| (bytes.len() >= 3).then(|| bytes[..3].to_vec())).await.unwrap();
        assert_eq!(decided.as_deref(), Some(&b"GET"[..]));
        drop(far);
        let mut all = String::new();
        peeked.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "GET / HTTP/1.1");
    }

    #[tokio::test]
    async fn it_ends_undecided_with_the_stream_or_the_limit() {
        let (mut far, near) = duplex(64);
        let mut peeked = Peeked::new(near);
        far.write_all(b"abcdef").await.unwrap();
        assert_eq!(peeked.peek(4, |_| None::<()>).await.unwrap(), None);
        drop(far);
        assert_eq!(peeked.peek(64, |_| None::<()>).await.unwrap(), None);
        let mut all = String::new();
        peeked.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "abcdef");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_was_given_up_has_lost_nothing() {
        let (mut far, near) = duplex(64);
        let mut peeked = Peeked::new(near);
        far.write_all(b"ab").await.unwrap();
        let wait = std::time::Duration::from_secs(1);
        tokio::time::timeout(wait, peeked.peek(64, |_| None::<()>)).await.unwrap_err();
        far.write_all(b"cd").await.unwrap();
        let seen = peeked.peek(64, |bytes| (bytes.len() == 4).then(|| bytes.to_vec())).await.unwrap();
        assert_eq!(seen.as_deref(), Some(&b"abcd"[..]));
    }
}
