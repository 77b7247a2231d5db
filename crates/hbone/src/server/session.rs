//! One served connection from preface to end: the turns it takes, and why it ends.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ambit_transport::{Mode, Watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

use super::flood::Flood;
use super::incoming::Incoming;
use super::{ServeError, Served};
use crate::activity::{Activity, Place};
use crate::headroom::Growth;
use crate::keepalive::Keepalive;
use crate::settings::ServerSettings;

/// How long the last GOAWAY of a cut connection may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// How old a connection must be to be told that it may open no more streams: a client that hears it before its first
/// request has nowhere to go, and may give up instead of trying again.
const YOUTH: Duration = Duration::from_secs(1);

/// What a GOAWAY says that cuts a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// NO_ERROR.
    Orderly,
    /// ENHANCE_YOUR_CALM.
    Calm,
}

/// A connection in its engine, once the client's SETTINGS have been read. One task polls it.
pub(crate) trait Link {
    /// A request as the engine gives it.
    type Request;

    /// The next request; moves everything else along. `None` when the connection has ended in order.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Self::Request, ServeError>>>;

    /// Moves everything along and takes no request. Ready when the connection has ended.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>>;

    /// Gives the request if it is one for the flow. Answers one that is malformed, and says how.
    fn check(request: Self::Request, place: Place) -> Result<Incoming, &'static str>;

    /// Changes the connection's receive window.
    fn set_window(&mut self, window: u32);

    /// Sends a PING.
    fn ask(&mut self);

    /// Lets the connection end after its open streams.
    fn drain(&mut self);

    /// Ends it now: [`Self::poll_closed`] is ready when the GOAWAY has left.
    fn cut(&mut self, farewell: Farewell);

    /// Whether bytes wait for the client to take them.
    fn backlog(&self) -> bool {
        false
    }
}

/// A connection whose client has sent its SETTINGS.
pub(super) struct Session<L> {
    link: L,
    opened: Instant,
    activity: Arc<Activity>,
    keepalive: Keepalive,
    silence: Duration,
    idle: Idle,
    growth: Growth,
    flood: Flood,
    served: Served,
    /// Futures at a time. Above it nothing is taken, and the engine's own limit of pending resets guards what waits.
    most_running: usize,
    draining: bool,
}

impl<L: Link> Session<L> {
    /// Waits for `handshake`, which gives the connection when the client's preface and SETTINGS have been read.
    pub(super) async fn open(
        handshake: impl Future<Output = Result<L, ServeError>>,
        activity: Arc<Activity>,
        settings: &ServerSettings,
        drain: &Watch,
    ) -> Result<Self, ServeError> {
        let link = tokio::select! {
            biased;
            () = drain.immediate() => return Err(ServeError::Io(std::io::ErrorKind::ConnectionAborted.into())),
            opened = timeout(settings.handshake_timeout, handshake) => match opened {
                Ok(opened) => opened?,
                Err(_) => return Err(ServeError::TimedOut(settings.handshake_timeout)),
            },
        };
        let liveness = settings.liveness.clone();
        Ok(Self {
            link,
            opened: Instant::now(),
            silence: liveness.ping_interval + liveness.ping_timeout,
            keepalive: Keepalive::new(liveness),
            activity,
            idle: Idle { limit: settings.idle_timeout, timer: None },
            growth: settings.buffers.clamped().growth(),
            flood: Flood::new(Instant::now()),
            served: Served::default(),
            most_running: (settings.max_streams as usize).saturating_mul(2).max(1),
            draining: false,
        })
    }

