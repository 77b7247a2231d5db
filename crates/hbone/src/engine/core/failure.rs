//! Why a tunnel is over, as its driver and each of its streams are told.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::super::frame::Code;
use super::super::machine::Fault;
use crate::client::H2Error;
use crate::server::ServeError;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::engine) enum Failure {
    /// One of the two ends was done with it.
    Ended,
    /// The peer said GOAWAY, and that it was our fault.
    Dismissed(Code),
    /// The peer violated the protocol.
    Fault(Fault),
    /// The bytes could not be carried.
    Io(Arc<io::Error>),
}

impl Failure {
    pub(in crate::engine) fn client(&self) -> Result<(), H2Error> {
        match self {
            Self::Ended => Ok(()),
            Self::Io(error) => Err(H2Error::of_io(copy(error))),
            Self::Dismissed(_) | Self::Fault(_) => Err(H2Error::Protocol(self.to_string().into())),
        }
    }

    pub(in crate::engine) fn server(&self) -> Result<(), ServeError> {
        match self {
            Self::Ended => Ok(()),
            Self::Io(error) => Err(ServeError::Io(copy(error))),
            Self::Dismissed(_) | Self::Fault(_) => Err(ServeError::Protocol(self.to_string())),
        }
    }

    /// What a stream's user is told.
    pub(in crate::engine) fn lost(&self) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, format!("the tunnel was lost ({self})"))
    }
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("it was closed"),
            Self::Dismissed(code) => write!(f, "the peer closed it with {code}"),
            Self::Fault(Fault { code, text }) => write!(f, "{code}: {text}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}
