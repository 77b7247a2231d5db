//! A public key as certificates carry it: what kind it is, and its bits.

use rcgen::{PublicKeyData, SignatureAlgorithm};
use rustls::SignatureScheme;
use sha2::{Digest as _, Sha256};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Smallest RSA key that is still accepted, in bits.
const RSA_SMALLEST: usize = 2048;
/// Largest RSA key accepted; verifying larger ones costs too much.
const RSA_LARGEST: usize = 8192;

/// The kinds of key that certificates of this mesh may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    Rsa,
}

/// A public key of an accepted kind and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    kind: KeyKind,
    bits: Vec<u8>,
}

/// Why a public key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyRefusal {
    #[error("the public key cannot be parsed")]
    Malformed,
    #[error("the public key is of type {0}: use ECDSA P-256, ECDSA P-384 or RSA")]
    Kind(String),
    #[error("the RSA key has {0} bits: use {RSA_SMALLEST} to {RSA_LARGEST}")]
    RsaSize(usize),
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    pub(crate) fn from_spki(der: &[u8]) -> Result<Self, KeyRefusal> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], spki)) => Self::from_parsed(&spki),
            _ => Err(KeyRefusal::Malformed),
        }
    }

    pub(crate) fn from_parsed(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyRefusal> {
        let algorithm = &spki.algorithm.algorithm;
        let kind = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            match curve {
                Some(curve) if curve == OID_EC_P256 => KeyKind::P256,
                Some(curve) if curve == OID_NIST_EC_P384 => KeyKind::P384,
                Some(curve) => return Err(KeyRefusal::Kind(format!("ECDSA with curve {curve}"))),
                None => return Err(KeyRefusal::Malformed),
            }
        } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(ParsedKey::RSA(key)) = spki.parsed() else { return Err(KeyRefusal::Malformed) };
            let size = key.key_size();
            if !(RSA_SMALLEST..=RSA_LARGEST).contains(&size) {
                return Err(KeyRefusal::RsaSize(size));
            }
            KeyKind::Rsa
        } else {
            return Err(KeyRefusal::Kind(algorithm.to_string()));
        };
        Ok(Self { kind, bits: spki.subject_public_key.data.to_vec() })
    }

    pub(crate) fn kind(&self) -> KeyKind {
        self.kind
    }

    pub(crate) fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// The key identifier of RFC 7093 section 2, method 1: the first 160 bits of SHA-256 over the key's bits.
    pub(crate) fn identifier(&self) -> Vec<u8> {
        Sha256::digest(&self.bits).iter().take(20).copied().collect()
    }
}

impl KeyKind {
    /// How keys of this kind sign certificates and requests here.
    pub(crate) fn scheme(self) -> SignatureScheme {
        match self {
            Self::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::P384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Self::Rsa => SignatureScheme::RSA_PKCS1_SHA256,
        }
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.kind {
            KeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyKind::Rsa => &rcgen::PKCS_RSA_SHA256,
        }
    }
}
