//! A TCP connection whose writing end can be shared: a relay's task owns it, and whoever has bytes for its peer may
//! write them past that task.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, ready};

use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, send, sendmsg, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::relay::Abort;

/// Pieces in one write that the kernel takes at most (`IOV_MAX`).
const PIECES: usize = 1024;

/// An owned connection. Its drop sends FIN, or RST after [`Abort::abort`], once no [`Tap`] of it is left.
#[derive(Debug)]
pub struct Socket {
    shared: Arc<Shared>,
}

/// The writing end of a [`Socket`], for somebody else than its owner.
#[derive(Debug, Clone)]
pub struct Tap {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stream: TcpStream,
    /// The error number that a write through a tap met, or 0. The kernel tells an error once, and its owner has to hear
    /// of it instead of an orderly end.
    failed: AtomicI32,
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self { shared: Arc::new(Shared { stream, failed: AtomicI32::new(0) }) }
    }
}

impl Socket {
    /// The writing end once more.
    pub fn tap(&self) -> Tap {
        Tap { shared: Arc::clone(&self.shared) }
    }
}

impl Tap {
    /// Writes what the kernel takes now, in one call and without waiting: how many bytes. 0 when it takes none, and from
    /// a failure on, which the owner meets at its next read or write.
    pub fn try_write(&self, pieces: &[IoSlice<'_>]) -> usize {
        if self.shared.failure().is_some() {
            return 0;
        }
        let pieces = &pieces[..pieces.len().min(PIECES)];
        let wanted = pieces.iter().map(|piece| piece.len()).sum();
        match self.shared.attempt(Interest::WRITABLE, wanted, |stream| write_all_of(stream, pieces)) {
            Ok(written) => written,
            Err(error) => {
                let waits = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                if !waits {
                    self.shared.failed.store(error.raw_os_error().unwrap_or(0), Ordering::Relaxed);
                }
                0
            }
        }
    }
}

impl Shared {
    fn failure(&self) -> Option<io::Error> {
        let number = self.failed.load(Ordering::Relaxed);
        (number != 0).then(|| io::Error::from_raw_os_error(number))
    }

    /// One system call that moves up to `wanted` bytes. After fewer the socket is known to be exhausted, and nobody
    /// asks it again before epoll(7) reports it (edge-triggered: "Do I need to continuously read/write ...").
    fn attempt(
        &self,
        interest: Interest,
        wanted: usize,
        call: impl FnOnce(&TcpStream) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        let mut short = None;
        let moved = self.stream.try_io(interest, || {
            let moved = call(&self.stream)?;
            if moved > 0 && moved < wanted {
                short = Some(moved);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(moved)
        });
        short.map_or(moved, Ok)
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        call: impl Fn(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.failure() {
            return Poll::Ready(Err(error));
        }
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.attempt(Interest::WRITABLE, wanted, &call) {
                Err(error) if again(&error) => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn write_all_of(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    sendmsg(stream, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let shared = &*self.shared;
        loop {
            ready!(shared.stream.poll_read_ready(cx))?;
            let room = space.initialize_unfilled();
            let wanted = room.len();
            match shared.attempt(Interest::READABLE, wanted, |stream| rustix::io::read(stream, room)) {
                Err(error) if again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(0) if wanted > 0 && shared.failure().is_some() => {
                    return Poll::Ready(shared.failure().map_or(Ok(()), Err));
                }
                Ok(read) => {
                    space.advance(read);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.poll_write_with(cx, bytes.len(), |stream| send(stream, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let pieces = &pieces[..pieces.len().min(PIECES)];
        let wanted = pieces.iter().map(|piece| piece.len()).sum();
        self.shared.poll_write_with(cx, wanted, |stream| write_all_of(stream, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&self.shared.stream, Shutdown::Write).map_err(io::Error::from))
    }
}

impl Abort for Socket {
    fn abort(&mut self) {
        // Fails only on a socket that is already dead.
        let _ = self.shared.stream.set_zero_linger();
    }

    fn unsent(&self) -> bool {
        self.shared.stream.unsent()
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(&self.shared.stream)
    }

    fn tap(&self) -> Option<Tap> {
        Some(Self::tap(self))
    }
}
