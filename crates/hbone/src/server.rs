//! The accepting side of one tunnel: takes plain CONNECTs, refuses everything else, drains when asked.

mod error;
mod flood;
mod incoming;
mod session;

use std::future::Future;

use ambit_transport::Watch;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::settings::ServerSettings;

pub use error::{AcceptError, ServeError};
pub use incoming::Incoming;
pub(crate) use incoming::proxy_status;
use session::Session;

/// What a connection did until it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Served {
    /// CONNECTs handed to the flow.
    pub requests: u64,
    /// Requests answered with 400 here: not a plain CONNECT, or without a target that may be named.
    pub malformed: u64,
}

/// Serves one connection until it has ended and every future of `on_request` is done.
///
/// Each CONNECT becomes an [`Incoming`], and the future that `on_request` makes of it is spawned on the current runtime.
/// At a graceful drain the peer is told to open no more streams (GOAWAY) and the open ones go on; at an immediate one
/// they are cut. A connection without streams is closed after [`ServerSettings::idle_timeout`].
///
/// # Errors
/// The connection ended badly; see [`ServeError`]. The streams in it have failed then, and their futures are done.
pub async fn serve<IO, F, Fut>(
    io: IO,
    settings: &ServerSettings,
    drain: Watch,
    on_request: F,
) -> Result<Served, ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    F: FnMut(Incoming) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    Session::open(io, settings, &drain).await?.run(&drain, on_request).await
}
