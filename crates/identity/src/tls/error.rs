//! Why a handshake failed, and whose fault it was.

use std::io;

use crate::verify::PeerRefusal;

/// Why [`accept`](super::accept) failed.
pub type AcceptError = HandshakeError;

/// Why [`connect`](super::connect) failed.
pub type ConnectError = HandshakeError;

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The other end of the connection.
    Peer,
    /// The network between, or the end of the other process.
    Network,
    /// This process or its configuration.
    Local,
}

/// Why a TLS handshake failed. None of these is worth an immediate retry except [`Fault::Network`]'s.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer was too slow.
    #[error("the peer did not finish the TLS handshake within 5 s")]
    Timeout,
    /// The peer hung up in the middle.
    #[error("the peer closed the connection during the TLS handshake")]
    Closed,
    /// The connection broke.
    #[error("the connection failed during the TLS handshake: {0}")]
    Io(#[source] io::Error),
    /// A client came without a certificate.
    #[error("the peer sent no certificate: only mesh workloads may connect here")]
    NoCertificate,
    /// Its certificate was refused.
    #[error("{0}")]
    Peer(PeerRefusal),
    /// The peer refused us, most often our certificate.
    #[error("the peer refused the TLS handshake with alert {0}: check that both sides trust the same roots")]
    Refused(String),
    /// Its bytes are not TLS 1.3 as we speak it.
    #[error("the peer does not speak TLS 1.3 as the mesh does: {0}")]
    Protocol(String),
    /// We cannot even begin.
    #[error("no TLS configuration can be made for our certificate: {0}")]
    Configuration(String),
}

impl HandshakeError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Closed | Self::Io(_) => Fault::Network,
            Self::Configuration(_) => Fault::Local,
            Self::Timeout | Self::NoCertificate | Self::Peer(_) | Self::Refused(_) | Self::Protocol(_) => {
                Fault::Peer
            }
        }
    }

    /// Reads what tokio-rustls reports.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match tls_error(&error) {
            Some(tls) => Self::from_tls(tls.clone()),
            None if is_hang_up(error.kind()) => Self::Closed,
            None => Self::Io(error),
        }
    }

    /// Reads what rustls says.
    pub(crate) fn from_tls(error: rustls::Error) -> Self {
        match error {
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::InvalidCertificate(reason) => Self::Peer(PeerRefusal::from_tls(&reason)),
            rustls::Error::AlertReceived(alert) => Self::Refused(format!("{alert:?}")),
            other => Self::Protocol(other.to_string()),
        }
    }
}

fn is_hang_up(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

pub(crate) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Whether an error of a [`TlsStream`](super::TlsStream) is the peer's TLS alert: after a connect that seemed to
/// succeed, the server has refused our certificate. Also true of a copy of such an error that kept only its kind and
/// text, as HTTP/2 libraries make them.
pub fn is_tls_refusal(error: &io::Error) -> bool {
    match tls_error(error) {
        Some(tls) => matches!(tls, rustls::Error::AlertReceived(_)),
        None => {
            error.kind() == io::ErrorKind::InvalidData && error.to_string().contains("received fatal alert")
        }
    }
}
