//! Why an endpoint did not answer: what the client is told, and whether another try is safe.

use std::error::Error;

use ambit_hbone::OpenError;
use ambit_identity::tls::HandshakeError;
use ambit_policy::request::retry::End;
use ambit_telemetry::requests::RequestFlags;
use ambit_transport::DialError;

use crate::body::Progress;
use crate::reply::Reply;
use crate::strict::Ambiguous;

/// No connection to the endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP did not get there.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The tunnel, or a stream in it, could not be had.
    #[error(transparent)]
    Tunnel(#[from] OpenError),
    /// It took too long.
    #[error("no connection to the endpoint within {0:?}: check its node and the network between")]
    TimedOut(std::time::Duration),
    /// The application did not prove to be whom its rules want, or does not speak TLS.
    #[error("TLS to the application failed: {0}")]
    Tls(#[from] HandshakeError),
    /// As many requests as may wait do so already.
    #[error(
        "too many requests wait for a connection: raise connectionPool.http.http1MaxPendingRequests, or add endpoints"
    )]
    Overflow,
    /// The endpoint did not speak the version of HTTP.
    #[error("the endpoint does not speak HTTP as its port declares: {0}")]
    Http(#[from] hyper::Error),
}

/// No response to a request.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection was gone before a byte of the request had left.
    #[error("the connection was closed before the request was sent")]
    Gone,
    /// The endpoint did not process it (REFUSED_STREAM, or GOAWAY before it).
    #[error("the endpoint did not take the request: {0}")]
    Refused(hyper::Error),
    /// The endpoint reset the stream.
    #[error("the endpoint reset the stream: {0}")]
    Reset(hyper::Error),
    /// The endpoint closed the connection.
    #[error("the endpoint closed the connection before it had answered: {0}")]
    Closed(hyper::Error),
    /// What it answered is no HTTP.
    #[error("the endpoint's answer is malformed: {0}")]
    Malformed(hyper::Error),
    /// What it answered could be read in more than one way.
    #[error("the endpoint's answer is refused: {0}")]
    Ambiguous(#[from] Ambiguous),
    /// The client's own body broke off.
    #[error("the client broke off the request: {0}")]
    Client(hyper::Error),
}

impl SendError {
    /// What an error of the connection means.
    pub(super) fn of(error: hyper::Error, progress: &Progress) -> Self {
        if progress.has_failed() {
            return Self::Client(error);
        }
        if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
            return Self::Malformed(error);
        }
        match h2_of(&error) {
            Some(h2) if h2.reason() == Some(h2::Reason::REFUSED_STREAM) => Self::Refused(error),
            Some(h2) if h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR) => {
                Self::Refused(error)
            }
            Some(h2) if h2.is_reset() => Self::Reset(error),
            _ => Self::Closed(error),
        }
    }

    /// What a retry policy is told.
    pub fn end(&self, reused: bool) -> End {
        match self {
            Self::Gone => End::Reset { sent: false, reused },
            Self::Refused(_) => End::Refused,
            Self::Reset(_) | Self::Closed(_) | Self::Malformed(_) | Self::Ambiguous(_) => {
                End::Reset { sent: true, reused }
            }
            Self::Client(_) => End::Terminal,
        }
    }

    /// What the client is told.
    pub fn reply(&self) -> Reply {
        let (flags, reason) = match self {
            Self::Gone | Self::Closed(_) => (RequestFlags::ENDED_BY_ENDPOINT, "connection termination"),
            Self::Refused(_) | Self::Reset(_) => (RequestFlags::RESET_BY_ENDPOINT, "remote reset"),
            Self::Malformed(_) | Self::Ambiguous(_) => (RequestFlags::ENDPOINT_PROTOCOL, "protocol error"),
            Self::Client(_) => (RequestFlags::DISCONNECTED, "local reset"),
        };
        Reply::upstream(flags, reason, format!("upstream_reset_before_response_started{{{self}}}"))
    }
}

impl ConnectError {
    /// What a retry policy is told.
    pub fn end(&self) -> End {
        match self {
            Self::Overflow => End::Terminal,
            _ => End::ConnectFailed,
        }
    }

    /// What the client is told.
    pub fn reply(&self) -> Reply {
        let reason = match self {
            Self::Overflow => return Reply::overflow(self.to_string()),
            Self::TimedOut(_) => "connection timeout",
            Self::Dial(_) | Self::Tunnel(_) | Self::Http(_) | Self::Tls(_) => "remote connection failure",
        };
        let details = format!("upstream_reset_before_response_started{{{reason}: {self}}}");
        Reply::upstream(RequestFlags::CONNECT, reason, details)
    }
}

fn h2_of(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            return Some(h2);
        }
        source = error.source();
    }
    None
}
