//! One served connection from preface to end: the turns it takes, and why it ends.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ambit_transport::{Mode, Watch};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::flood::Flood;
use super::incoming::Incoming;
use super::{ServeError, Served};
use crate::activity::Activity;
use crate::headroom::Growth;
use crate::keepalive::Keepalive;
use crate::settings::ServerSettings;
use crate::stream::Payload;
use crate::watched::Watched;

/// How long the last GOAWAY of a cut connection may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection whose client has sent its SETTINGS.
pub(super) struct Session<IO: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<Watched<IO>, Payload>,
    activity: Arc<Activity>,
    keepalive: Keepalive,
    silence: Duration,
    idle: Idle,
    growth: Growth,
    flood: Flood,
    served: Served,
    /// Futures at a time. Above it nothing is taken, and the library's own limit of pending resets guards what waits.
    most_running: usize,
    draining: bool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Session<IO> {
    /// Waits for the client's preface and SETTINGS.
    pub(super) async fn open(io: IO, settings: &ServerSettings, drain: &Watch) -> Result<Self, ServeError> {
        let activity = Activity::new();
        let io = Watched::from_client(io, Arc::clone(&activity));
        let mut connection = tokio::select! {
            biased;
            () = drain.immediate() => return Err(ServeError::Io(std::io::ErrorKind::ConnectionAborted.into())),
            opened = timeout(settings.handshake_timeout, handshake(io, settings, &activity)) => match opened {
                Ok(opened) => opened?,
                Err(_) => return Err(ServeError::TimedOut(settings.handshake_timeout)),
            },
        };
        let liveness = settings.liveness.clone();
        Ok(Self {
            silence: liveness.ping_interval + liveness.ping_timeout,
            keepalive: Keepalive::new(liveness, connection.ping_pong()),
            connection,
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
        let mut signaled = pin!(drain.signaled());
        let mut immediate = pin!(drain.immediate());
        let ended = poll_fn(|cx| {
            if !self.draining
                && let Poll::Ready(mode) = signaled.as_mut().poll(cx)
            {
                self.drain(mode);
            }
            if self.draining && immediate.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(End::Cut(Reason::NO_ERROR)));
            }
            self.poll(cx, &mut running, &mut on_request)
        })
        .await;
        let served = self.served;
        let outcome = match ended {
            Ok(End::Closed) => Ok(served),
            Ok(End::Cut(reason)) => {
                self.cut(reason).await;
                Ok(served)
            }
            Ok(End::Flood { requests, resets }) => {
                self.cut(Reason::ENHANCE_YOUR_CALM).await;
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
            self.connection.graceful_shutdown();
        }
    }

    /// Says GOAWAY and goes, without waiting long for a client that does not read.
    async fn cut(&mut self, reason: Reason) {
        self.connection.abrupt_shutdown(reason);
        let _ = timeout(FAREWELL, poll_fn(|cx| self.connection.poll_closed(cx))).await;
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
                if let Poll::Ready(closed) = self.connection.poll_closed(cx) {
                    return Poll::Ready(closed.map(|()| End::Closed).map_err(ServeError::from));
                }
                return self.poll_timers(cx);
            }
            match self.connection.poll_accept(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(End::Closed)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if let Err((requests, resets)) =
                        self.flood.count(Instant::now(), self.activity.early_resets())
                    {
                        return Poll::Ready(Ok(End::Flood { requests, resets }));
                    }
                    if let Some(incoming) = self.check(request, respond) {
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
            self.connection.set_target_window_size(window);
        }
        window.is_some()
    }

    /// Gives the request if it is one for the flow; answers it otherwise.
    fn check(&mut self, request: Request<RecvStream>, respond: SendResponse<Payload>) -> Option<Incoming> {
        // The library holds the client to its number of streams; here they are only counted.
        let place = self.activity.reserve(usize::MAX)?;
        match Incoming::check(request, respond, place) {
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
        ready!(self.keepalive.poll(cx, self.activity.received(), busy || self.draining));
        Poll::Ready(Err(ServeError::Silent(self.silence)))
    }
}

async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(
    io: Watched<IO>,
    settings: &ServerSettings,
    activity: &Activity,
) -> Result<Connection<Watched<IO>, Payload>, ServeError> {
    let buffers = settings.buffers.clamped();
    let mut connection = Builder::new()
        .max_concurrent_streams(settings.max_streams)
        .initial_window_size(buffers.stream_window)
        .initial_connection_window_size(buffers.connection_window)
        .max_frame_size(buffers.max_frame)
        .data_frame_budget(buffers.frame_overhead)
        .max_send_buffer_size(buffers.send_buffer)
        .max_header_list_size(buffers.header_list)
        .handshake(io)
        .await?;
    poll_fn(|cx| match connection.poll_closed(cx) {
        _ if activity.settled() => Poll::Ready(Ok(())),
        Poll::Ready(Ok(())) => Poll::Ready(Err(ServeError::Io(std::io::ErrorKind::UnexpectedEof.into()))),
        Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok(connection)
}

enum End {
    Closed,
    Cut(Reason),
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
