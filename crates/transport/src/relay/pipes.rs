//! Kernel pipes that belong to the worker thread: bytes pass through one from socket to socket and are never copied into
//! this process. A direction borrows one only while bytes are inside.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Sizes to ask the kernel for, best first. A user without privileges is refused above `fs.pipe-max-size`, and once all
/// its pipes together reach `fs.pipe-user-pages-soft` (pipe(7)). Below the last one a copy is cheaper.
const SIZES: [usize; 3] = [1024 * 1024, 512 * 1024, 256 * 1024];
/// Pipes with bytes inside that a worker has at most, that is directions whose writer is slower than their reader; more
/// of them are relayed in user space. Bounds a worker to 16 MiB in pipes and to 32 descriptors.
const LENT: usize = 16;
/// Empty pipes that a worker keeps for the next use.
const KEPT: usize = 8;
/// How many requests go without a pipe after the kernel refused one.
const REST: u32 = 256;

#[derive(Default)]
struct Pool {
    spare: Vec<Ends>,
    lent: usize,
    /// Index in [`SIZES`] of what the kernel allowed last.
    size: usize,
    rest: u32,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

#[derive(Debug)]
struct Ends {
    reading: OwnedFd,
    writing: OwnedFd,
    capacity: usize,
}

impl Pool {
    fn take(&mut self) -> Option<Ends> {
        if self.lent >= LENT {
            return None;
        }
        let ends = match self.spare.pop() {
            Some(ends) => ends,
            None if self.rest > 0 => {
                self.rest -= 1;
                return None;
            }
            None => match self.open() {
                Ok(ends) => ends,
                Err(error) => {
                    tracing::debug!(%error, "no pipe for a relay, it copies: raise the open-file limit or fs.pipe-user-pages-soft");
                    self.rest = REST;
                    return None;
                }
            },
        };
        self.lent += 1;
        Some(ends)
    }

    fn open(&mut self) -> io::Result<Ends> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut refused = Errno::PERM;
        for (index, size) in SIZES.iter().enumerate().skip(self.size) {
            match fcntl_setpipe_size(&writing, *size) {
                Ok(capacity) => {
                    self.size = index;
                    return Ok(Ends { reading, writing, capacity });
                }
                Err(error) => refused = error,
            }
        }
        // Whoever held the pages may have given them back by the next attempt.
        self.size = 0;
        Err(refused.into())
    }
}

/// What came of filling a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// So many bytes are inside.
    Bytes(usize),
    /// Splicing brought nothing, now or ever again. A read says which: before an urgent byte (tcp(7)) a splice stops,
    /// and even claims the end when the end has arrived behind it.
    Dry,
    /// The kernel does not splice this socket.
    Unsupported,
}

/// A borrowed pipe. Dropped empty, it goes back to the worker; dropped with bytes inside it is closed, so that they can
/// never reach another connection.
#[derive(Debug)]
pub(super) struct Pipe {
    ends: Option<Ends>,
    inside: usize,
}

impl Pipe {
    /// An empty pipe, unless the worker's limit is reached or the kernel gives none.
    pub(super) fn take() -> Option<Self> {
        let ends = POOL.try_with(|pool| pool.borrow_mut().take()).ok().flatten()?;
        Some(Self { ends: Some(ends), inside: 0 })
    }

