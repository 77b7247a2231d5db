//! A workload's certificate with its key and trust bundle, ready for handshakes.

pub(crate) mod description;
pub(crate) mod session;
mod tickets;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_model::Identity;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;

use crate::public_key::PublicKey;
use crate::san::{SanRefusal, identity_in, parse};
use crate::verify::{TrustBundle, TrustBundles};
use crate::{KeyPair, pem};

pub use description::Description;
use session::Sessions;

/// A certificate of one identity: leaf, intermediates, key and trust bundle. Immutable; the TLS configurations are
/// built by the first handshake and cached inside, so that the others are cheap to start and an idle identity costs
/// little more than its key and chain.
pub struct Certificate {
    identity: Identity,
    not_before: SystemTime,
    not_after: SystemTime,
    serial: Box<str>,
    sessions: Sessions,
}

/// Why an issued chain is not used. The issuer's fault, except for `Configuration`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// Istio's response has a leaf and, as its last element, the roots.
    #[error("the CA sent {0} chain elements: it must send the leaf, any intermediates, and the roots last")]
    Short(usize),
    /// An element is not PEM.
    #[error("element {index} of the CA's chain cannot be used: {reason}")]
    Pem {
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The leaf proves no identity.
    #[error("the CA issued a certificate without a usable identity: {0}")]
    Name(#[from] SanRefusal),
    /// It proves another identity.
    #[error("the CA issued a certificate for {issued}, but {asked} was asked for")]
    Identity {
        /// Whom it is for.
        issued: Identity,
        /// Whom we asked for.
        asked: Identity,
    },
    /// It is for another key.
    #[error("the CA issued a certificate for another key than the one in our request")]
    Key,
    /// The end of its validity has passed.
    #[error("the CA issued a certificate that has already expired: check the clocks of both machines")]
    Expired,
    /// Its validity has not begun.
    #[error("the CA issued a certificate that is not valid yet: check the clocks of both machines")]
    NotYetValid,
    /// A root cannot be a trust anchor.
    #[error("the CA's trust bundle holds a certificate that cannot be a root")]
    Root,
    /// rustls refused to build a configuration.
    #[error("no TLS configuration can be made for the certificate: {0}")]
    Configuration(String),
}

impl Certificate {
    /// Checks and prepares what a CA returned for `key` and `asked` (`IstioCertificateResponse.cert_chain`: leaf,
    /// intermediates, and all the roots as the last element): the leaf is for our key, names exactly the asked
    /// identity, and is valid at `now`.
    pub fn from_pem(
        cert_chain: &[String],
        key: &KeyPair,
        asked: &Identity,
        now: SystemTime,
    ) -> Result<Self, InvalidCertificate> {
        Self::sharing(&TrustBundles::default(), key.provider().crypto(), cert_chain, key, asked, now)
    }

    /// The same, with a trust bundle that is one value with the last equal one of `bundles`, and with these suites and
    /// groups.
    pub(crate) fn sharing(
        bundles: &TrustBundles,
        crypto: Arc<CryptoProvider>,
        cert_chain: &[String],
        key: &KeyPair,
        asked: &Identity,
        now: SystemTime,
    ) -> Result<Self, InvalidCertificate> {
        let [issued @ .., roots] = cert_chain else { return Err(InvalidCertificate::Short(0)) };
        let mut chain = Vec::new();
        for (index, element) in issued.iter().enumerate() {
            chain.extend(element_certificates(index, element)?);
        }
        let roots = element_certificates(issued.len(), roots)?;
        let leaf = chain.first().ok_or(InvalidCertificate::Short(cert_chain.len()))?;
        let parsed = parse(leaf)?;
        let identity = identity_in(&parsed)?;
        if identity != *asked {
            return Err(InvalidCertificate::Identity { issued: identity, asked: asked.clone() });
        }
        // BoringSSL's provider cannot tell that a key and a certificate belong together; this does, for both.
        if PublicKey::from_parsed(parsed.public_key()).as_ref() != Ok(key.public()) {
            return Err(InvalidCertificate::Key);
        }
        let (not_before, not_after) = description::validity(&parsed);
        if now < not_before {
            return Err(InvalidCertificate::NotYetValid);
        }
        if now >= not_after {
            return Err(InvalidCertificate::Expired);
        }
        let serial = description::serial(&parsed).into();
        let bundle = bundles.of(key.provider(), roots).ok_or(InvalidCertificate::Root)?;
        drop(parsed);
        chain.shrink_to_fit();
        let sessions = Sessions::new(crypto, key, chain, bundle, identity.trust_domain().clone())
            .map_err(|error| InvalidCertificate::Configuration(error.to_string()))?;
        Ok(Self { identity, not_before, not_after, serial, sessions })
    }

    /// Whom it is for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Start of its validity.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// End of its validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it may be used at `now`.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Its serial number in decimal digits, as `istioctl` shows it.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The leaf and its intermediates, for `config_dump`. Never the key.
    pub fn chain(&self) -> Vec<Description> {
        self.der().iter().filter_map(Description::of).collect()
    }

    /// The trust bundle, for `config_dump`.
    pub fn roots(&self) -> Vec<Description> {
        self.bundle().roots().iter().filter_map(Description::of).collect()
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(crate) fn bundle(&self) -> &Arc<TrustBundle> {
        self.sessions.bundle()
    }

    pub(crate) fn der(&self) -> &[CertificateDer<'static>] {
        self.sessions.chain()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, serial {})", self.identity, self.serial)
    }
}

fn element_certificates(
    index: usize,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, InvalidCertificate> {
    pem::certificates(text).map_err(|refusal| InvalidCertificate::Pem { index, reason: refusal.to_string() })
}
