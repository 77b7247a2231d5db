//! A private key that never leaves memory, and how it signs certificates and requests.

use std::fmt;
use std::sync::Arc;

use rcgen::{PublicKeyData, SignatureAlgorithm};
use rustls::sign::SigningKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::Provider;
use crate::provider::KeyFailure;
use crate::public_key::PublicKey;

/// A private key and its public half, held by one crypto provider. Clones share the key; the library wipes it when the
/// last of them is dropped. It has no text form.
#[derive(Clone)]
pub struct KeyPair {
    provider: Provider,
    signing: Arc<dyn SigningKey>,
    public: PublicKey,
}

/// Why a key pair could not be made or loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct KeyError {
    reason: String,
}

impl KeyPair {
    /// Makes a new ECDSA P-256 key.
    pub fn generate(provider: Provider) -> Result<Self, KeyError> {
        Self::generate_exportable(provider).map(|(key, _)| key)
    }

    /// Makes a new ECDSA P-256 key and gives its PKCS#8 form too, for keys that must be kept in a file.
    pub(crate) fn generate_exportable(provider: Provider) -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let pkcs8 = provider.generate()?;
        let key = Self::load(provider, &PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_slice())))?;
        Ok((key, pkcs8))
    }

    pub(crate) fn load(provider: Provider, der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let loaded = provider.load(der)?;
        let public = PublicKey::from_spki(&loaded.public)
            .map_err(|refusal| KeyError { reason: refusal.to_string() })?;
        Ok(Self { provider, signing: loaded.signing, public })
    }

    /// The provider that holds the key.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn signing(&self) -> &Arc<dyn SigningKey> {
        &self.signing
    }
}

impl From<KeyFailure> for KeyError {
    fn from(failure: KeyFailure) -> Self {
        Self { reason: failure.to_string() }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({}, {:?}, private key redacted)", self.provider, self.public.kind())
    }
}

/// Lends a key to rcgen, which builds requests and certificates.
pub(crate) struct Signer(pub(crate) KeyPair);

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        self.0.public.bits()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.public.algorithm()
    }
}

impl rcgen::SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let scheme = self.0.public.kind().scheme();
        let signer = self.0.signing.choose_scheme(&[scheme]).ok_or(rcgen::Error::RemoteKeyError)?;
        signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
