//! AWS-LC, the default: rustls' own provider with our lists.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group, sign};
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::LoadedKey;

pub(super) fn crypto() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..default_provider()
    }
}

pub(super) fn generate() -> Option<Zeroizing<Vec<u8>>> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()?;
    // The document wipes itself; so does our copy.
    let der = key.to_pkcs8v1().ok()?;
    Some(Zeroizing::new(der.as_ref().to_vec()))
}

pub(super) fn load(key: &PrivateKeyDer<'_>) -> Option<LoadedKey> {
    let signing = sign::any_supported_type(key).ok()?;
    let public = signing.public_key()?.to_vec();
    Some(LoadedKey { signing, public })
}
