//! TLS with clients outside of the mesh, at a gateway: a certificate that a user gives, and no identity of the client's.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_model::Text;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;

use crate::certificate::description::validity;
use crate::public_key::PublicKey;
use crate::san::parse;
use crate::tls::{AcceptError, ReadAhead, TlsStream, within_limit};
use crate::{KeyPair, Provider, pem};

/// Why a certificate cannot be served. Nothing of what was given is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitCertificate {
    /// The chain.
    #[error("tls.crt holds no readable PEM certificate")]
    Chain,
    /// The key.
    #[error("tls.key is no unencrypted PEM private key of type ECDSA P-256, ECDSA P-384 or RSA")]
    Key,
    /// They are two pairs' halves.
    #[error("tls.key is not the key of the first certificate in tls.crt")]
    Mismatch,
    /// The library refuses it.
    #[error("TLS cannot be set up with it: {0}")]
    Settings(String),
}

/// A certificate for clients outside of the mesh, with its key. TLS 1.3; HTTP/2 or HTTP/1.1 inside.
pub struct OutsideCertificate {
    config: Arc<ServerConfig>,
    fingerprint: Text,
    not_after: SystemTime,
}

impl OutsideCertificate {
    /// Reads a chain, leaf first, and the leaf's key, both PEM.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, UnfitCertificate> {
        let chain = pem::certificates(chain).map_err(|_| UnfitCertificate::Chain)?;
        let leaf = chain.first().ok_or(UnfitCertificate::Chain)?;
        let parsed = parse(leaf).map_err(|_| UnfitCertificate::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| UnfitCertificate::Key)?;
        let key = KeyPair::load(Provider::default(), &key).map_err(|_| UnfitCertificate::Key)?;
        // BoringSSL's provider cannot tell that a key and a certificate belong together; this does, for both.
        if PublicKey::from_parsed(parsed.public_key()).as_ref() != Ok(key.public()) {
            return Err(UnfitCertificate::Mismatch);
        }
        let (_, not_after) = validity(&parsed);
        let hash = Sha256::digest(leaf.as_ref());
        let fingerprint: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let certified = CertifiedKey::new(chain.clone(), key.signing().clone());
        let mut config = ServerConfig::builder_with_provider(key.provider().crypto())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| UnfitCertificate::Settings(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), fingerprint: fingerprint.into(), not_after })
    }

    /// SHA-256 of the leaf, hexadecimal.
    pub fn fingerprint(&self) -> &Text {
        &self.fingerprint
    }

    /// When it ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

impl fmt::Debug for OutsideCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsideCertificate({})", self.fingerprint)
    }
}

/// The server's side of a connection from outside. `choose` gives the certificate for the server name that the client
/// asks for (in lower case, if it names one), and what the caller wants to remember of the choice; `None` ends the
/// handshake.
///
/// # Errors
/// The client does not finish, speaks no TLS 1.3, or asks for nobody here.
pub async fn accept<IO, T>(
    io: IO,
    choose: impl FnOnce(Option<&str>) -> Option<(Arc<OutsideCertificate>, T)>,
) -> Result<(TlsStream<IO>, T), AcceptError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), ReadAhead::new(io)).await?;
        let name = start.client_hello().server_name().map(str::to_ascii_lowercase);
        let Some((certificate, chosen)) = choose(name.as_deref()) else {
            let nobody = rustls::Error::General("no listener has the server name that it asks for".into());
            return Err(io::Error::other(nobody));
        };
        let stream = start.into_stream(certificate.config.clone()).await?;
        Ok((stream, chosen))
    };
    let (stream, chosen) = within_limit(handshake).await?;
    Ok((TlsStream::library(stream.into()), chosen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Root;

    fn pair() -> (String, String) {
        let (key, pkcs8) = KeyPair::generate_exportable(Provider::default()).unwrap();
        let leaf = Root::new(Provider::default()).leaf(&key, |_| {});
        (pem::certificate(&leaf), pem::private_key(&pkcs8).to_string())
    }

    #[test]
    fn only_halves_of_one_pair_are_served() {
        let ((chain, key), (_, other)) = (pair(), pair());
        let served = OutsideCertificate::from_pem(&chain, &key).unwrap();
        assert_eq!(served.fingerprint().len(), 64);
        assert_eq!(format!("{served:?}"), format!("OutsideCertificate({})", served.fingerprint()));
        let unfit = |chain: &str, key: &str| OutsideCertificate::from_pem(chain, key).unwrap_err();
        assert_eq!(unfit(&chain, &other), UnfitCertificate::Mismatch);
        assert_eq!(unfit(&chain, "secret"), UnfitCertificate::Key);
        assert_eq!(unfit(&chain, &chain), UnfitCertificate::Key);
        assert_eq!(unfit("", &key), UnfitCertificate::Chain);
        assert_eq!(unfit(&key, &key), UnfitCertificate::Chain);
    }
}