    /// Serves until the connection and all futures have ended.
    pub(super) async fn run<F, Fut>(mut self, drain: &Watch, mut on_request: F) -> Result<Served, ServeError>
    where
        F: FnMut(Incoming) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut signaled = pin!(signaled(drain, self.opened + YOUTH));
        let mut immediate = pin!(drain.immediate());
        let ended = poll_fn(|cx| {
            if !self.draining
                && let Poll::Ready(mode) = signaled.as_mut().poll(cx)
            {
                self.drain(mode);
            }
            if self.draining && immediate.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(End::Cut(Farewell::Orderly)));
            }
            self.poll(cx, &mut running, &mut on_request)
        })
        .await;
        let served = self.served;
        let outcome = match ended {
            Ok(End::Closed) => Ok(served),
            Ok(End::Cut(farewell)) => {
                self.cut(farewell).await;
                Ok(served)
            }
            Ok(End::Flood { requests, resets }) => {
                self.cut(Farewell::Calm).await;
                Err(ServeError::Flood { requests, resets })
            }
            // A client that has nothing left to do may leave in the middle of our farewell.
            Err(ServeError::Io(_)) if self.draining && self.activity.streams() == 0 => Ok(served),
            Err(error) => Err(error),
        };
        // Fails whatever stream is left, so that its future ends too.
        drop(self);
        while running.join_next().await.is_some() {}
        outcome
    }

    fn drain(&mut self, mode: Mode) {
        self.draining = true;
        if mode == Mode::Graceful {
            self.link.drain();
        }
    }

    /// Says GOAWAY and goes, without waiting long for a client that does not read.
    async fn cut(&mut self, farewell: Farewell) {
        self.link.cut(farewell);
        let _ = timeout(FAREWELL, poll_fn(|cx| self.link.poll_closed(cx))).await;
    }

    fn poll<F, Fut>(
        &mut self,
        cx: &mut Context<'_>,
        running: &mut JoinSet<()>,
        on_request: &mut F,
    ) -> Poll<Result<End, ServeError>>
    where
        F: FnMut(Incoming) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        loop {
            // Also registers for the next end, which matters when nothing more may be taken.
            while let Poll::Ready(Some(_)) = running.poll_join_next(cx) {}
            if running.len() >= self.most_running {
                if let Poll::Ready(closed) = self.link.poll_closed(cx) {
                    return Poll::Ready(closed.map(|()| End::Closed));
                }
                return self.poll_timers(cx);
            }
            match self.link.poll_request(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(End::Closed)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(request))) => {
                    if let Err((requests, resets)) =
                        self.flood.count(Instant::now(), self.activity.early_resets())
                    {
                        return Poll::Ready(Ok(End::Flood { requests, resets }));
                    }
                    if let Some(incoming) = self.check(request) {
                        running.spawn(on_request(incoming));
                    }
                }
                Poll::Pending if self.grow() => {}
                Poll::Pending => return self.poll_timers(cx),
            }
        }
    }

    /// Whether the window has changed, which the next turn tells the client.
    fn grow(&mut self) -> bool {
        let window = self.growth.adjust(self.activity.streams());
        if let Some(window) = window {
            self.link.set_window(window);
        }
        window.is_some()
    }

    /// Gives the request if it is one for the flow; answers it otherwise.
    fn check(&mut self, request: L::Request) -> Option<Incoming> {
        // The engine holds the client to its number of streams; here they are only counted.
        let place = self.activity.reserve(usize::MAX)?;
        match L::check(request, place) {
            Ok(incoming) => {
                self.served.requests += 1;
                Some(incoming)
            }
            Err(reason) => {
                self.served.malformed += 1;
                tracing::debug!(reason, "answered a malformed request with 400");
                None
            }
        }
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Result<End, ServeError>> {
        let busy = self.activity.streams() > 0;
        if self.idle.poll(cx, busy || self.draining).is_ready() {
            self.drain(Mode::Graceful);
            // The GOAWAY leaves in the next turn.
            cx.waker().wake_by_ref();
        }
        // A drain waits for the client's part, so the client must be there.
        let watched = busy || self.draining || self.link.backlog();
        ready!(self.keepalive.poll(cx, self.activity.received(), watched, || self.link.ask()));
        Poll::Ready(Err(ServeError::Silent(self.silence)))
    }
}

/// Resolves with how to end, for a graceful end not `before`.
async fn signaled(drain: &Watch, before: Instant) -> Mode {
    match drain.signaled().await {
        // On the heap: most connections never wait here.
        Mode::Graceful => match Box::pin(timeout_at(before, drain.immediate())).await {
            Ok(()) => Mode::Immediate,
            Err(_) => Mode::Graceful,
        },
        Mode::Immediate => Mode::Immediate,
    }
}

enum End {
    Closed,
    Cut(Farewell),
    Flood { requests: usize, resets: usize },
}

/// Notices a connection that has carried nothing for a while.
struct Idle {
    limit: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    fn poll(&mut self, cx: &mut Context<'_>, busy: bool) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        if busy {
            self.timer = None;
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        timer.as_mut().poll(cx)
    }
}
