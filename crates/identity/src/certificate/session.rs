//! The TLS configurations of one certificate: the server's, and one client's per set of expected peers. Both let the
//! record layer of the same process have the traffic keys. None is there before the first handshake.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

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
    trust_domain: Text,
    configurations: OnceLock<Box<Configurations>>,
}

/// What handshakes leave behind, with or without resumption.
#[derive(Default)]
struct Configurations {
    server: OnceLock<Arc<ServerConfig>>,
    resuming_server: OnceLock<Arc<ServerConfig>>,
    clients: RwLock<HashMap<(ExpectedPeers, bool), Arc<ClientConfig>>>,
    kept: Arc<Kept>,
}

impl Sessions {
    /// Refuses a provider that cannot do TLS 1.3, so that every later configuration can be made.
    pub(crate) fn new(
        crypto: Arc<CryptoProvider>,
        key: &KeyPair,
        chain: Vec<CertificateDer<'static>>,
        bundle: Arc<TrustBundle>,
        trust_domain: Text,
    ) -> Result<Self, Error> {
        ServerConfig::builder_with_provider(crypto.clone()).with_protocol_versions(&[&TLS13])?;
        let certified = Arc::new(CertifiedKey::new(chain, key.signing().clone()));
        Ok(Self { crypto, certified, bundle, trust_domain, configurations: OnceLock::new() })
    }

    /// The leaf and its intermediates.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The trust bundle that peers are verified by.
    pub(crate) fn bundle(&self) -> &Arc<TrustBundle> {
        &self.bundle
    }

    pub(crate) fn server(&self, resumption: bool) -> Result<Arc<ServerConfig>, Error> {
        let made = self.configurations();
        let kept = if resumption { &made.resuming_server } else { &made.server };
        if let Some(config) = kept.get() {
            return Ok(config.clone());
        }
        // Of two that are made at once one is kept, and its tickets with it.
        let config = Arc::new(self.build_server(resumption)?);
        Ok(kept.get_or_init(|| config).clone())
    }

    fn build_server(&self, resumption: bool) -> Result<ServerConfig, Error> {
        let config = ServerConfig::builder_with_provider(self.crypto.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(self.client_verifier()))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.certified.clone())));
        let mut config = without_resumption(config);
        config.enable_secret_extraction = true;
        if resumption {
            config.send_tls13_tickets = 1;
            config.session_storage = Arc::new(Issued::default());
        }
        Ok(config)
    }

    fn configurations(&self) -> &Configurations {
        self.configurations.get_or_init(Box::default)
    }

    /// Judges a client by the chain of an earlier connection, as a full handshake would judge it now.
    pub(crate) fn verify_client(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.client_verifier().verify_client_cert(leaf, rest, now).map(drop)
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

    fn client_verifier(&self) -> ClientIdentity {
        ClientIdentity { bundle: self.bundle.clone(), trust_domain: self.trust_domain.clone() }
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
        let clients = &self.configurations().clients;
        if let Some(config) = clients.read().get(&key) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.build_client(expected, resumption)?);
        let mut clients = clients.write();
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
            let store = KeptFor { kept: self.configurations().kept.clone(), expected: expected.clone() };
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
