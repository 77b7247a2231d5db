//! The accepting side of our own engine.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::core::{self, Failure, Shared};
use super::fields::Message;
use super::frame::Code;
use super::machine::Role;
use super::stream::Stream;
use crate::activity::{Activity, Place};
use crate::carrier::Carrier;
use crate::server::{AcceptError, Answer, Farewell, Head, Incoming, Link, ServeError, target};
use crate::settings::ServerSettings;

/// How long requests may take that the client had begun when it read that it shall open no more (RFC 9113 section 6.8). Its
/// answer to our PING shows only that it has read: what its own tasks hold ready leaves behind that answer.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// One connection whose client has sent its SETTINGS. Dropped, it cuts the connection.
pub(crate) struct Session {
    core: Shared,
    leaving: Leaving,
}

/// How far a drain has come.
enum Leaving {
    No,
    Asked,
    Heard(Pin<Box<Sleep>>),
    /// It ends with the last stream.
    Waited,
}

pub(crate) async fn handshake<C: Carrier>(
    carrier: C,
    settings: &ServerSettings,
    activity: Arc<Activity>,
) -> Result<Session, ServeError> {
    let buffers = settings.buffers.clamped();
    let core =
        core::new(carrier, Role::Server, &buffers, (settings.max_streams, settings.early_bytes), activity);
    let session = Session { core, leaving: Leaving::No };
    poll_fn(|cx| match session.core.turn(cx) {
        _ if session.core.settled() => Poll::Ready(Ok(())),
        Poll::Ready(over) => {
            let early = ServeError::Io(io::ErrorKind::UnexpectedEof.into());
            Poll::Ready(over.server().and(Err(early)))
        }
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok(session)
}

/// A request that nobody has looked at.
pub(crate) struct Request {
    core: Shared,
    id: u32,
    message: Message,
}

impl Session {
    fn next(&self) -> Option<Request> {
        let (id, message) = self.core.next_request()?;
        Some(Request { core: Arc::clone(&self.core), id, message })
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let over = self.core.turn(cx);
        if over.is_pending() {
            self.leave(cx);
        }
        over
    }

    /// Moves a drain along.
    fn leave(&mut self, cx: &mut Context<'_>) {
        loop {
            self.leaving = match &mut self.leaving {
                Leaving::Asked if self.core.heard() => Leaving::Heard(Box::pin(sleep(UNDER_WAY))),
                Leaving::Heard(timer) => match timer.as_mut().poll(cx) {
                    Poll::Ready(()) => Leaving::Waited,
                    Poll::Pending => return,
                },
                Leaving::Waited => return self.core.conclude(),
                Leaving::No | Leaving::Asked => return,
            };
        }
    }
}

impl Link for Session {
    type Request = Request;

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Request, ServeError>>> {
        if let Some(request) = self.next() {
            return Poll::Ready(Some(Ok(request)));
        }
        match self.turn(cx) {
            Poll::Ready(over) => Poll::Ready(over.server().err().map(Err)),
            Poll::Pending => self.next().map_or(Poll::Pending, |request| Poll::Ready(Some(Ok(request)))),
        }
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        self.turn(cx).map(|over| over.server())
    }

    fn check(request: Request, place: Place) -> Result<Incoming, &'static str> {
        let Request { core, id, message } = request;
        let pending = Pending { stream: Stream::new(core, place, id) };
        let checked = target(&Head {
            connect: message.connect,
            extended: message.extended,
            authority: message.authority.as_deref(),
            headers: &message.headers,
        });
        match checked {
            Ok(authority) => Ok(Incoming::own(authority, message.headers, id, pending)),
            Err(reason) => {
                // Fails only when the client has left, which has been counted.
                let _ = pending.refuse(&Answer::malformed(reason));
                Err(reason)
            }
        }
    }

    fn set_window(&mut self, window: u32) {
        self.core.set_window(window);
    }

    fn ask(&mut self) {
        self.core.ask();
    }

    fn drain(&mut self) {
        self.leaving = Leaving::Asked;
        self.core.drain();
    }

    fn cut(&mut self, farewell: Farewell) {
        self.core.cut(match farewell {
            Farewell::Orderly => Code::NO_ERROR,
            Farewell::Calm => Code::ENHANCE_YOUR_CALM,
        });
    }

    fn backlog(&self) -> bool {
        self.core.backlog()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.core.abandon();
    }
}

/// A request that waits for its answer. Dropped, its stream is reset.
#[derive(Debug)]
pub(crate) struct Pending {
    stream: Stream,
}

impl Pending {
    pub(crate) async fn canceled(&mut self) {
        poll_fn(|cx| self.stream.core().poll_canceled(cx, self.stream.id())).await;
    }

    pub(crate) fn accept(self, answer: &Answer) -> Result<Stream, AcceptError> {
        self.answer(answer, false)?;
        Ok(self.stream)
    }

    pub(crate) fn refuse(self, answer: &Answer) -> Result<(), AcceptError> {
        self.answer(answer, true)
    }

    fn answer(&self, answer: &Answer, end: bool) -> Result<(), AcceptError> {
        let core = self.stream.core();
        core.answer(self.stream.id(), answer.status.as_str(), answer.fields(), end).map_err(|unanswered| {
            core.activity.count_early_reset();
            AcceptError::new(unanswered)
        })
    }

    pub(crate) fn leave(self) {
        if self.stream.core().is_reset(self.stream.id()) {
            self.stream.core().activity.count_early_reset();
        }
    }
}
