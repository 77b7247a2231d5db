//! BoringSSL: the provider crate with our lists, and key making straight from the library.

use std::sync::Arc;

use boring::ec::{EcGroup, EcKey};
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring_rustls_provider::sign::BoringPrivateKey;
use boring_rustls_provider::tls13::{AES_128_GCM_SHA256, AES_256_GCM_SHA384};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{NamedGroup, SupportedCipherSuite};
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::LoadedKey;

const GROUPS: [NamedGroup; 4] =
    [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];

pub(super) fn crypto() -> CryptoProvider {
    let suites = vec![
        SupportedCipherSuite::Tls13(&AES_256_GCM_SHA384),
        SupportedCipherSuite::Tls13(&AES_128_GCM_SHA256),
    ];
    let crypto = boring_rustls_provider::provider_with_ciphers(suites);
    // The crate keeps its groups private; they are reachable through its own list only.
    let of = |name: &NamedGroup| crypto.kx_groups.iter().copied().find(|group| group.name() == *name);
    let kx_groups: Vec<&'static dyn SupportedKxGroup> = GROUPS.iter().filter_map(of).collect();
    CryptoProvider { kx_groups, ..crypto }
}

pub(super) fn generate() -> Option<Zeroizing<Vec<u8>>> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).ok()?;
    let key = PKey::from_ec_key(EcKey::generate(&group).ok()?).ok()?;
    key.private_key_to_der_pkcs8().ok().map(Zeroizing::new)
}

pub(super) fn load(key: &PrivateKeyDer<'_>) -> Option<LoadedKey> {
    let parsed: PKey<Private> = match key {
        PrivateKeyDer::Pkcs8(der) => PKey::private_key_from_pkcs8(der.secret_pkcs8_der()).ok()?,
        other => PKey::private_key_from_der(other.secret_der()).ok()?,
    };
    let public = parsed.public_key_to_der().ok()?;
    let signing = BoringPrivateKey::try_from(key.clone_key()).ok()?;
    Some(LoadedKey { signing: Arc::new(signing), public })
}
