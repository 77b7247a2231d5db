//! What a relay means for the report of its connection: its bytes as they pass, and its end.

use std::sync::Arc;

use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::report::{ConnectionReport, Failure, Passed, Severity};
use ambit_transport::relay::{FailureKind, SharedCounters, Side};
use ambit_transport::{CloseReason, Counters, RelayError, Relayed};

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
