//! Certificate signing requests (RFC 2986): making ours, and reading other people's with suspicion.

#[cfg(test)]
mod tests;

use ambit_model::Identity;
use rcgen::{CertificateParams, DistinguishedName, SanType};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{AlgorithmIdentifier, CertificateSigningRequestDer, alg_id};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384,
};
use x509_parser::prelude::FromDer as _;

use crate::key::Signer;
use crate::public_key::{KeyKind, KeyRefusal, PublicKey};
use crate::san::{SanRefusal, identity_among};
use crate::{KeyPair, Provider};

/// Longest request read; a P-256 request has about 500 bytes, an RSA 8192 one about 4 KiB.
const LONGEST: usize = 16 * 1024;

/// Why a request could not be made; our own fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificate request can be made for {identity}: {reason}")]
pub struct RequestError {
    identity: Identity,
    reason: String,
}

/// Why a request is refused; the asker's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrRefusal {
    /// Far longer than any real one.
    #[error("the certificate request has {0} bytes: at most {LONGEST} are read")]
    TooLong(usize),
    /// Not a request.
    #[error("the certificate request is not one PEM block CERTIFICATE REQUEST with a PKCS#10 request in it")]
    Malformed,
    /// A key that we do not certify.
    #[error("the certificate request's key is refused: {0}")]
    Key(String),
    /// The asker does not hold the private key.
    #[error("the certificate request is not signed by the key in it")]
    Signature,
    /// It asks for no identity.
    #[error("the certificate request names no usable identity: {0}")]
    Name(#[from] SanRefusal),
}

/// A request for `identity`, as PEM: signed by `key` (ECDSA P-256 with SHA-256), with an empty subject and the SPIFFE ID
/// as its only name.
pub fn certificate_request(key: &KeyPair, identity: &Identity) -> Result<String, RequestError> {
    let refuse = |error: rcgen::Error| RequestError { identity: identity.clone(), reason: error.to_string() };
    let uri = identity.to_string().as_str().try_into().map_err(refuse)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.serialize_request(&Signer(key.clone())).and_then(|request| request.pem()).map_err(refuse)
}

/// The identity that a request asks for. The signature is not looked at: it proves the key, not the identity.
pub fn csr_identity(csr_pem: &str) -> Result<Identity, CsrRefusal> {
    let der = decode(csr_pem)?;
    let request = parse(&der)?;
    let mut extensions = request.requested_extensions().into_iter().flatten();
    let names = extensions.find_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(names),
        _ => None,
    });
    Ok(identity_among(names.map(|names| names.general_names.as_slice()).unwrap_or_default())?)
}

/// The public key of a request whose own signature is right. Everything else in it is ignored: what a certificate says
/// is the signer's decision.
pub(crate) fn verified_key(provider: Provider, csr_pem: &str) -> Result<PublicKey, CsrRefusal> {
    let der = decode(csr_pem)?;
    let request = parse(&der)?;
    let body = &request.certification_request_info;
    let key = PublicKey::from_parsed(&body.subject_pki)
        .map_err(|refusal: KeyRefusal| CsrRefusal::Key(refusal.to_string()))?;
    let (key_algorithm, signature_algorithm) =
        algorithms(key.kind(), &request).ok_or(CsrRefusal::Signature)?;
    if request.signature_value.unused_bits != 0 {
        return Err(CsrRefusal::Signature);
    }
    provider
        .crypto()
        .signature_verification_algorithms
        .all
        .iter()
        .filter(|candidate| {
            candidate.public_key_alg_id() == key_algorithm
                && candidate.signature_alg_id() == signature_algorithm
        })
        .any(|algorithm| {
            algorithm.verify_signature(key.bits(), body.raw, &request.signature_value.data).is_ok()
        })
        .then_some(key)
        .ok_or(CsrRefusal::Signature)
}

fn decode(csr_pem: &str) -> Result<CertificateSigningRequestDer<'static>, CsrRefusal> {
    if csr_pem.len() > LONGEST {
        return Err(CsrRefusal::TooLong(csr_pem.len()));
    }
    let mut blocks = CertificateSigningRequestDer::pem_slice_iter(csr_pem.as_bytes());
    match (blocks.next(), blocks.next()) {
        (Some(Ok(der)), None) => Ok(der),
        _ => Err(CsrRefusal::Malformed),
    }
}

fn parse(der: &[u8]) -> Result<X509CertificationRequest<'_>, CsrRefusal> {
    match X509CertificationRequest::from_der(der) {
        Ok(([], request)) => Ok(request),
        _ => Err(CsrRefusal::Malformed),
    }
}

/// The key's and the signature's algorithm as providers name them. SHA-1 and anything unknown give nothing.
fn algorithms(
    kind: KeyKind,
    request: &X509CertificationRequest<'_>,
) -> Option<(AlgorithmIdentifier, AlgorithmIdentifier)> {
    let signature = &request.signature_algorithm.algorithm;
    match kind {
        KeyKind::P256 | KeyKind::P384 => {
            let key = if kind == KeyKind::P256 { alg_id::ECDSA_P256 } else { alg_id::ECDSA_P384 };
            if *signature == OID_SIG_ECDSA_WITH_SHA256 {
                Some((key, alg_id::ECDSA_SHA256))
            } else if *signature == OID_SIG_ECDSA_WITH_SHA384 {
                Some((key, alg_id::ECDSA_SHA384))
            } else {
                None
            }
        }
        KeyKind::Rsa => [
            (OID_PKCS1_SHA256WITHRSA, alg_id::RSA_PKCS1_SHA256),
            (OID_PKCS1_SHA384WITHRSA, alg_id::RSA_PKCS1_SHA384),
            (OID_PKCS1_SHA512WITHRSA, alg_id::RSA_PKCS1_SHA512),
        ]
        .into_iter()
        .find(|(oid, _)| oid == signature)
        .map(|(_, algorithm)| (alg_id::RSA_ENCRYPTION, algorithm)),
    }
}
