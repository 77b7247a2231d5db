//! The controller's own certificate, and TLS for whoever connects to it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::authority::SignError;
use crate::certificate::session::without_resumption;
use crate::tls::{AcceptError, ReadAhead, TlsStream, within_limit};
use crate::{Authority, KeyPair};

/// A certificate for a control server: DNS names and addresses, no identity of the mesh. Clients prove themselves by
/// their token inside, not by a certificate.
pub struct ServingCertificate {
    config: Arc<ServerConfig>,
    not_after: SystemTime,
}

impl ServingCertificate {
    /// Issues one with a new key. `names` are DNS names and IP addresses; it ends `lifetime` after `now`, or with the
    /// authority. Issue a new one at half of that.
    pub fn issue(
        authority: &Authority,
        names: &[String],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, SignError> {
        let key =
            KeyPair::generate(authority.provider()).map_err(|error| SignError::Signing(error.to_string()))?;
        let chain = authority.issue_serving(key.public(), names, lifetime, now)?;
        let certified = Arc::new(CertifiedKey::new(chain, key.signing().clone()));
        let config = ServerConfig::builder_with_provider(key.provider().crypto())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| SignError::Signing(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        let not_after =
            now.checked_add(lifetime).map_or(authority.not_after(), |end| end.min(authority.not_after()));
        Ok(Self { config: Arc::new(without_resumption(config)), not_after })
    }

    /// When it ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingCertificate").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The server's side of a control connection: TLS 1.3, HTTP/2, no client certificate. Takes at most
/// [`HANDSHAKE_TIMEOUT`](crate::tls::HANDSHAKE_TIMEOUT).
pub async fn accept_control<IO>(
    io: IO,
    certificate: &ServingCertificate,
) -> Result<TlsStream<IO>, AcceptError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let accept = TlsAcceptor::from(certificate.config.clone()).accept(ReadAhead::new(io));
    Ok(TlsStream::library(within_limit(accept).await?.into()))
}
