//! One way of a relay: read a piece, write all of it, pass on the end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::{Lease, Size};

/// Which of the two streams of a way failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Reader,
    Writer,
}

#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: At,
    pub(super) source: io::Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Moving,
    Ending,
    Done,
}

#[derive(Debug)]
pub(super) struct OneWay {
    /// Read and not yet written; nothing is read while it lasts, which is the back-pressure.
    held: Option<Lease>,
    moved: u64,
    largest: usize,
    size: Size,
    state: State,
    unflushed: bool,
}

impl OneWay {
    pub(super) fn new(largest: usize) -> Self {
        Self { held: None, moved: 0, largest, size: Size::Small, state: State::Moving, unflushed: false }
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    pub(super) fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Moves what it can, at most about `turn` bytes. Ready when the end has been passed on, or, with `last`, when
    /// everything before the end has been.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: impl Fn(u64),
        turn: usize,
        last: bool,
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let before = self.moved;
        while self.state == State::Moving {
            ready!(self.write(cx, writer, &count)).map_err(writer_fault)?;
            if self.moved - before >= turn as u64 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.read(cx, reader) {
                Poll::Ready(read) => read.map_err(|source| Fault { at: At::Reader, source })?,
                Poll::Pending => {
                    ready!(self.flush(cx, writer)).map_err(writer_fault)?;
                    return Poll::Pending;
                }
            }
        }
        if last {
            ready!(self.flush(cx, writer)).map_err(writer_fault)?;
            return Poll::Ready(Ok(()));
        }
        if self.state == State::Ending {
            ready!(shutdown(cx, writer)).map_err(writer_fault)?;
            self.state = State::Done;
        }
        Poll::Ready(Ok(()))
    }

    fn read<R: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, reader: &mut R) -> Poll<io::Result<()>> {
        let mut lease = Lease::take(self.size);
        let mut space = ReadBuf::new(lease.space());
        ready!(Pin::new(reader).poll_read(cx, &mut space))?;
        let read = space.filled().len();
        if read == 0 {
            self.state = State::Ending;
        } else {
            self.size = lease.size().after(read, self.largest);
            lease.fill(read);
            self.held = Some(lease);
        }
        Poll::Ready(Ok(()))
    }

    fn write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        count: &impl Fn(u64),
    ) -> Poll<io::Result<()>> {
        while let Some(lease) = &mut self.held {
            let written = ready!(Pin::new(&mut *writer).poll_write(cx, lease.rest()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved += written as u64;
            self.unflushed = true;
            count(written as u64);
            if lease.advance(written) {
                self.held = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn flush<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(writer).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn writer_fault(source: io::Error) -> Fault {
    Fault { at: At::Writer, source }
}

/// Passes on the end. A writer that is gone already cannot be told; whether it went in order, its reading side says.
fn shutdown<W: AsyncWrite + Unpin>(cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>> {
    match ready!(Pin::new(writer).poll_shutdown(cx)) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
        other => Poll::Ready(other),
    }
}
