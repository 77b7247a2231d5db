//! The TLS configurations of one certificate: the server's, and one client's per set of expected peers. Both let the
//! record layer of the same process have the traffic keys.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Text;
use parking_lot::RwLock;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, ServerConfig};
use rustls_pki_types::CertificateDer;

use crate::verify::{ClientIdentity, ServerIdentity, TrustBundle};
use crate::{ExpectedPeers, KeyPair};

/// The protocol inside mesh and control connections: HTTP/2.
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// Most client configurations kept; rebuilding one takes microseconds, so an overflow just empties the cache.
const MOST_CLIENTS: usize = 512;

pub(crate) struct Sessions {
    crypto: Arc<CryptoProvider>,
    certified: Arc<CertifiedKey>,
    bundle: Arc<TrustBundle>,
    server: Arc<ServerConfig>,
    clients: RwLock<HashMap<ExpectedPeers, Arc<ClientConfig>>>,
}

impl Sessions {
    pub(crate) fn new(
        crypto: Arc<CryptoProvider>,
        key: &KeyPair,
        chain: &[CertificateDer<'static>],
        bundle: Arc<TrustBundle>,
        trust_domain: Text,
    ) -> Result<Self, Error> {
        let certified = Arc::new(CertifiedKey::new(chain.to_vec(), key.signing().clone()));
        let verifier = Arc::new(ClientIdentity { bundle: bundle.clone(), trust_domain });
        let server = ServerConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified.clone())));
        let mut server = without_resumption(server);
        server.enable_secret_extraction = true;
        let server = Arc::new(server);
        Ok(Self { crypto, certified, bundle, server, clients: RwLock::default() })
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    pub(crate) fn client(&self, expected: &ExpectedPeers) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.clients.read().get(expected) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.build_client(expected)?);
        let mut clients = self.clients.write();
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        clients.insert(expected.clone(), config.clone());
        Ok(config)
    }

    fn build_client(&self, expected: &ExpectedPeers) -> Result<ClientConfig, Error> {
        let verifier = Arc::new(ServerIdentity { bundle: self.bundle.clone(), expected: expected.clone() });
        let mut config = ClientConfig::builder_with_provider(self.crypto.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(self.certified.clone())));
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.enable_sni = false;
        config.enable_secret_extraction = true;
        // Identity is proven anew in every handshake.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// Makes every handshake a full one: no tickets, no stored sessions. Speaks HTTP/2.
pub(crate) fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}
