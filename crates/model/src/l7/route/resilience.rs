//! Timeouts, retries and session persistence of a rule.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Text;

/// How long things may take. Zero is without limit, `None` is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// The whole exchange with the client, retries included.
    pub request: Option<Duration>,
    /// One try, from the request to the end of its response (Gateway API `backendRequest`, Istio `perTryTimeout`).
    pub backend_request: Option<Duration>,
}

/// When a request is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Retries after the first try; 0 switches them off.
    pub attempts: u32,
    /// Conditions, any of them.
    pub on: Vec<RetryCondition>,
    /// Response codes that count as failures, besides the conditions.
    pub codes: Vec<u16>,
    /// Base of the exponential, jittered pause between tries: 25 ms unless said, at most ten times the base.
    pub backoff: Option<Duration>,
    /// Tries go to an endpoint that has not failed yet, where there is one.
    pub avoid_previous: bool,
}

/// A failure that may be retried (Envoy's `retry_on` words, which Istio takes over).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RetryCondition {
    /// `5xx`: any 5xx, or no response at all.
    ServerError,
    /// `gateway-error`: 502, 503, 504.
    GatewayError,
    /// `reset`: no response.
    Reset,
    /// `reset-before-request`: no response, and the request had not been sent.
    ResetBeforeRequest,
    /// `connect-failure`: no connection.
    ConnectFailure,
    /// `refused-stream`: the endpoint did not process it.
    RefusedStream,
    /// `retriable-4xx`: 409.
    Retriable4xx,
    /// `retriable-status-codes`: those listed, or 503 where none is.
    StatusCodes,
    /// `cancelled`: gRPC status 1.
    Cancelled,
    /// `deadline-exceeded`: gRPC status 4.
    DeadlineExceeded,
    /// `resource-exhausted`: gRPC status 8.
    ResourceExhausted,
    /// `internal`: gRPC status 13.
    Internal,
    /// `unavailable`: gRPC status 14.
    Unavailable,
}

/// Where a session's endpoint is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionKind {
    /// In a cookie.
    Cookie,
    /// In a header.
    Header,
}

/// A client keeps its endpoint (Gateway API SessionPersistence, GEP-1619).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionPersistence {
    /// Where it is remembered.
    pub kind: SessionKind,
    /// Name of the cookie or header.
    pub name: Text,
    /// After this time the session ends, whatever happens.
    pub absolute_timeout: Option<Duration>,
    /// The cookie outlives the browser (`lifetimeType: Permanent`): it is given the absolute timeout as its age.
    pub permanent: bool,
    /// `Path` attribute of the cookie; `None` leaves it out.
    pub path: Option<Text>,
}
