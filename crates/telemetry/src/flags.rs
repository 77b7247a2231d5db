//! Why a connection ended badly, in the words of Istio's `response_flags` label.

use std::fmt;

/// The value of `response_flags`. The set is Istio's and closed: finer reasons (such as `POLICY_PENDING`) go into the
/// error text of the access log, so that dashboards keep working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum ResponseFlag {
    /// `-`: nothing went wrong.
    #[default]
    None,
    /// `DENY`: refused, or cut later, by an authorization policy.
    Deny,
    /// `CONNECT`: no connection to the next hop, or it was lost.
    Connect,
    /// `TLS_FAILURE`: the TLS handshake failed.
    TlsFailure,
    /// `H2_HANDSHAKE_FAILURE`: the HTTP/2 handshake or CONNECT failed.
    H2HandshakeFailure,
    /// `NETWORK_POLICY`: port 15008 could not be reached in time, as when a NetworkPolicy blocks it.
    NetworkPolicy,
    /// `IDENTITY_ERROR`: no certificate for the own identity.
    IdentityError,
    /// `CERT_REVOKED`: cut because the peer's certificate is revoked.
    CertRevoked,
}

impl ResponseFlag {
    /// Every flag.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Deny,
        Self::Connect,
        Self::TlsFailure,
        Self::H2HandshakeFailure,
        Self::NetworkPolicy,
        Self::IdentityError,
        Self::CertRevoked,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Deny => "DENY",
            Self::Connect => "CONNECT",
            Self::TlsFailure => "TLS_FAILURE",
            Self::H2HandshakeFailure => "H2_HANDSHAKE_FAILURE",
            Self::NetworkPolicy => "NETWORK_POLICY",
            Self::IdentityError => "IDENTITY_ERROR",
            Self::CertRevoked => "CERT_REVOKED",
        }
    }
}

impl fmt::Display for ResponseFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
