//! What is the application told about a token? (Istio `outputPayloadToHeader`, `outputClaimToHeaders`)

use ambit_model::Text;
use ambit_model::l7::authentication::JwtRule;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::token::Parsed;

/// Headers that a rule writes.
#[derive(Debug)]
pub(super) struct Outputs {
    payload: Option<HeaderName>,
    claims: Vec<(HeaderName, Vec<Text>)>,
}

impl Outputs {
    pub(super) fn compile(rule: &JwtRule) -> Result<Self, Text> {
        let header = |name: &Text| {
            HeaderName::try_from(&**name).map_err(|_| Text::from(format!("{name:?} is no name of a header")))
        };
        let claims = rule.claim_headers.iter().map(|(name, path)| Ok((header(name)?, path.clone())));
        Ok(Self {
            payload: rule.payload_header.as_ref().map(header).transpose()?,
            claims: claims.collect::<Result<_, Text>>()?,
        })
    }

    /// The headers that only the rule may write.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.payload.iter().chain(self.claims.iter().map(|(name, _)| name))
    }

    /// Writes them. A claim that could not stand in a header is left out.
    pub(super) fn write(&self, token: &Parsed<'_>, headers: &mut HeaderMap) {
        let payload = self.payload.as_ref().map(|name| (name, token.payload.to_owned()));
        let claims = self.claims.iter().filter_map(|(name, path)| {
            let mut names = path.iter();
            let outermost = token.claims.get(&**names.next()?)?;
            let claim = names.try_fold(outermost, |value, name| value.get(&**name))?;
            Some((name, text(claim)?))
        });
        for (name, value) in payload.into_iter().chain(claims) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Texts, numbers and truth values as they are; lists and objects as base64 of their JSON (Envoy's form).
fn text(claim: &Value) -> Option<String> {
    match claim {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(claim.to_string()),
        Value::Array(_) | Value::Object(_) => Some(STANDARD.encode(claim.to_string())),
    }
}
