//! A certificate authority: one signing key, and certificates for identities that its owner has authorised.

mod issue;
mod load;
mod name;

use std::fmt;
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::csr::{CsrRefusal, verified_key};
use crate::key::{KeyError, Signer};
use crate::{KeyPair, Provider, pem};

pub use load::LoadError;

/// How long a root that we create is valid.
pub const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How far before its issue a certificate's validity begins, for peers whose clocks are behind (as in Istio). At most a
/// quarter of its lifetime.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);

/// A certificate authority. Signs whatever its owner tells it to: whether the asker may have an identity, and in which
/// trust domain, is decided before.
pub struct Authority {
    provider: Provider,
    issuer: Issuer<'static, Signer>,
    /// The signing certificate first, then its issuers without the roots.
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    not_after: SystemTime,
    key_pem: Zeroizing<String>,
}

/// Why an authority could not be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no root certificate can be created: {reason}")]
pub struct CreateError {
    reason: String,
}

/// Why nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The asker's fault.
    #[error(transparent)]
    Request(#[from] CsrRefusal),
    /// A lifetime of zero.
    #[error("the certificate's lifetime is zero: ask for at least one second")]
    Lifetime,
    /// A server's name that is neither a DNS name nor an address.
    #[error("{0:?} is neither a DNS name nor an IP address: a serving certificate cannot carry it")]
    Name(String),
    /// Our own certificate has ended.
    #[error("the CA's own certificate has expired: replace it before anything can be signed")]
    Expired,
    /// The library failed.
    #[error("the CA could not sign: {0}")]
    Signing(String),
}

impl Authority {
    /// A new self-signed root for `trust_domain`: ECDSA P-256, valid for [`ROOT_LIFETIME`], subject
    /// `O=organisation, CN=trust_domain root`, CA with path length 0, random serial number.
    pub fn create(
        provider: Provider,
        trust_domain: &str,
        organisation: &str,
        now: SystemTime,
    ) -> Result<Self, CreateError> {
        let (key, pkcs8) = KeyPair::generate_exportable(provider)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, organisation);
        subject.push(DnType::CommonName, format!("{trust_domain} root"));
        let not_after = now + ROOT_LIFETIME;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.serial_number = Some(issue::random_serial());
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = not_after.into();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.key_identifier_method = KeyIdMethod::PreSpecified(key.public().identifier());
        params.use_authority_key_identifier_extension = true;
        let signer = Signer(key);
        let root = params.self_signed(&signer)?.der().clone();
        Ok(Self {
            provider,
            issuer: Issuer::new(params, signer),
            chain: vec![],
            roots: vec![root],
            not_after,
            key_pem: pem::private_key(&pkcs8),
        })
    }

    /// Signs a request: the certificate has the request's public key and `identity` as its only name, an empty subject,
    /// is for clients and servers, begins up to [`CLOCK_SKEW`] before `now` and ends `lifetime` after it, but not after the
    /// CA's own end. Returns `IstioCertificateResponse.cert_chain`: the leaf, intermediates one by one, and the trust
    /// bundle as the last element.
    pub fn sign(
        &self,
        csr_pem: &str,
        identity: &Identity,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Vec<String>, SignError> {
        let key = verified_key(self.provider, csr_pem)?;
        let leaf = self.issue_workload(&key, identity, lifetime, now)?;
        let mut elements = vec![pem::certificate(&leaf)];
        elements.extend(self.chain.iter().map(pem::certificate));
        elements.push(self.roots_pem());
        Ok(elements)
    }

    /// The signing certificate and its issuers as PEM, for a file that everybody may read.
    pub fn certificate_pem(&self) -> String {
        self.chain.iter().chain(&self.roots).map(pem::certificate).collect()
    }

    /// The trust bundle as PEM: what clients need (`root-cert.pem`).
    pub fn roots_pem(&self) -> String {
        self.roots.iter().map(pem::certificate).collect()
    }

    /// The private key as PEM, to be kept in a file that only its owner may read. The only way the key gets out.
    pub fn private_key_pem(&self) -> Zeroizing<String> {
        self.key_pem.clone()
    }

    /// When the signing certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The provider that holds the key.
    pub fn provider(&self) -> Provider {
        self.provider
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({}, {} roots, private key redacted)", self.provider, self.roots.len())
    }
}

impl From<KeyError> for CreateError {
    fn from(error: KeyError) -> Self {
        Self { reason: error.to_string() }
    }
}

impl From<rcgen::Error> for CreateError {
    fn from(error: rcgen::Error) -> Self {
        Self { reason: error.to_string() }
    }
}
