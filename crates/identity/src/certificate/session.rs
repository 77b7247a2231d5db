//! The TLS configurations of one certificate: the server's, and one client's per set of expected peers. Both let the
//! record layer of the same process have the traffic keys.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ambit_model::Text;
use parking_lot::RwLock;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier as _;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::tickets::{Issued, Kept, KeptFor};
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
    verifier: Arc<ClientIdentity>,
    server: Arc<ServerConfig>,
    resuming_server: Arc<ServerConfig>,
    clients: RwLock<HashMap<(ExpectedPeers, bool), Arc<ClientConfig>>>,
    kept: Arc<Kept>,
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
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified.clone())));
        let mut server = without_resumption(server);
        server.enable_secret_extraction = true;
        let mut resuming = server.clone();
        resuming.send_tls13_tickets = 1;
        resuming.session_storage = Arc::new(Issued::default());
        Ok(Self {
            crypto,
            certified,
            bundle,
            verifier,
            server: Arc::new(server),
            resuming_server: Arc::new(resuming),
            clients: RwLock::default(),
            kept: Arc::default(),
        })
    }

    /// The trust bundle that peers are verified by.
    pub(crate) fn bundle(&self) -> &Arc<TrustBundle> {
        &self.bundle
    }

    pub(crate) fn server(&self, resumption: bool) -> Arc<ServerConfig> {
        if resumption { self.resuming_server.clone() } else { self.server.clone() }
    }

    /// Judges a client by the chain of an earlier connection, as a full handshake would judge it now.
    pub(crate) fn verify_client(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.verifier.verify_client_cert(leaf, rest, now).map(drop)
    }

    /// The same for a server.
    pub(crate) fn verify_server(
        &self,
        expected: &ExpectedPeers,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let verifier = self.server_verifier(expected);
        let unnamed = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        verifier.verify_server_cert(leaf, rest, &unnamed, &[], now).map(drop)
    }

    fn server_verifier(&self, expected: &ExpectedPeers) -> ServerIdentity {
        ServerIdentity { bundle: self.bundle.clone(), expected: expected.clone() }
    }

    pub(crate) fn client(
        &self,
        expected: &ExpectedPeers,
        resumption: bool,
    ) -> Result<Arc<ClientConfig>, Error> {
        let key = (expected.clone(), resumption);
        if let Some(config) = self.clients.read().get(&key) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.build_client(expected, resumption)?);
        let mut clients = self.clients.write();
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        clients.insert(key, config.clone());
        Ok(config)
    }

    fn build_client(&self, expected: &ExpectedPeers, resumption: bool) -> Result<ClientConfig, Error> {
        let verifier = Arc::new(self.server_verifier(expected));
        let mut config = ClientConfig::builder_with_provider(self.crypto.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(self.certified.clone())));
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.enable_sni = false;
        config.enable_secret_extraction = true;
        config.resumption = if resumption {
            let store = KeptFor { kept: self.kept.clone(), expected: expected.clone() };
            Resumption::store(Arc::new(store)).tls12_resumption(Tls12Resumption::Disabled)
        } else {
            Resumption::disabled()
        };
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
