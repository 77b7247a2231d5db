//! One way of a relay: take a piece, give all of it, pass on the end. A piece is read into a buffer of the worker, or,
//! once a flow between two sockets is bulk, into a pipe of the kernel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Limits;
use super::abort::Abort;
use super::buffers::{Lease, Size};
use super::pipes::{Filled, Pipe};

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

/// A piece that was taken and not yet given.
#[derive(Debug)]
enum Held {
    Read(Lease),
    Spliced(Pipe),
}

#[derive(Debug)]
pub(super) struct OneWay {
    /// Nothing more is taken while it lasts, which is the back-pressure.
    held: Option<Held>,
    moved: u64,
    limits: Limits,
    size: Size,
    state: State,
    unflushed: bool,
}

impl OneWay {
    pub(super) fn new(limits: Limits) -> Self {
        Self { held: None, moved: 0, limits, size: Size::Small, state: State::Moving, unflushed: false }
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    pub(super) fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Moves what it can, at most about a turn's bytes. Ready when the end has been passed on, or, with `last`, when
    /// everything before the end has been.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: impl Fn(u64),
        last: bool,
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Abort + Unpin,
        W: AsyncWrite + Abort + Unpin,
    {
        let turn = self.limits.turn.max(1);
        let before = self.moved;
        while self.state == State::Moving {
            ready!(self.write(cx, writer, &count)).map_err(writer_fault)?;
            if self.moved - before >= turn as u64 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.take(cx, reader, writer) {
                Poll::Ready(taken) => taken.map_err(|source| Fault { at: At::Reader, source })?,
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

    /// The next piece. A spliced one only between sockets whose reads fill the largest buffer.
    fn take<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Abort + Unpin,
        W: Abort,
    {
        if self.limits.splice
            && self.size == Size::Large
            && let (Some(from), Some(_)) = (reader.socket(), writer.socket())
        {
            ready!(from.poll_read_ready(cx))?;
            if let Some(pipe) = Pipe::take()
                && self.splice(from, pipe)?
            {
                return Poll::Ready(Ok(()));
            }
        }
        self.read(cx, reader)
    }

    /// Whether there was a piece to be had by splicing.
    fn splice(&mut self, from: &TcpStream, mut pipe: Pipe) -> io::Result<bool> {
        match pipe.fill(from, self.limits.turn)? {
            Filled::Bytes(bytes) => {
                if bytes < Size::Medium.bytes() {
                    self.size = Size::Medium;
                }
                self.held = Some(Held::Spliced(pipe));
            }
            Filled::Dry => return Ok(false),
            Filled::Unsupported => {
                self.limits.splice = false;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read<R: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, reader: &mut R) -> Poll<io::Result<()>> {
        let mut lease = Lease::take(self.size);
        let mut space = ReadBuf::new(lease.space());
        ready!(Pin::new(reader).poll_read(cx, &mut space))?;
        let read = space.filled().len();
        if read == 0 {
            self.state = State::Ending;
        } else {
            self.size = lease.size().after(read, self.limits.largest_read);
            lease.fill(read);
            self.held = Some(Held::Read(lease));
        }
        Poll::Ready(Ok(()))
    }

    fn write<W: AsyncWrite + Abort + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        count: &impl Fn(u64),
    ) -> Poll<io::Result<()>> {
        while let Some(held) = &mut self.held {
            let (written, all) = match held {
                Held::Read(lease) => {
                    let written = ready!(Pin::new(&mut *writer).poll_write(cx, lease.rest()))?;
                    (written, lease.advance(written))
                }
                Held::Spliced(pipe) => {
                    let to = writer.socket().ok_or(io::ErrorKind::Unsupported)?;
                    let written = ready!(pipe.drain(cx, to))?;
                    (written, pipe.is_empty())
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved += written as u64;
            self.unflushed = true;
            count(written as u64);
            if all {
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
