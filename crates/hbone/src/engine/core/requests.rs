//! Requests: sent and answered on the client's side, taken and answered on the server's.

use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::super::fields::Message;
use super::super::frame::Code;
use super::super::local::Local;
use super::super::machine::{By, Unsent};
use super::{Core, Failure, Line, Phase};

/// A peer that was heard within this long takes early bytes. A tunnel with streams in it is asked (PING) as often.
const SILENCE: Duration = Duration::from_secs(10);
/// A peer that has been asked and has said nothing for this long takes none: it may have vanished.
const DOUBT: Duration = Duration::from_millis(50);

/// Why there will be no answer.
#[derive(Debug, Clone)]
pub(in crate::engine) enum Unanswered {
    Reset(Code, By),
    Lost(Failure),
}

impl<C: Line + ?Sized> Core<C> {
    /// Sends a CONNECT; the driver's next turn carries it.
    pub(in crate::engine) fn request<'a>(
        &self,
        authority: &str,
        fields: impl Iterator<Item = (HeaderName, &'a HeaderValue)>,
    ) -> Result<u32, Unsent> {
        let mut inner = self.inner.lock();
        if inner.failure.is_some() {
            return Err(Unsent::Closed);
        }
        let stream = inner.machine.request(|field| {
            field(b":method", b"CONNECT");
            field(b":authority", authority.as_bytes());
            fields.for_each(|(name, value)| field(name.as_str().as_bytes(), value.as_bytes()));
        })?;
        inner.locals.insert(stream, Local::default());
        inner.asked.get_or_insert_with(Instant::now);
        inner.wake();
        Ok(stream)
    }

    /// Whether first bytes may go before the answer: the peer takes them, and lives as far as we know. A request that is
    /// lost in a dead tunnel can be sent anew only without any.
    pub(in crate::engine) fn takes_early_bytes(&self) -> bool {
        let inner = self.inner.lock();
        inner.machine.peer_takes_early_bytes()
            && inner.heard.elapsed() < SILENCE
            && inner.asked.is_none_or(|asked| asked.elapsed() < DOUBT)
    }

    /// Whether the peer may have been reached by bytes or the end of this stream.
    pub(in crate::engine) fn exposed(&self, stream: u32) -> bool {
        let inner = self.inner.lock();
        let first = inner.locals.get(&stream).and_then(|local| local.first);
        first.is_some_and(|first| inner.output.touched(first))
    }

    /// The final answer, once there is one.
    pub(in crate::engine) fn poll_answer(
        &self,
        cx: &Context<'_>,
        stream: u32,
    ) -> Poll<Result<Box<Message>, Unanswered>> {
        let mut inner = self.inner.lock();
        let failure = inner.failure.clone();
        let Some(local) = inner.locals.get_mut(&stream) else {
            return Poll::Ready(Err(Unanswered::Lost(failure.unwrap_or(Failure::Ended))));
        };
        if let Some(message) = local.answer.take() {
            return Poll::Ready(Ok(message));
        }
        if let Some((code, by)) = local.reset {
            return Poll::Ready(Err(Unanswered::Reset(code, by)));
        }
        if let Some(failure) = failure {
            return Poll::Ready(Err(Unanswered::Lost(failure)));
        }
        local.wait_to_read(cx);
        Poll::Pending
    }

    /// The next request. It may have been taken back meanwhile, which its answer will show.
    pub(in crate::engine) fn next_request(&self) -> Option<(u32, Message)> {
        let mut inner = self.inner.lock();
        if inner.phase != Phase::Open {
            return None;
        }
        let (stream, message) = inner.requests.pop_front()?;
        if inner.requests.is_empty() && inner.requests.capacity() > 4 {
            inner.requests = std::collections::VecDeque::new();
        }
        inner.machine.take(stream);
        Some((stream, message))
    }

    /// Answers a request; with `end`, that is all, and what the client still sends is not wanted.
    pub(in crate::engine) fn answer<'a>(
        &self,
        stream: u32,
        status: &str,
        fields: impl Iterator<Item = (HeaderName, &'a HeaderValue)>,
        end: bool,
    ) -> Result<(), Unanswered> {
        let mut inner = self.inner.lock();
        inner.standing(stream)?;
        inner.machine.respond(stream, end, |field| {
            field(b":status", status.as_bytes());
            fields.for_each(|(name, value)| field(name.as_str().as_bytes(), value.as_bytes()));
        });
        if end {
            inner.machine.reset(stream, Code::NO_ERROR);
        }
        inner.wake();
        Ok(())
    }

    /// Ready when nobody waits for an answer any more.
    pub(in crate::engine) fn poll_canceled(&self, cx: &Context<'_>, stream: u32) -> Poll<()> {
        let mut inner = self.inner.lock();
        if inner.standing(stream).is_err() {
            return Poll::Ready(());
        }
        match inner.locals.get_mut(&stream) {
            // Resets wake writers too, and nobody reads or writes yet.
            Some(local) => local.wait_to_write(cx),
            None => return Poll::Ready(()),
        }
        Poll::Pending
    }
}

impl<C: Line + ?Sized> super::Inner<C> {
    /// Whether the peer still wants something in this stream.
    fn standing(&self, stream: u32) -> Result<(), Unanswered> {
        match (self.locals.get(&stream).and_then(|local| local.reset), &self.failure) {
            (Some((code, by)), _) => Err(Unanswered::Reset(code, by)),
            (None, Some(failure)) => Err(Unanswered::Lost(failure.clone())),
            (None, None) => Ok(()),
        }
    }
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reset(code, By::Peer) => write!(f, "the peer reset the stream: {code}"),
            Self::Reset(code, By::Us) => write!(f, "the peer violated HTTP/2 in the stream: {code}"),
            Self::Reset(code, By::GoAway) => write!(f, "the peer went away: {code}"),
            Self::Lost(failure) => write!(f, "{failure}"),
        }
    }
}
