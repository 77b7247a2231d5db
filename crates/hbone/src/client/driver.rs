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
use crate::stream::Payload;
use crate::watched::Watched;

/// Runs one connection until it has ended; dropping it cuts the connection and fails every stream in it.
///
/// Ends well when both sides are done with it; fails when the peer broke the protocol, vanished or did not answer PING.
#[derive(Debug)]
#[must_use = "a connection stands still unless its driver is polled"]
pub struct Driver<IO: AsyncRead + AsyncWrite + Unpin> {
    connection: Option<h2::client::Connection<Watched<IO>, Payload>>,
    keepalive: Keepalive,
    activity: Arc<Activity>,
    growth: Growth,
    silence: std::time::Duration,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    pub(super) fn new(
        mut connection: h2::client::Connection<Watched<IO>, Payload>,
        activity: Arc<Activity>,
        liveness: Liveness,
        growth: Growth,
    ) -> Self {
        let silence = liveness.ping_interval + liveness.ping_timeout;
        let keepalive = Keepalive::new(liveness, connection.ping_pong());
        Self { connection: Some(connection), keepalive, activity, growth, silence }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Driver<IO> {
    type Output = Result<(), H2Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(connection) = &mut this.connection else { return Poll::Ready(Ok(())) };
        let streams = this.activity.streams();
        if let Some(window) = this.growth.adjust(streams) {
            connection.set_target_window_size(window);
        }
        let outcome = match Pin::new(connection).poll(cx) {
            Poll::Ready(ended) => ended.map_err(H2Error::new),
            Poll::Pending => match this.keepalive.poll(cx, this.activity.received(), streams > 0) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(_) => Err(H2Error::Silent(this.silence)),
            },
        };
        this.activity.retire();
        this.connection = None;
        Poll::Ready(outcome)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Drop for Driver<IO> {
    fn drop(&mut self) {
        self.activity.retire();
    }
}
