//! What the end of a flow means: whose fault, which flag, how loud (design decision 14: counted and logged once).

use std::sync::Arc;

use ambit_hbone::{ConnectError, H2Error, OpenError};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::report::{ConnectionReport, Failure, Passed, Severity};
use ambit_transport::dial::DialFailure;
use ambit_transport::relay::{FailureKind, SharedCounters, Side};
use ambit_transport::{Abort, CloseReason, Counters, DialError, RelayError, Relayed};

use crate::pod::PodSocketError;

/// Passes a relay's bytes on to the report as they flow. Downstream is the client on either side of the mesh.
#[derive(Debug)]
pub struct Counted<'a>(pub &'a ConnectionReport);

impl Counters for Counted<'_> {
    fn sent(&self, bytes: u64) {
        self.0.request_bytes(bytes);
    }

    fn received(&self, bytes: u64) {
        self.0.response_bytes(bytes);
    }

    fn shared(&self) -> Option<SharedCounters> {
        Some(Arc::new(Counting(self.0.passed())))
    }
}

/// The same for bytes that are delivered past the relay.
struct Counting(Arc<Passed>);

impl Counters for Counting {
    fn sent(&self, bytes: u64) {
        self.0.request_bytes(bytes);
    }

    fn received(&self, bytes: u64) {
        self.0.response_bytes(bytes);
    }
}

/// Ends a captured connection and reports it. A failure must look like one to the client, which is reset; the orderly
/// end of an empty answer would be a lie.
pub fn conclude(mut client: impl Abort, report: ConnectionReport, outcome: Result<(), Failure>) {
    if outcome.is_err() {
        client.abort();
    }
    report.finish(outcome);
}

/// The end of a relay.
pub fn of_relay(ended: Result<Relayed, RelayError>) -> Result<(), Failure> {
    match ended {
        Ok(_) => Ok(()),
        Err(RelayError::Closed { reason: CloseReason::Policy(policy), .. }) => Err(Failure::denied(policy)),
        Err(RelayError::Closed { reason: CloseReason::Revoked, .. }) => {
            Err(Failure::new(ResponseFlag::CertRevoked, CloseReason::Revoked))
        }
        Err(RelayError::Closed { reason: CloseReason::PodRemoved | CloseReason::Drain, .. }) => {
            Err(Failure::drained())
        }
        // Passed through unchanged, so nothing failed here.
        Err(error @ RelayError::Failed { kind: FailureKind::Reset, .. }) => {
            Err(Failure::new(ResponseFlag::None, error).with_severity(Severity::Information))
        }
        Err(error @ RelayError::Failed { side: Side::Downstream, .. }) => {
            Err(Failure::new(ResponseFlag::None, error))
        }
        Err(error @ RelayError::Failed { side: Side::Upstream, .. }) => Err(Failure::connect(error)),
    }
}

/// A tunnel or stream that could not be had.
pub fn of_open(error: OpenError) -> Failure {
    let flag = match &error {
        OpenError::Refused { status: 401, .. } => ResponseFlag::Deny,
        OpenError::Connect(error) => of_connect(error),
        _ => ResponseFlag::Connect,
    };
    Failure::new(flag, error)
}

fn of_connect(error: &ConnectError) -> ResponseFlag {
    match error {
        ConnectError::Tls(_) | ConnectError::Http2(H2Error::TlsRefused(_)) => ResponseFlag::TlsFailure,
        ConnectError::Http2(_) => ResponseFlag::H2HandshakeFailure,
        ConnectError::Identity(_) => ResponseFlag::IdentityError,
        ConnectError::Dial(error) => match error.downcast_ref::<PodSocketError>() {
            // The known symptom of a NetworkPolicy that does not open port 15008 (Istio's flag of that name).
            Some(PodSocketError::Dial(DialError { failure: DialFailure::TimedOut, .. })) => {
                ResponseFlag::NetworkPolicy
            }
            _ => ResponseFlag::Connect,
        },
        ConnectError::Abandoned => ResponseFlag::Connect,
    }
}
