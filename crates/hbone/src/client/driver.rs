//! What moves a tunnel's bytes: to be spawned, or polled beside its user.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use super::H2Error;
use crate::activity::Activity;
use crate::headroom::Growth;
use crate::keepalive::Keepalive;
use crate::settings::Liveness;
use crate::{engine, library};

/// Runs one connection until it has ended; dropping it cuts the connection and fails every stream in it.
///
/// Ends well when both sides are done with it; fails when the peer broke the protocol, vanished or did not answer PING.
#[derive(Debug)]
#[must_use = "a connection stands still unless its driver is polled"]
pub struct Driver<IO: AsyncRead + AsyncWrite + Unpin> {
    link: Option<Link<IO>>,
    keepalive: Keepalive,
    activity: Arc<Activity>,
    growth: Growth,
    silence: std::time::Duration,
}

/// The connection in its engine.
#[derive(Debug)]
pub(super) enum Link<IO: AsyncRead + AsyncWrite + Unpin> {
    Own(engine::client::Link),
    Library(Box<library::client::Link<IO>>),
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Link<IO> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H2Error>> {
        match self {
            Self::Own(link) => link.poll(cx),
            Self::Library(link) => link.poll(cx),
        }
    }

    fn set_window(&mut self, window: u32) {
        match self {
            Self::Own(link) => link.set_window(window),
            Self::Library(link) => link.set_window(window),
        }
    }

    fn ask(&mut self) {
        match self {
            Self::Own(link) => link.ask(),
            Self::Library(link) => link.ask(),
        }
    }

    /// Whether the peer is expected to take or to send something.
    fn busy(&self, streams: usize) -> bool {
        streams > 0 || matches!(self, Self::Own(link) if link.backlog())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    pub(super) fn new(link: Link<IO>, activity: Arc<Activity>, liveness: Liveness, growth: Growth) -> Self {
        let silence = liveness.ping_interval + liveness.ping_timeout;
        Self { link: Some(link), keepalive: Keepalive::new(liveness), activity, growth, silence }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Driver<IO> {
    type Output = Result<(), H2Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(link) = &mut this.link else { return Poll::Ready(Ok(())) };
        let streams = this.activity.streams();
        if let Some(window) = this.growth.adjust(streams) {
            link.set_window(window);
        }
        let outcome = match link.poll(cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                let busy = link.busy(streams);
                match this.keepalive.poll(cx, this.activity.received(), busy, || link.ask()) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(_) => Err(H2Error::Silent(this.silence)),
                }
            }
        };
        this.activity.retire();
        this.link = None;
        Poll::Ready(outcome)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Drop for Driver<IO> {
    fn drop(&mut self) {
        self.activity.retire();
    }
}
