//! How did a try end, and does a policy retry that?

use ambit_model::l7::route::{Retry, RetryCondition};
use http::StatusCode;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// No connection to the endpoint.
    ConnectFailed,
    /// The connection or stream ended without a response.
    Reset {
        /// Whether any of the request had been sent.
        sent: bool,
        /// Whether the connection had served requests before.
        reused: bool,
    },
    /// The endpoint says that it did not process the request: REFUSED_STREAM, or GOAWAY with an earlier last stream
    /// (RFC 9113 section 8.7).
    Refused,
    /// The try took longer than one may.
    TimedOut,
    /// The request took longer than all tries together may, or a limit of ours refused it: never retried.
    Terminal,
    /// A response.
    Response {
        /// Its status.
        status: StatusCode,
        /// Its gRPC status, in headers or, behind at most one frame of data, in trailers.
        grpc: Option<u16>,
    },
}

/// How a try ended, and whether another one is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// Whether the request can be sent again: all of its body is at hand, and no byte of a response has gone to the
    /// client.
    pub replayable: bool,
}

impl Ended {
    /// Whether the policy retries this. `cautious`: only what the endpoint has not begun to process.
    pub(super) fn is_retriable(&self, retry: &Retry, cautious: bool) -> bool {
        let on = |conditions: &[RetryCondition]| conditions.iter().any(|each| retry.on.contains(each));
        use RetryCondition as On;
        // Envoy counts every end without a response as the 5xx that it becomes.
        let lost = [On::ServerError, On::GatewayError, On::Reset];
        match self.end {
            End::Terminal => false,
            // Nobody has seen the request: any policy that retries at all may.
            End::Refused => true,
            End::ConnectFailed => on(&lost) || on(&[On::ConnectFailure, On::ResetBeforeRequest]),
            End::Reset { sent: false, .. } => on(&lost) || on(&[On::ResetBeforeRequest]),
            End::Reset { sent: true, .. } | End::TimedOut => !cautious && on(&lost),
            End::Response { status, grpc } => !cautious && (is_code(retry, status) || is_grpc(retry, grpc)),
        }
    }
}

fn is_code(retry: &Retry, status: StatusCode) -> bool {
    let code = status.as_u16();
    let listed = || retry.codes.contains(&code);
    listed()
        || retry.on.iter().any(|condition| match condition {
            RetryCondition::ServerError => status.is_server_error(),
            RetryCondition::GatewayError => matches!(code, 502..=504),
            RetryCondition::Retriable4xx => code == 409,
            RetryCondition::StatusCodes => retry.codes.is_empty() && code == 503,
            _ => false,
        })
}

fn is_grpc(retry: &Retry, grpc: Option<u16>) -> bool {
    let condition = match grpc {
        Some(1) => RetryCondition::Cancelled,
        Some(4) => RetryCondition::DeadlineExceeded,
        Some(8) => RetryCondition::ResourceExhausted,
        Some(13) => RetryCondition::Internal,
        Some(14) => RetryCondition::Unavailable,
        _ => return false,
    };
    retry.on.contains(&condition)
}
