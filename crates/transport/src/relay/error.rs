//! How a relay can end before both sides have finished, and whose doing it was.

use std::fmt;
use std::io;

/// One of the two streams of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The stream that was accepted.
    Downstream,
    /// The stream that was dialled.
    Upstream,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Downstream => Self::Upstream,
            Self::Upstream => Self::Downstream,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
        })
    }
}

/// The way that bytes were going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Downstream to upstream.
    Send,
    /// Upstream to downstream.
    Receive,
}

impl Direction {
    /// The way back.
    pub fn other(self) -> Self {
        match self {
            Self::Send => Self::Receive,
            Self::Receive => Self::Send,
        }
    }

    /// The side that is read.
    pub fn from(self) -> Side {
        match self {
            Self::Send => Side::Downstream,
            Self::Receive => Side::Upstream,
        }
    }

    /// The side that is written.
    pub fn to(self) -> Side {
        self.from().other()
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Send => "sending",
            Self::Receive => "receiving",
        })
    }
}

/// What happened to a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// It reset the connection, or closed it while bytes were under way to it.
    Reset,
    /// It stopped answering (keepalive, user timeout).
    TimedOut,
    /// It vanished from the network.
    Unreachable,
    /// Its stream ended without the end marker of its protocol (a TLS stream without `close_notify`).
    Truncated,
    /// Its protocol was violated.
    Invalid,
    /// Anything else.
    Other,
}

impl FailureKind {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::WriteZero => Self::Reset,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => Self::Unreachable,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::InvalidData => Self::Invalid,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "reset the connection",
            Self::TimedOut => "stopped answering",
            Self::Unreachable => "vanished from the network",
            Self::Truncated => "ended without its end marker",
            Self::Invalid => "violated its protocol",
            Self::Other => "failed",
        })
    }
}

/// Why this proxy ends a connection that both ends would have kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The policy of this name (or the reason given) no longer allows it.
    Policy(String),
    /// The peer's certificate was revoked.
    Revoked,
    /// The pod has been removed from the mesh or deleted.
    PodRemoved,
    /// The drain ran out of patience.
    Drain,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(policy) => write!(f, "no longer allowed by policy ({policy})"),
            Self::Revoked => f.write_str("the peer's certificate is revoked"),
            Self::PodRemoved => f.write_str("the pod left the mesh"),
            Self::Drain => f.write_str("the drain's deadline passed"),
        }
    }
}

/// A relay that ended early, with the bytes that had passed until then.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A side failed; the other was reset.
    #[error("{side} {kind} while {direction}: {source}")]
    Failed {
        /// Whose fault.
        side: Side,
        /// What was being done.
        direction: Direction,
        /// What happened.
        kind: FailureKind,
        /// The stream's own error.
        source: io::Error,
        /// As [`Relayed::sent`](super::Relayed::sent).
        sent: u64,
        /// As [`Relayed::received`](super::Relayed::received).
        received: u64,
    },
    /// This proxy ended it; both sides were reset.
    #[error("closed: {reason}")]
    Closed {
        /// Why.
        reason: CloseReason,
        /// As [`Relayed::sent`](super::Relayed::sent).
        sent: u64,
        /// As [`Relayed::received`](super::Relayed::received).
        received: u64,
    },
}

impl RelayError {
    /// The bytes that had passed before the end.
    pub fn relayed(&self) -> super::Relayed {
        match self {
            Self::Failed { sent, received, .. } | Self::Closed { sent, received, .. } => {
                super::Relayed { sent: *sent, received: *received }
            }
        }
    }
}
