//! How serving a tunnel, or answering one CONNECT in it, can fail.

use std::io;
use std::time::Duration;

/// A connection that ended badly. The peer's doing, all of them.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No HTTP/2 preface and SETTINGS in time.
    #[error(
        "no HTTP/2 preface and SETTINGS from the client within {0:?}: it does not speak HBONE, or stalls"
    )]
    TimedOut(Duration),
    /// What came is not HTTP/2, or violates it.
    #[error("the client violated HTTP/2 ({0}): check that it is an HBONE client")]
    Protocol(String),
    /// The client opened and took back streams faster than is of any use.
    #[error("the client took back {resets} of {requests} requests before an answer: closed as a flood")]
    Flood {
        /// Requests looked at.
        requests: usize,
        /// Those taken back.
        resets: usize,
    },
    /// The client stopped answering.
    #[error(
        "nothing from the client for {0:?}, not even an answer to PING: check the node and the network between"
    )]
    Silent(Duration),
    /// The bytes could not be carried.
    #[error("the tunnel's connection failed ({0}): check the network and the client")]
    Io(#[source] io::Error),
}

/// An answer that did not reach the client: it took the request back, or the connection is gone.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone before its answer ({0}): nothing to do")]
pub struct AcceptError(Box<str>);

impl AcceptError {
    pub(crate) fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string().into())
    }
}
