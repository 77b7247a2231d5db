//! What the end of a flow means: whose fault, which flag, how loud (design decision 14: counted and logged once).

use std::io;

use ambit_app::outcome::of_relay;
use ambit_hbone::{ConnectError, H2Error, OpenError};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::report::{ConnectionReport, Failure};
use ambit_transport::dial::DialFailure;
use ambit_transport::relay::{Direction, FailureKind, Side};
use ambit_transport::{Abort, DialError, RelayError, Relayed};

use crate::pod::PodSocketError;

/// Ends a captured connection and reports it. A failure must look like one to the client, which is reset; the orderly
/// end of an empty answer would be a lie.
pub fn conclude(mut client: impl Abort, report: ConnectionReport, outcome: Result<(), Failure>) {
    if outcome.is_err() {
        client.abort();
    }
    report.finish(outcome);
}

/// Who cut a hand-over short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The source pod.
    BySource,
    /// The destination pod, or a policy of its.
    ByDestination,
    /// The process.
    ByBoth,
    /// The way between them: the address is nobody's any more.
    Between,
}

/// The end of the one relay of a hand-over: what its source and what its destination have to say. As with a tunnel between
/// them, each hears of what happened at the other end as a reset.
pub fn of_hand_over(
    ended: Result<Relayed, RelayError>,
    cut: Option<Cut>,
) -> (Result<(), Failure>, Result<(), Failure>) {
    let by = match &ended {
        Ok(_) => return (Ok(()), Ok(())),
        Err(RelayError::Failed { side: Side::Downstream, .. }) => Cut::BySource,
        Err(RelayError::Failed { side: Side::Upstream, .. }) => Cut::ByDestination,
        Err(RelayError::Closed { .. }) => cut.unwrap_or(Cut::ByBoth),
    };
    match by {
        Cut::BySource => (of_relay(ended), heard_of(Side::Downstream)),
        Cut::ByDestination => (heard_of(Side::Upstream), of_relay(ended)),
        Cut::ByBoth => (Err(Failure::drained()), Err(Failure::drained())),
        Cut::Between => (heard_of(Side::Upstream), heard_of(Side::Downstream)),
    }
}

fn heard_of(side: Side) -> Result<(), Failure> {
    let direction = match side {
        Side::Downstream => Direction::Send,
        Side::Upstream => Direction::Receive,
    };
    let source = io::Error::new(io::ErrorKind::ConnectionReset, "the other end of the hand-over ended it");
    of_relay(Err(RelayError::Failed {
        side,
        direction,
        kind: FailureKind::Reset,
        source,
        sent: 0,
        received: 0,
    }))
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
