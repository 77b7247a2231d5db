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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn grows_under_load_and_lets_go_when_idle() {
        let (mut here, there) = duplex(1 << 20);
        let mut stream = ReadAhead::new(there);
        here.write_all(&vec![7; 300_000]).await.unwrap();
        let mut seen = vec![0; 300_000];
        stream.read_exact(&mut seen).await.unwrap();
        assert!(seen.iter().all(|byte| *byte == 7));
        assert_eq!(stream.target, LARGEST);
        let idle = tokio_test::task::spawn(stream.read_u8()).poll();
        assert!(idle.is_pending());
        assert_eq!(stream.buffer.capacity(), 0, "an idle connection keeps no large buffer");
    }

    #[tokio::test]
    async fn shrinks_when_it_stays_mostly_empty() {
        let (mut here, there) = duplex(1 << 20);
        let mut stream = ReadAhead::new(there);
        stream.target = LARGEST;
        for _ in 0..2 * PATIENCE {
            here.write_all(b"small").await.unwrap();
            stream.read_exact(&mut [0; 5]).await.unwrap();
        }
        assert_eq!(stream.target, SMALLEST);
    }

    proptest! {
        #[test]
        fn every_byte_arrives_once_in_order(
            writes in proptest::collection::vec(0..20_000_usize, 1..12),
            reads in proptest::collection::vec(1..9_000_usize, 1..12),
            capacity in 1..100_000_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let data: Vec<u8> = (0..writes.iter().sum::<usize>()).map(|number| (number % 251) as u8).collect();
                let (mut here, there) = duplex(capacity);
                let send = async {
                    let mut rest = data.as_slice();
                    for size in &writes {
                        let (piece, after) = rest.split_at(*size);
                        here.write_all(piece).await.unwrap();
                        rest = after;
                    }
                    drop(here);
                };
                let receive = async {
                    let mut stream = ReadAhead::new(there);
                    let mut seen = Vec::new();
                    for size in reads.iter().cycle() {
                        let mut piece = vec![0; *size];
                        match stream.read(&mut piece).await.unwrap() {
                            0 => break,
                            count => seen.extend_from_slice(&piece[..count]),
                        }
                    }
                    seen
                };
                let ((), seen) = tokio::join!(send, receive);
                assert!(seen == data);
            });
        }
    }
}
