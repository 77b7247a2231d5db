//! What does a token say, and does it hold now? (RFC 7515 section 3.1, RFC 7519 section 4.1)

use std::time::Duration;

use ambit_model::Text;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::Rejected;

/// The longest token, in bytes.
const LONGEST: usize = 16 * 1024;

/// A token in compact form, read and not yet trusted.
pub(super) struct Parsed<'t> {
    /// Header and payload as they were signed.
    pub(super) signed: &'t str,
    /// The payload's own text, base64url.
    pub(super) payload: &'t str,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: String,
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
}

impl<'t> Parsed<'t> {
    pub(super) fn new(token: &'t str) -> Result<Self, Rejected> {
        if token.len() > LONGEST {
            return Err(Rejected::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejected::Malformed)?;
        let header = object(header)?;
        if header.contains_key("crit") {
            return Err(Rejected::Critical);
        }
        let text = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            signed,
            payload,
            signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| Rejected::Malformed)?,
            algorithm: text("alg").ok_or(Rejected::Algorithm)?,
            key_id: text("kid"),
            claims: object(payload)?,
        })
    }

    /// Whether it is of this issuer, for one of these audiences, and of this time.
    pub(super) fn check(
        &self,
        issuer: &str,
        audiences: &[Text],
        leeway: Duration,
        now: Duration,
    ) -> Result<(), Rejected> {
        if self.claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err(Rejected::Issuer);
        }
        if !audiences.is_empty() && !self.is_for(audiences) {
            return Err(Rejected::Audience);
        }
        let (now, leeway) = (now.as_secs_f64(), leeway.as_secs_f64());
        if self.time("exp")?.is_some_and(|expires| expires + leeway <= now) {
            return Err(Rejected::Expired);
        }
        if self.time("nbf")?.is_some_and(|begins| begins - leeway > now) {
            return Err(Rejected::NotYetValid);
        }
        Ok(())
    }

    fn is_for(&self, audiences: &[Text]) -> bool {
        let known = |audience: &str| audiences.iter().any(|each| **each == *audience);
        match self.claims.get("aud") {
            Some(Value::String(audience)) => known(audience),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(known),
            _ => false,
        }
    }

    /// A time that is there and no number is not a time that is not there.
    fn time(&self, name: &str) -> Result<Option<f64>, Rejected> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Rejected::Malformed),
        }
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Rejected> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejected::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Rejected::Malformed)
}
