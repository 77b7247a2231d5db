//! An authority from files: ours, or one that an operator brings (Istio `ca-cert.pem` and `ca-key.pem`).

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, Issuer, KeyIdMethod};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Authority, name};
use crate::certificate::description;
use crate::key::Signer;
use crate::public_key::PublicKey;
use crate::san::parse;
use crate::{KeyPair, Provider, pem};

/// Why an authority could not be loaded. The remedy is in the files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The certificate file.
    #[error("the CA certificate cannot be read: {0}")]
    Certificate(String),
    /// The key file.
    #[error("the CA private key cannot be read: it must be one unencrypted PEM key (PKCS#8, SEC1 or PKCS#1)")]
    Key,
    /// Key of a kind we do not sign with.
    #[error("the CA private key cannot be used: {0}")]
    KeyKind(String),
    /// Two files of different authorities.
    #[error(
        "the CA private key does not belong to the CA certificate: restore both files from the same backup"
    )]
    Mismatch,
    /// A leaf was given.
    #[error(
        "the first CA certificate is not allowed to sign certificates (basicConstraints CA, keyUsage keyCertSign)"
    )]
    NotAuthority,
    /// Past its end.
    #[error("the CA certificate has expired: bring a new one, or remove both CA files to create a new root")]
    Expired,
    /// Before its start.
    #[error("the CA certificate is not valid yet: check this machine's clock")]
    NotYetValid,
    /// Its certificates would not chain to it.
    #[error(
        "the CA certificate's subject cannot be reproduced as an issuer name: use one with simple attributes, each once"
    )]
    Subject,
    /// A chain in the wrong order.
    #[error(
        "certificate {0} of the CA chain (from 0) is out of place: put the signing certificate first, then its issuer, the roots last"
    )]
    Order(usize),
}

impl Authority {
    /// Loads an authority. `cert_pem` begins with the signing certificate, followed by its issuers up to the root when
    /// it is not a root itself; `key_pem` is its unencrypted key, ECDSA P-256 or P-384 or RSA. All checks that can be made
    /// before the first certificate is signed are made here.
    pub fn load(
        provider: Provider,
        cert_pem: &str,
        key_pem: &str,
        now: SystemTime,
    ) -> Result<Self, LoadError> {
        let list =
            pem::certificates(cert_pem).map_err(|refusal| LoadError::Certificate(refusal.to_string()))?;
        let key = load_key(provider, key_pem)?;
        let signing = list.first().ok_or_else(|| LoadError::Certificate("it is empty".to_owned()))?;
        let parsed = parsed(signing)?;
        check_signing(&parsed, &key, now)?;
        check_order(&list)?;
        let (_, not_after) = description::validity(&parsed);
        let issuer = issuer(&parsed, key)?;
        let (chain, roots) = split_roots(&list);
        let authority =
            Self { provider, issuer, chain, roots, not_after, key_pem: Zeroizing::new(key_pem.to_owned()) };
        authority.check_issuer_name(&parsed, now)?;
        Ok(authority)
    }

    /// Signs a throw-away certificate and compares its issuer with our subject, byte by byte.
    fn check_issuer_name(&self, own: &X509Certificate<'_>, now: SystemTime) -> Result<(), LoadError> {
        let key = self.issuer.key().0.public().clone();
        let probe = self
            .issue_serving(&key, &["probe.invalid".to_owned()], Duration::from_secs(1), now)
            .map_err(|_| LoadError::Subject)?;
        let leaf = probe.first().ok_or(LoadError::Subject)?;
        if parsed(leaf)?.issuer().as_raw() == own.subject().as_raw() {
            Ok(())
        } else {
            Err(LoadError::Subject)
        }
    }
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, LoadError> {
    parse(certificate).map_err(|refusal| LoadError::Certificate(refusal.to_string()))
}

fn load_key(provider: Provider, key_pem: &str) -> Result<KeyPair, LoadError> {
    let mut der = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| LoadError::Key)?;
    let key = KeyPair::load(provider, &der).map_err(|error| LoadError::KeyKind(error.to_string()));
    der.zeroize();
    key
}

fn check_signing(certificate: &X509Certificate<'_>, key: &KeyPair, now: SystemTime) -> Result<(), LoadError> {
    if PublicKey::from_parsed(certificate.public_key()).as_ref() != Ok(key.public()) {
        return Err(LoadError::Mismatch);
    }
    let may_sign = certificate.key_usage().ok().flatten().is_none_or(|usage| usage.value.key_cert_sign());
    if !certificate.is_ca() || !may_sign {
        return Err(LoadError::NotAuthority);
    }
    let (not_before, not_after) = description::validity(certificate);
    if now < not_before {
        return Err(LoadError::NotYetValid);
    }
    if now >= not_after {
        return Err(LoadError::Expired);
    }
    Ok(())
}

/// Every certificate is an authority's, and issued by the next one; from the first self-issued one on, all are roots.
fn check_order(list: &[CertificateDer<'static>]) -> Result<(), LoadError> {
    for (index, pair) in list.windows(2).enumerate() {
        let [issued, issuer] = pair else { continue };
        let (issued, issuer) = (parsed(issued)?, parsed(issuer)?);
        let follows = if is_self_issued(&issued) {
            is_self_issued(&issuer)
        } else {
            issued.issuer().as_raw() == issuer.subject().as_raw()
        };
        if !follows || !issuer.is_ca() {
            return Err(LoadError::Order(index + 1));
        }
    }
    Ok(())
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

fn issuer(certificate: &X509Certificate<'_>, key: KeyPair) -> Result<Issuer<'static, Signer>, LoadError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name::copy(certificate.subject()).ok_or(LoadError::Subject)?;
    let identifier = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    });
    let identifier = identifier.unwrap_or_else(|| key.public().identifier());
    params.key_identifier_method = KeyIdMethod::PreSpecified(identifier);
    Ok(Issuer::new(params, Signer(key)))
}

/// The certificates that peers must be sent, and those that they must trust: the self-issued ones, or the last one
/// when the root itself was not given.
fn split_roots(
    list: &[CertificateDer<'static>],
) -> (Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>) {
    let is_root = |der: &CertificateDer<'static>| parse(der).is_ok_and(|parsed| is_self_issued(&parsed));
    let (roots, mut chain): (Vec<_>, Vec<_>) = list.iter().cloned().partition(is_root);
    if roots.is_empty() {
        let anchor = chain.pop();
        return (chain, anchor.into_iter().collect());
    }
    (chain, roots)
}
