//! TLS to an application that has a certificate of its own (Istio `ClientTLSSettings`, Gateway API BackendTLSPolicy): not
//! the mesh's identities, but names and authorities that a user gives.

mod names;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::destination_rule::UpstreamTls;
use rustls::client::WebPkiServerVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::control::SYSTEM_BUNDLES;
use crate::pem;
use crate::provider::provider;
use crate::tls::{HandshakeError, ReadAhead, TlsStream, within_limit};
use names::Names;

/// What is spoken inside (ALPN, RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Inside {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Bytes: nothing is offered.
    Bytes,
}

/// Why TLS cannot be set up as a user asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTls {
    /// The authorities.
    #[error("the authorities are no PEM certificates: {0}")]
    Authorities(String),
    /// There are none.
    #[error("no authority is given, and this machine's own roots cannot be read: {0}")]
    NoAuthorities(String),
    /// The own certificate or key.
    #[error("the client certificate cannot be used: {0}")]
    Certificate(String),
    /// The library refuses it.
    #[error("TLS cannot be set up: {0}")]
    Settings(String),
}

/// How an application is called with TLS. Made once for its settings.
pub struct ApplicationTls {
    server_name: Option<Text>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    bytes: Arc<ClientConfig>,
}

impl fmt::Debug for ApplicationTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplicationTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl ApplicationTls {
    /// Reads the settings. TLS 1.3 is spoken, with the mesh's own suites and groups.
    ///
    /// # Errors
    /// They cannot be obeyed.
    pub fn new(settings: &UpstreamTls) -> Result<Self, InvalidTls> {
        let crypto = provider();
        let unfit = |error: rustls::Error| InvalidTls::Settings(error.to_string());
        let roots = if settings.insecure { None } else { Some(Arc::new(roots(&settings.authorities)?)) };
        let names = Names::new(roots, &settings.names, crypto.clone()).map_err(InvalidTls::Settings)?;
        let builder = ClientConfig::builder_with_provider(crypto)
            .with_protocol_versions(&[&TLS13])
            .map_err(unfit)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(names));
        let mut config = if settings.certificate.is_empty() {
            builder.with_no_client_auth()
        } else {
            let wrong = |why: String| InvalidTls::Certificate(why);
            let chain = pem::certificates(&settings.certificate).map_err(|why| wrong(why.to_string()))?;
            let key = PrivateKeyDer::from_pem_slice(settings.key.0.as_bytes());
            let key = key.map_err(|_| wrong("its key is no unencrypted PEM private key".to_owned()))?;
            builder.with_client_auth_cert(chain, key).map_err(|why| wrong(why.to_string()))?
        };
        let bytes = Arc::new(config.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { server_name: settings.server_name.clone(), http1, http2: Arc::new(config), bytes })
    }

    /// Whether the server's name is that of each request.
    pub fn follows_host(&self) -> bool {
        self.server_name.is_none()
    }

    /// Speaks TLS to the application at the other end. `host` is asked for where the settings name no server.
    ///
    /// # Errors
    /// It has no certificate that the settings accept, or refuses ours.
    pub async fn connect<IO>(
        &self,
        io: IO,
        host: &str,
        inside: Inside,
    ) -> Result<TlsStream<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.server_name.as_deref().unwrap_or(host);
        let config = match inside {
            Inside::Http1 => &self.http1,
            Inside::Http2 => &self.http2,
            Inside::Bytes => &self.bytes,
        };
        let handshake = TlsConnector::from(config.clone()).connect(server_name(name), ReadAhead::new(io));
        Ok(TlsStream::library(within_limit(handshake).await?.into()))
    }
}

/// The name as TLS sends it. What no certificate could name becomes an address that none names, and that is not sent.
fn server_name(name: &str) -> ServerName<'static> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let nobody = || ServerName::from(IpAddr::from([0, 0, 0, 0]));
    ServerName::try_from(bare.to_owned()).unwrap_or_else(|_| nobody())
}

fn roots(authorities: &str) -> Result<RootCertStore, InvalidTls> {
    let text = match authorities {
        "" => system_roots()?,
        text => text.to_owned(),
    };
    let list = pem::certificates(&text).map_err(|why| InvalidTls::Authorities(why.to_string()))?;
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(list);
    if added == 0 {
        return Err(InvalidTls::Authorities("none of them can be a root".to_owned()));
    }
    Ok(store)
}

fn system_roots() -> Result<String, InvalidTls> {
    let found = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.exists());
    let found = found.ok_or_else(|| InvalidTls::NoAuthorities("there is no file of them".to_owned()))?;
    std::fs::read_to_string(found).map_err(|error| InvalidTls::NoAuthorities(error.to_string()))
}

/// The library's own check of chains, with these roots.
fn chain_verifier(
    roots: Arc<RootCertStore>,
    crypto: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(roots, crypto).build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
