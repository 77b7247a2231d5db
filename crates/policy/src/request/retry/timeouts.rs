//! How long may a request and each of its tries take? (Gateway API HTTPRouteTimeouts, Istio `timeout` and
//! `perTryTimeout`, `grpc-timeout`)

use std::time::Duration;

use ambit_model::l7::route::Timeouts;
use http::HeaderMap;

use crate::request::grpc::grpc_timeout;

/// The time limits of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    request: Option<Duration>,
    each: Option<Duration>,
}

/// What ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The try: another one may follow.
    Try(Duration),
    /// The whole request: it is answered 504.
    Request(Duration),
    /// Neither.
    Never,
}

impl Timers {
    /// The limits of a rule for a request with these headers. A gRPC client's own limit counts where it is shorter than
    /// the rule's, and where the rule has none.
    pub fn new(timeouts: &Timeouts, grpc: bool, headers: &HeaderMap) -> Self {
        let limit = |timeout: Option<Duration>| timeout.filter(|timeout| !timeout.is_zero());
        let own = if grpc { grpc_timeout(headers) } else { None };
        let request = match (limit(timeouts.request), own) {
            (Some(rule), Some(own)) => Some(rule.min(own)),
            (rule, own) => rule.or(own),
        };
        Self { request, each: limit(timeouts.backend_request) }
    }

    /// What ends first for a try that begins when so much of the request's time has passed, and how long that is.
    pub fn due(&self, passed: Duration) -> Due {
        match (self.left(passed), self.each) {
            (Some(left), Some(each)) if each < left => Due::Try(each),
            (Some(left), _) => Due::Request(left),
            (None, Some(each)) => Due::Try(each),
            (None, None) => Due::Never,
        }
    }

    /// What is left of the request's time.
    pub fn left(&self, passed: Duration) -> Option<Duration> {
        self.request.map(|limit| limit.saturating_sub(passed))
    }
}
