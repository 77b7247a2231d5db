//! The two JSON parts of a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

/// The header (RFC 7515). Further members are refused: a `crit` or `jku` would ask for more than is done.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    alg: String,
    typ: String,
}

impl Header {
    pub(super) fn ours() -> Self {
        Self { alg: "HS256".to_owned(), typ: "JWT".to_owned() }
    }

    pub(super) fn encode(&self) -> String {
        BASE64.encode(serde_json::json!(self).to_string())
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64.decode(text).ok()?).ok()
    }
}

/// The claims (RFC 7519 section 4.1), times in seconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audience,
    pub(super) exp: u64,
    pub(super) iat: u64,
    pub(super) jti: String,
}

impl Claims {
    pub(super) fn encode(&self) -> String {
        BASE64.encode(serde_json::json!(self).to_string())
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64.decode(text).ok()?).ok()
    }
}

/// One audience, or a list of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// Whether this is the only audience: a token for others too could be replayed by them.
    pub(super) fn is_exactly(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => matches!(many.as_slice(), [one] if one == audience),
        }
    }
}

impl From<String> for Audience {
    fn from(audience: String) -> Self {
        Self::One(audience)
    }
}
