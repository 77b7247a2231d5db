//! Is a signature that of one of the issuer's keys? (RFC 7517, RFC 7518)

use std::fmt;

use ambit_model::Text;
use ambit_model::l7::authentication::Keys;
use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::Rejected;
use super::token::Parsed;

/// The algorithms that are accepted: asymmetric ones. A public key must never serve as a shared secret.
const ALGORITHMS: [(&str, Algorithm, Kind); 9] = [
    ("RS256", Algorithm::RS256, Kind::Rsa),
    ("RS384", Algorithm::RS384, Kind::Rsa),
    ("RS512", Algorithm::RS512, Kind::Rsa),
    ("PS256", Algorithm::PS256, Kind::Rsa),
    ("PS384", Algorithm::PS384, Kind::Rsa),
    ("PS512", Algorithm::PS512, Kind::Rsa),
    ("ES256", Algorithm::ES256, Kind::P256),
    ("ES384", Algorithm::ES384, Kind::P384),
    ("EdDSA", Algorithm::EdDSA, Kind::Ed25519),
];

/// What a key is, and with that the algorithms that it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// One key.
struct Key {
    id: Option<String>,
    /// The only algorithm that it may serve, where it says so.
    algorithm: Option<String>,
    kind: Kind,
    key: DecodingKey,
}

/// An issuer's keys, and what verifies with them.
pub(super) struct KeySet {
    keys: Vec<Key>,
    provider: &'static CryptoProvider,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.kind))).finish()
    }
}

impl KeySet {
    /// Reads a key set. Keys of a kind that is not known, or not for signatures, are passed over; why there is none at
    /// all is an error.
    pub(super) fn compile(keys: &Keys, provider: &'static CryptoProvider) -> Result<Self, Text> {
        let text = match keys {
            Keys::Set(text) => text,
            Keys::Unavailable(why) => return Err(why.clone()),
        };
        let set: Value =
            serde_json::from_str(text).map_err(|error| Text::from(format!("the key set: {error}")))?;
        let list = set.get("keys").and_then(Value::as_array);
        let list = list.ok_or_else(|| Text::from("the key set has no list `keys`"))?;
        let keys: Vec<Key> = list.iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            Err("the key set has no key that is known".into())
        } else {
            Ok(Self { keys, provider })
        }
    }

    /// Whether one of the keys has signed the token.
    pub(super) fn verify(&self, token: &Parsed<'_>) -> Result<(), Rejected> {
        let known = ALGORITHMS.iter().find(|(name, ..)| *name == token.algorithm);
        let (name, algorithm, kind) = known.ok_or(Rejected::Algorithm)?;
        let candidates =
            self.keys.iter().filter(|key| key.may_have_signed(name, *kind, token.key_id.as_deref()));
        let mut result = Err(Rejected::NoKey);
        for key in candidates {
            let verifier = (self.provider.verifier_factory)(algorithm, &key.key);
            if verifier
                .is_ok_and(|verifier| verifier.verify(token.signed.as_bytes(), &token.signature).is_ok())
            {
                return Ok(());
            }
            result = Err(Rejected::Signature);
        }
        result
    }
}

impl Key {
    fn read(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let verifies =
            |list: &Value| list.as_array().is_some_and(|list| list.iter().any(|each| each == "verify"));
        if text("use").is_some_and(|purpose| purpose != "sig")
            || key.get("key_ops").is_some_and(|ops| !verifies(ops))
        {
            return None;
        }
        let (kind, read) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (Kind::Rsa, DecodingKey::from_rsa_components(text("n")?, text("e")?)),
            ("EC", Some("P-256")) => (Kind::P256, DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("EC", Some("P-384")) => (Kind::P384, DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, DecodingKey::from_ed_components(text("x")?)),
            _ => return None,
        };
        let owned = |name: &str| text(name).map(str::to_owned);
        Some(Self { id: owned("kid"), algorithm: owned("alg"), kind, key: read.ok()? })
    }

    /// A token that names a key is not tried with keys of another name.
    fn may_have_signed(&self, algorithm: &str, kind: Kind, id: Option<&str>) -> bool {
        let same_id = match (&self.id, id) {
            (Some(own), Some(id)) => own == id,
            (None, _) | (_, None) => true,
        };
        same_id && self.kind == kind && self.algorithm.as_ref().is_none_or(|own| own == algorithm)
    }
}
