//! Which cryptographic library does the work: the one seam between rustls and aws-lc or BoringSSL.
//!
//! Both providers offer exactly the same cipher suites and key-exchange groups in the same order; their own defaults
//! differ (BoringSSL's provider prefers ChaCha20, aws-lc's puts the hybrid group last).

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

#[cfg(not(any(feature = "tls-aws-lc", feature = "tls-boring")))]
compile_error!("ambit-identity needs a crypto provider: build with --features tls-aws-lc or tls-boring");

#[cfg(feature = "tls-aws-lc")]
mod aws_lc;
#[cfg(feature = "tls-boring")]
mod boring;
#[cfg(test)]
mod tests;

/// A cryptographic library that this build contains. The default is aws-lc when it is compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// AWS-LC through aws-lc-rs (cargo feature `tls-aws-lc`, on by default).
    #[cfg(feature = "tls-aws-lc")]
    AwsLc,
    /// BoringSSL (cargo feature `tls-boring`).
    #[cfg(feature = "tls-boring")]
    Boring,
}

/// A provider's name that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "crypto provider {name:?} is not in this build: choose one of {available}, or rebuild with its tls- feature"
)]
pub struct UnknownProvider {
    name: String,
    available: String,
}

/// A key that the provider could not make or load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFailure {
    /// The library failed to make a key.
    #[error("the {0} crypto provider could not generate an ECDSA P-256 key: the system gives no randomness")]
    Generate(Provider),
    /// The key's bytes are not a key.
    #[error("the private key is not a valid unencrypted PKCS#8, SEC1 or PKCS#1 key")]
    Load,
}

/// A private key inside the library, and its public half as a SubjectPublicKeyInfo.
pub(crate) struct LoadedKey {
    pub(crate) signing: Arc<dyn SigningKey>,
    pub(crate) public: Vec<u8>,
}

/// The rustls provider of the default [`Provider`].
pub fn provider() -> Arc<CryptoProvider> {
    Provider::default().crypto()
}

impl Provider {
    /// The providers in this build, the default first.
    pub const COMPILED: &'static [Self] = &[
        #[cfg(feature = "tls-aws-lc")]
        Self::AwsLc,
        #[cfg(feature = "tls-boring")]
        Self::Boring,
    ];

    /// Its name, as [`FromStr`] reads it and as version output prints it.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "tls-aws-lc")]
            Self::AwsLc => "aws-lc",
            #[cfg(feature = "tls-boring")]
            Self::Boring => "boring",
        }
    }

    /// The rustls provider with our suites (AES-256-GCM, AES-128-GCM; TLS 1.3 only) and our groups (X25519MLKEM768,
    /// X25519, P-256, P-384), most preferred first. Built once per process.
    pub fn crypto(self) -> Arc<CryptoProvider> {
        #[cfg(feature = "tls-aws-lc")]
        static AWS_LC: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
        #[cfg(feature = "tls-boring")]
        static BORING: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
        match self {
            #[cfg(feature = "tls-aws-lc")]
            Self::AwsLc => AWS_LC.get_or_init(|| Arc::new(aws_lc::crypto())).clone(),
            #[cfg(feature = "tls-boring")]
            Self::Boring => BORING.get_or_init(|| Arc::new(boring::crypto())).clone(),
        }
    }

    /// A new ECDSA P-256 private key as PKCS#8 DER, wiped when dropped.
    pub(crate) fn generate(self) -> Result<Zeroizing<Vec<u8>>, KeyFailure> {
        let made = match self {
            #[cfg(feature = "tls-aws-lc")]
            Self::AwsLc => aws_lc::generate(),
            #[cfg(feature = "tls-boring")]
            Self::Boring => boring::generate(),
        };
        made.ok_or(KeyFailure::Generate(self))
    }

    /// Loads a private key and derives its public half.
    pub(crate) fn load(self, key: &PrivateKeyDer<'_>) -> Result<LoadedKey, KeyFailure> {
        let loaded = match self {
            #[cfg(feature = "tls-aws-lc")]
            Self::AwsLc => aws_lc::load(key),
            #[cfg(feature = "tls-boring")]
            Self::Boring => boring::load(key),
        };
        loaded.ok_or(KeyFailure::Load)
    }
}

impl Default for Provider {
    fn default() -> Self {
        Self::COMPILED[0]
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        Self::COMPILED.iter().copied().find(|provider| provider.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::COMPILED.iter().map(|provider| provider.name()).collect();
            UnknownProvider { name: name.to_owned(), available: names.join(", ") }
        })
    }
}
