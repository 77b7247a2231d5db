//! A Secret with a certificate: the one kind of Secret that is read.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::Metadata;
use crate::yaml::Tree;

/// The `type` of Secrets that are read.
pub const TLS_SECRET: &str = "kubernetes.io/tls";

const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";

/// `v1` Secret of type `kubernetes.io/tls`. What it holds is never shown: it has no readable `Debug` form, and nothing
/// that is wrong with it is said in its own words.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Name and namespace.
    pub metadata: Metadata,
    /// The certificate and those that lead to its issuer, PEM (`tls.crt`).
    pub chain: String,
    /// The key of the certificate, PEM (`tls.key`).
    pub key: String,
}

impl Secret {
    /// What the fields `data` (Base64) and `stringData` (as it is, which goes before) hold. What is absent is empty.
    pub(crate) fn from_tree(metadata: Metadata, tree: &Tree) -> Result<Self, &'static str> {
        let text = |name: &str| {
            let plain = tree.field("stringData").and_then(|data| data.text(name));
            let encoded = tree.field("data").and_then(|data| data.text(name));
            match (plain, encoded) {
                (Some(plain), _) => Ok(plain.to_owned()),
                (None, Some(encoded)) => decoded(encoded).ok_or("data holds what is not Base64 of a text"),
                (None, None) => Ok(String::new()),
            }
        };
        let (chain, key) = (text(CHAIN)?, text(KEY)?);
        // `kubectl apply` leaves a copy of the whole object there.
        let metadata = Metadata { annotations: Default::default(), ..metadata };
        Ok(Self { metadata, chain, key })
    }
}

fn decoded(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metadata { namespace, name, .. } = &self.metadata;
        write!(f, "Secret({namespace}/{name})")
    }
}

/// In the form in which it is read.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = [(CHAIN, &self.chain), (KEY, &self.key)];
        let data: std::collections::BTreeMap<_, _> = data.into();
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("metadata", &self.metadata)?;
        map.serialize_entry("type", TLS_SECRET)?;
        map.serialize_entry("stringData", &data)?;
        map.end()
    }
}
