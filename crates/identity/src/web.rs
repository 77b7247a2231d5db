//! TLS to servers outside of the mesh: TLS 1.3, verified by roots and the host's name, HTTP/1.1.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::version::TLS13;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::control::ControlError;
use crate::tls::{HANDSHAKE_TIMEOUT, ReadAhead, TlsStream, tls_error};
use crate::{Provider, RootCa};

/// Why there is no TLS with a server.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The roots.
    #[error(transparent)]
    Roots(#[from] ControlError),
    /// A host that no certificate can name.
    #[error("{0:?} is no host name; correct the address")]
    Host(String),
    /// It takes too long.
    #[error("the TLS handshake takes longer than {HANDSHAKE_TIMEOUT:?}")]
    Timeout,
    /// It is refused, or not trusted.
    #[error("TLS fails: {0}")]
    Tls(String),
}

/// Shakes hands with the server `host`, whose certificate must be for that name and lead to one of `roots`.
pub async fn connect<IO: AsyncRead + AsyncWrite + Unpin + Send>(
    io: IO,
    host: &str,
    roots: &RootCa,
    provider: Provider,
) -> Result<TlsStream<IO>, WebError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| WebError::Host(host.to_owned()))?;
    let failed = |error: rustls::Error| WebError::Tls(error.to_string());
    let crypto = provider.crypto();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots.load()?), crypto.clone())
        .build()
        .map_err(|error| WebError::Tls(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, ReadAhead::new(io));
    let stream = timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| WebError::Timeout)?;
    let stream = stream.map_err(|error| {
        let reason = tls_error(&error).map_or_else(|| error.to_string(), ToString::to_string);
        WebError::Tls(reason)
    })?;
    Ok(TlsStream::library(stream.into()))
}
