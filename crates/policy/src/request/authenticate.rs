//! Whose token does a request bring? (Istio RequestAuthentication, RFC 7515, RFC 7519)
//!
//! A request without a token passes, without a principal. A token that no rule accepts is answered 401. What the
//! client says about claims in headers that rules write to is removed in any case.
//!
//! Every token that a rule finds in its places must be valid for it: a second one, which the application might read,
//! cannot hide behind the first.

mod keys;
mod output;
mod places;
mod token;

use std::time::Duration;

use ambit_model::Text;
use ambit_model::l7::Unreadable;
use ambit_model::l7::authentication::{JwtRule, RequestAuthentication};
use http::header::{HeaderName, HeaderValue};
use jsonwebtoken::crypto::CryptoProvider;

use super::canonical::Request;
use super::client::Token;
use super::scope::kind;
use keys::KeySet;
use output::Outputs;
use places::Places;
use token::Parsed;

/// Why a request is answered 401. Its text is one line, as clients of Envoy know it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The rules themselves cannot be obeyed.
    #[error("Jwt authentication cannot be evaluated: {0}")]
    Unusable(Text),
    /// It is no token.
    #[error("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections")]
    Malformed,
    /// Its algorithm is none that is accepted.
    #[error("Jwt header [alg] is not supported")]
    Algorithm,
    /// It demands what is not understood (RFC 7515 section 4.1.11).
    #[error("Jwt header [crit] is not supported")]
    Critical,
    /// No rule is for its issuer.
    #[error("Jwt issuer is not configured")]
    Issuer,
    /// It is for somebody else.
    #[error("Audiences in Jwt are not allowed")]
    Audience,
    /// It is too old.
    #[error("Jwt is expired")]
    Expired,
    /// It is from the future.
    #[error("Jwt not yet valid")]
    NotYetValid,
    /// The issuer's keys are not known, for this reason.
    #[error("Jwks remote fetch is failed: {0}")]
    NoKeys(Text),
    /// None of the issuer's keys could have signed it.
    #[error("Jwks doesn't have key to match kid or alg from Jwt")]
    NoKey,
    /// The signature is not the issuer's.
    #[error("Jwt verification fails")]
    Signature,
}

impl Rejected {
    /// Whether newer keys could change the answer: a forced refresh may be worth it, once in a while.
    pub fn wants_newer_keys(&self) -> bool {
        matches!(self, Self::NoKeys(_) | Self::NoKey)
    }

    /// The `WWW-Authenticate` of the answer (RFC 6750 section 3).
    pub fn challenge(&self, request: &Request) -> HeaderValue {
        let realm = format!("{}://{}{}", request.scheme.as_str(), request.authority(), request.path());
        let realm: String = realm.chars().filter(|letter| !matches!(letter, '"' | '\\')).collect();
        let challenge = format!("Bearer realm=\"{realm}\", error=\"invalid_token\"");
        HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }
}

/// The rules that apply in one place, ready for use.
#[derive(Debug, Default)]
pub struct Authenticator {
    rules: Vec<Rule>,
    /// Headers that only rules may write.
    reserved: Vec<HeaderName>,
    unusable: Option<Text>,
}

#[derive(Debug)]
struct Rule {
    issuer: Text,
    audiences: Vec<Text>,
    leeway: Duration,
    space_delimited: Vec<Text>,
    forward: bool,
    places: Places,
    keys: Result<KeySet, Text>,
    outputs: Outputs,
}

impl Authenticator {
    /// Reads the objects that apply in one place ([`super::Scope`]), and those that apply there and cannot be read.
    /// `provider` verifies signatures.
    pub fn compile<'a>(
        objects: impl IntoIterator<Item = &'a RequestAuthentication>,
        unreadable: impl IntoIterator<Item = &'a Unreadable>,
        provider: &'static CryptoProvider,
    ) -> Self {
        let mut compiled = Self::default();
        for object in objects {
            compiled.unusable = compiled.unusable.take().or(object.unusable.clone());
            for rule in &object.rules {
                match Rule::compile(rule, provider) {
                    Ok(rule) => compiled.rules.push(rule),
                    Err(why) => drop(compiled.unusable.get_or_insert(why)),
                }
            }
        }
        let mut unreadable = unreadable.into_iter().filter(|each| kind(each) == "RequestAuthentication");
        let reason = unreadable.next().map(|each| each.reason.clone());
        compiled.unusable = compiled.unusable.take().or(reason);
        compiled.reserved = compiled.rules.iter().flat_map(|rule| rule.outputs.headers()).cloned().collect();
        compiled
    }

    /// Whether nothing applies.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.unusable.is_none()
    }

    /// Validates what tokens a request brings, at `now` (since 1970): sets [`Request::token`] and the headers that the
    /// rule writes, and takes the token away from the application where the rule does not forward it.
    ///
    /// # Errors
    /// The request is answered 401.
    pub fn authenticate(&self, request: &mut Request, now: Duration) -> Result<(), Rejected> {
        for header in &self.reserved {
            request.headers.remove(header);
        }
        if let Some(why) = &self.unusable {
            return Err(Rejected::Unusable(why.clone()));
        }
        let mut rejected = None;
        for rule in &self.rules {
            let tokens = rule.places.find(request);
            let Some(first) = tokens.first() else { continue };
            match rule.accept_all(&tokens, now) {
                Ok(()) => {
                    let parsed = Parsed::new(first)?;
                    rule.outputs.write(&parsed, &mut request.headers);
                    request.token =
                        Some(Token { claims: parsed.claims, space_delimited: rule.space_delimited.clone() });
                    if !rule.forward {
                        rule.places.remove(request);
                    }
                    return Ok(());
                }
                // Another rule's issuer is the least that can be said.
                Err(Rejected::Issuer) if rejected.is_some() => {}
                Err(reason) => rejected = Some(reason),
            }
        }
        rejected.map_or(Ok(()), Err)
    }
}

impl Rule {
    fn compile(rule: &JwtRule, provider: &'static CryptoProvider) -> Result<Self, Text> {
        Ok(Self {
            issuer: rule.issuer.clone(),
            audiences: rule.audiences.clone(),
            leeway: rule.leeway,
            space_delimited: rule.space_delimited.clone(),
            forward: rule.forward,
            places: Places::compile(rule)?,
            keys: KeySet::compile(&rule.keys, provider),
            outputs: Outputs::compile(rule)?,
        })
    }

    fn accept_all(&self, tokens: &[String], now: Duration) -> Result<(), Rejected> {
        tokens.iter().try_for_each(|token| {
            let parsed = Parsed::new(token)?;
            // The cheap questions first; the signature is the last, and decides.
            parsed.check(&self.issuer, &self.audiences, self.leeway, now)?;
            let keys = self.keys.as_ref().map_err(|why| Rejected::NoKeys(why.clone()))?;
            keys.verify(&parsed)
        })
    }
}

#[cfg(test)]
mod tests;
