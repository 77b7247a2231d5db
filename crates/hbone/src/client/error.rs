//! Why a tunnel or a stream in it could not be had: whose fault, and whether another try is safe.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::authority::InvalidAuthority;
use crate::pool::ConnectError;
use crate::server::proxy_status;

/// A connection that cannot be used as a tunnel. Cheap to clone: everyone who waited for it is told the same.
#[derive(Debug, Clone, thiserror::Error)]
pub enum H2Error {
    /// The peer refused us in TLS, after our side of the handshake was done: it does not accept our certificate.
    #[error("the peer refused our certificate ({0}): check its trust bundle and trust domain against ours")]
    TlsRefused(Arc<io::Error>),
    /// No SETTINGS in time.
    #[error("no HTTP/2 SETTINGS from the peer within {0:?}: check that an HBONE server listens on that port")]
    TimedOut(Duration),
    /// The peer closed the connection before it was of use.
    #[error("the peer closed the tunnel: check that it is not shutting down and accepts our identity")]
    Closed,
    /// The peer stopped answering: no byte for this long although it was asked (PING).
    #[error(
        "nothing from the peer for {0:?}, not even an answer to PING: check the node and the network between"
    )]
    Silent(Duration),
    /// The peer, or its library for us, found the protocol violated.
    #[error("HTTP/2 failed ({0}): check that the peer is an HBONE server")]
    Protocol(Arc<str>),
    /// The bytes could not be carried.
    #[error("the tunnel's connection failed ({0}): check the network and the peer")]
    Io(Arc<io::Error>),
    /// The peer allows no streams at all (SETTINGS_MAX_CONCURRENT_STREAMS 0).
    #[error("the peer allows no streams: raise its stream limit above 0")]
    NoStreams,
}

impl H2Error {
    /// What an error of the connection below means.
    pub(crate) fn of_io(error: io::Error) -> Self {
        match error.kind() {
            _ if is_alert(&error) => Self::TlsRefused(Arc::new(error)),
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

/// Whether the peer ended TLS by an alert. What is left of an error here is its kind and its text.
fn is_alert(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData && error.to_string().contains("received fatal alert")
}

/// A stream that could not be opened. Nobody got a byte of the carried connection, except perhaps where the answer was
/// lost ([`Self::Reset`], [`Self::Lost`]) to first bytes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The peer answered, and the answer is no. 401 is its policy's, 400 a target it does not serve, 503 a target it
    /// cannot reach (Istio's meanings).
    #[error("the peer refused the connection with status {status}{}: see the peer's log", Details(details))]
    Refused {
        /// The HTTP status, never 200.
        status: u16,
        /// What the peer says about it (`proxy-status`), printable, at most 256 bytes.
        details: Option<String>,
    },
    /// No connection to the peer could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Every stream of the connection is in use.
    #[error("every stream of the tunnel is in use: open another tunnel")]
    Full,
    /// The connection takes no new streams any more, or the pool has been closed.
    #[error("the tunnel is closed: open another")]
    Closed,
    /// The peer has not looked at the request (GOAWAY, REFUSED_STREAM): another try is safe.
    #[error("the peer did not take the stream ({0}): try again")]
    NotProcessed(Arc<str>),
    /// The peer took the request and dropped it without an answer.
    #[error("the peer reset the stream before answering ({0}): see the peer's log")]
    Reset(Arc<str>),
    /// The connection failed before there was an answer.
    #[error("the tunnel failed before the answer ({0}): check the peer and the network between")]
    Lost(Arc<str>),
    /// The target cannot be written as an `:authority`.
    #[error(transparent)]
    Authority(#[from] InvalidAuthority),
}

/// A stream that could not be opened, and what may have come of it.
#[derive(Debug)]
pub(crate) struct Unopened {
    pub(crate) error: OpenError,
    /// First bytes of the carried connection may have reached the peer.
    pub(crate) exposed: bool,
}

/// Without first bytes.
impl From<OpenError> for Unopened {
    fn from(error: OpenError) -> Self {
        Self { error, exposed: false }
    }
}

impl OpenError {
    /// A refusal as a client hears of it that is told `status` and `details` by a server of ours.
    pub fn refused(status: StatusCode, details: &str) -> Self {
        let details = proxy_status(details).as_ref().and_then(super::request::details);
        Self::Refused { status: status.as_u16(), details }
    }

    /// Whether the peer certainly did nothing with the request.
    pub fn not_processed(&self) -> bool {
        matches!(self, Self::NotProcessed(_) | Self::Closed | Self::Full)
    }
}

struct Details<'a>(&'a Option<String>);

impl std::fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(details) => write!(f, " ({details})"),
            None => Ok(()),
        }
    }
}
