//! RequestAuthentication: which tokens are accepted, and where their claims go (Istio `security.istio.io/v1`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::object::{ObjectKey, Target};
use crate::Text;

/// One object. A request with a token that none of its rules accepts is answered 401; one without a token passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestAuthentication {
    /// The user's object.
    pub key: ObjectKey,
    /// Where it applies.
    pub targets: Vec<Target>,
    /// Issuers.
    pub rules: Vec<JwtRule>,
    /// Why it cannot be obeyed: everything at its targets is answered 401.
    pub unusable: Option<Text>,
}

/// One issuer (Istio JWTRule).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtRule {
    /// The `iss` claim.
    pub issuer: Text,
    /// Any of them must be in `aud`; none asks for none.
    pub audiences: Vec<Text>,
    /// The issuer's keys.
    pub keys: Keys,
    /// Headers with the token, each with the letters before it.
    pub from_headers: Vec<(Text, Text)>,
    /// Query parameters with the token.
    pub from_params: Vec<Text>,
    /// Cookies with the token.
    pub from_cookies: Vec<Text>,
    /// Whether the token goes on to the application (`forwardOriginalToken`).
    pub forward: bool,
    /// The header for the whole payload, base64url.
    pub payload_header: Option<Text>,
    /// Headers for single claims: header, then the claim's path.
    pub claim_headers: Vec<(Text, Vec<Text>)>,
    /// Claims whose text is a list separated by spaces (`scope` and `permission` always are).
    pub space_delimited: Vec<Text>,
    /// Longest difference of clocks: 60 s.
    pub leeway: Duration,
}

/// An issuer's keys, fetched by the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Keys {
    /// A JSON Web Key Set (RFC 7517).
    Set(Text),
    /// There are none, for this reason: no token of the issuer is accepted.
    Unavailable(Text),
}
