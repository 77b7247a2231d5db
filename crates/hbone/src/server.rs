//! The accepting side of one tunnel: takes plain CONNECTs, refuses everything else, drains when asked.

mod answer;
mod error;
mod flood;
mod incoming;
mod session;
mod target;

use std::future::Future;

use ambit_transport::Watch;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::activity::Activity;
use crate::carrier::Carrier;
use crate::settings::{Engine, ServerSettings};
use crate::{engine, library};

pub(crate) use answer::{Answer, proxy_status};
pub use error::{AcceptError, ServeError};
pub use incoming::Incoming;
use session::Session;
pub(crate) use session::{Farewell, Link};
pub(crate) use target::{Head, target};

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
    IO: Carrier + AsyncRead + AsyncWrite + Unpin,
    F: FnMut(Incoming) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let activity = Activity::new();
    match settings.engine {
        Engine::Own => {
            let link = engine::server::handshake(io, settings, activity.clone());
            Session::open(link, activity.clone(), settings, &drain).await?.run(&drain, on_request).await
        }
        Engine::Library => {
            let link = library::server::handshake(io, settings, activity.clone());
            Session::open(link, activity.clone(), settings, &drain).await?.run(&drain, on_request).await
        }
    }
}
