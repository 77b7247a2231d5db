//! Asking a silent peer whether it is still there (RFC 9113 section 6.7), and only then.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::settings::Liveness;

/// The peer sent nothing for the interval and the timeout together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No stream is open: no timer runs.
    Parked,
    Listening,
    Asked,
}

/// Polled by the connection's driver in each of its turns.
#[derive(Debug)]
pub(crate) struct Keepalive {
    liveness: Liveness,
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes received when they were last looked at, and when they last had become more.
    seen: u64,
    heard: Instant,
    state: State,
}

impl Keepalive {
    pub(crate) fn new(liveness: Liveness) -> Self {
        Self { liveness, timer: None, seen: 0, heard: Instant::now(), state: State::Parked }
    }

    /// Ready when the peer must be given up. `received` counts its bytes so far; it is asked (`ask` sends the PING) only
    /// while `busy`.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        received: u64,
        busy: bool,
        mut ask: impl FnMut(),
    ) -> Poll<Silent> {
        if received != self.seen {
            self.seen = received;
            self.heard = Instant::now();
            if self.state == State::Asked {
                self.listen();
            }
        }
        loop {
            if self.state != State::Parked && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
            match self.state {
                State::Parked if !busy => return Poll::Pending,
                // What was not listened to before it was busy is no silence.
                State::Parked => {
                    self.heard = Instant::now();
                    self.listen();
                }
                State::Listening if !busy => self.state = State::Parked,
                // Bytes move no timer: it is looked at again when it fires.
                State::Listening if self.heard + self.liveness.ping_interval > Instant::now() => {
                    self.listen()
                }
                State::Listening => {
                    ask();
                    self.state = State::Asked;
                    self.set_timer(Instant::now() + self.liveness.ping_timeout);
                }
                State::Asked => return Poll::Ready(Silent),
            }
        }
    }

    fn listen(&mut self) {
        self.state = State::Listening;
        self.set_timer(self.heard + self.liveness.ping_interval);
    }

    fn set_timer(&mut self, deadline: Instant) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(deadline),
            None => self.timer = Some(Box::pin(sleep_until(deadline))),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}
