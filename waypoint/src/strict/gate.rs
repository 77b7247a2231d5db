//! The stream of a client's connection, as the HTTP library reads it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Conduct, Fault, Verdict};

/// Longest time from the first byte of a head to its last.
const HEAD: Duration = Duration::from_secs(30);
/// Longest time for a farewell.
const PARTING: Duration = Duration::from_secs(5);

/// Bytes of a client, as long as they are in order.
#[derive(Debug)]
pub struct Gate<S, C> {
    stream: S,
    conduct: C,
    verdict: Verdict,
    state: State,
    /// Something was written and not flushed: a message may be half out.
    dirty: bool,
    /// When this head must have ended.
    due: Option<(u64, Pin<Box<Sleep>>)>,
}

#[derive(Debug)]
enum State {
    Open,
    /// What is left of the octets that mark what was at fault; there is nothing behind them.
    Ended(&'static [u8]),
    Parting(Parting),
}

#[derive(Debug)]
struct Parting {
    fault: Fault,
    text: &'static [u8],
    deadline: Pin<Box<Sleep>>,
}

impl<S, C: Conduct> Gate<S, C> {
    /// Before anything was read. What is found will be in `verdict`.
    pub fn new(stream: S, conduct: C, verdict: Verdict) -> Self {
        Self { stream, conduct, verdict, state: State::Open, dirty: false, due: None }
    }

    fn part(&mut self, fault: Fault) {
        self.verdict.find(fault);
        let text = if self.dirty { &[] } else { self.conduct.farewell(fault) };
        let deadline = Box::pin(sleep_until(Instant::now() + PARTING));
        self.state = State::Parting(Parting { fault, text, deadline });
    }

    /// Gives what fits of the mark.
    fn mark(&mut self, space: &mut ReadBuf<'_>) {
        if let State::Ended(left) = &mut self.state {
            let (mark, rest) = left.split_at(left.len().min(space.remaining()));
            space.put_slice(mark);
            *left = rest;
        }
    }

    /// Whether the head that is being read has taken too long.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(head) = self.conduct.head() else {
            self.due = None;
            return false;
        };
        if self.due.as_ref().is_none_or(|(of, _)| *of != head) {
            self.due = Some((head, Box::pin(sleep_until(Instant::now() + HEAD))));
        }
        self.due.as_mut().is_some_and(|(_, due)| due.as_mut().poll(cx).is_ready())
    }
}

impl<S: AsyncWrite + Unpin, C> Gate<S, C> {
    /// Says the farewell, closes, and fails.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State::Parting(parting) = &mut self.state else { return Poll::Ready(Ok(())) };
        let failed = Poll::Ready(Err(parting.fault.into()));
        if parting.deadline.as_mut().poll(cx).is_ready() {
            return failed;
        }
        while !parting.text.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, parting.text)) {
                Ok(written @ 1..) => parting.text = &parting.text[written..],
                Ok(0) | Err(_) => return failed,
            }
        }
        // The client may be gone: the fault is what matters.
        let _closed = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        failed
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Conduct> AsyncRead for Gate<S, C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.state {
            State::Open => {}
            State::Ended(_) => {
                this.mark(space);
                return Poll::Ready(Ok(()));
            }
            State::Parting(_) => return this.poll_part(cx),
        }
        let before = space.filled().len();
        let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, space) else {
            if this.is_overdue(cx) {
                this.part(Fault::Slow);
                return this.poll_part(cx);
            }
            return Poll::Pending;
        };
        read?;
        if let Err((in_order, fault)) = this.conduct.read(&space.filled()[before..]) {
            tracing::debug!(%fault, "a client's bytes are refused");
            let Some(poison) = this.conduct.poison() else {
                space.set_filled(before);
                this.part(fault);
                return this.poll_part(cx);
            };
            space.set_filled(before + in_order);
            this.verdict.find(fault);
            this.state = State::Ended(poison);
            this.mark(space);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, C: Conduct> AsyncWrite for Gate<S, C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.dirty = true;
        this.conduct.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, pieces))?;
        this.dirty = true;
        this.conduct.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.dirty = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