    /// Moves up to `most` bytes out of a socket that is ready for reading. The pipe must be empty, so that a refusal to
    /// block is the socket's.
    pub(super) fn fill(&mut self, from: &TcpStream, most: usize) -> io::Result<Filled> {
        let Some(ends) = self.ends.as_ref().filter(|_| self.inside == 0) else {
            return Ok(Filled::Dry);
        };
        debug_assert!(matches!(rustix::io::ioctl_fionread(&ends.reading), Ok(0)), "a used pipe is not empty");
        match splice(from, None, &ends.writing, None, most.clamp(1, ends.capacity), flags()) {
            Ok(0) => Ok(Filled::Dry),
            Ok(bytes) => {
                self.inside = bytes;
                Ok(Filled::Bytes(bytes))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Filled::Dry),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => Ok(Filled::Unsupported),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves bytes into a socket: how many it accepted. Every byte inside is on offer at once, so that a refusal to
    /// block is the socket's, and the last piece is not held back for more (`MSG_MORE`).
    pub(super) fn drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        let Some(ends) = &self.ends else {
            return Poll::Ready(Ok(0));
        };
        loop {
            ready!(to.poll_write_ready(cx))?;
            let written = to.try_io(Interest::WRITABLE, || {
                splice(&ends.reading, None, to, None, self.inside, flags()).map_err(io::Error::from)
            });
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(bytes) => {
                    self.inside = self.inside.saturating_sub(bytes);
                    return Poll::Ready(Ok(bytes));
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inside == 0
    }
}

/// Pages are moved where that is possible. Writing to a peer that is gone would raise SIGPIPE, which Rust's start-up
/// code ignores.
fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        let empty = self.inside == 0;
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            // A pipe may come back on another thread than it was taken on; the books are then off by it, never below zero.
            pool.lent = pool.lent.saturating_sub(1);
            if empty && pool.spare.len() < KEPT {
                pool.spare.push(ends);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (dialled.unwrap(), accepted.unwrap().0)
    }

    async fn filled(pipe: &mut Pipe, bytes: &[u8]) -> Filled {
        let (mut outside, inside) = connected().await;
        outside.write_all(bytes).await.unwrap();
        inside.readable().await.unwrap();
        pipe.fill(&inside, usize::MAX).unwrap()
    }

    fn spare() -> usize {
        POOL.with(|pool| pool.borrow().spare.len())
    }

    #[tokio::test]
    async fn bytes_go_through_and_the_pipe_goes_back() {
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(filled(&mut pipe, b"hello").await, Filled::Bytes(5));
        let (outside, mut inside) = connected().await;
        assert_eq!(std::future::poll_fn(|cx| pipe.drain(cx, &outside)).await.unwrap(), 5);
        assert!(pipe.is_empty());
        let mut read = [0; 5];
        inside.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        drop(pipe);
        assert_eq!(spare(), 1);
    }

    #[tokio::test]
    async fn a_pipe_with_bytes_inside_is_never_lent_again() {
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(filled(&mut pipe, b"secret").await, Filled::Bytes(6));
        drop(pipe);
        assert_eq!(spare(), 0);
        let next = Pipe::take().unwrap();
        let ends = next.ends.as_ref().unwrap();
        assert_eq!(rustix::io::ioctl_fionread(&ends.reading), Ok(0));
    }

    #[tokio::test]
    async fn a_pipe_is_not_filled_twice() {
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(filled(&mut pipe, b"one").await, Filled::Bytes(3));
        assert_eq!(filled(&mut pipe, b"two").await, Filled::Dry);
    }

    #[tokio::test]
    async fn nothing_to_read_and_the_end_are_left_to_a_read() {
        let mut pipe = Pipe::take().unwrap();
        let (outside, inside) = connected().await;
        assert_eq!(pipe.fill(&inside, 1).unwrap(), Filled::Dry);
        drop(outside);
        inside.readable().await.unwrap();
        assert_eq!(pipe.fill(&inside, 1).unwrap(), Filled::Dry);
    }

    #[test]
    fn a_worker_lends_and_keeps_few() {
        let lent: Vec<Pipe> = std::iter::from_fn(Pipe::take).collect();
        assert_eq!(lent.len(), LENT);
        assert!(lent.iter().all(|pipe| pipe.ends.as_ref().unwrap().capacity >= SIZES[2]));
        drop(lent);
        assert_eq!(spare(), KEPT);
        assert!(Pipe::take().is_some());
    }
}
