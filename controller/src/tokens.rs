//! Tokens: who asks, proved by a compact JWT (RFC 7519) signed with a key of the state directory (HS256).
//!
//! A token names one node, or one workload identity, and nothing else. It is read only if it is exactly what [`Tokens::mint`] writes: this header,
//! this audience, this issuer; there is no algorithm to choose and no claim that widens anything.

mod caller;
mod claims;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::state::{Access, StateDirectory, StateError};
pub use caller::{Caller, InvalidWorkload, WorkloadName};
use claims::{Claims, Header};

/// The signing key, base64url, mode 0600.
pub const KEY_FILE: &str = "token-key";
/// The audience of every token, as Istio's.
pub const AUDIENCE: &str = "istio-ca";
/// The issuer of every token.
pub const ISSUER: &str = "ambit.mesh/controller";
/// How far clocks may differ.
pub const SKEW: Duration = Duration::from_secs(60);
/// Longest token that is read.
const LONGEST: usize = 4096;
const KEY_BYTES: usize = 32;

/// Mints and verifies tokens.
pub struct Tokens {
    key: Zeroizing<Vec<u8>>,
}

/// A node's name: a DNS-1123 subdomain, as Kubernetes names nodes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(std::sync::Arc<str>);

/// A text that names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a node name: use at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends of each part"
)]
pub struct InvalidNodeName(String);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Files.
    #[error(transparent)]
    State(#[from] StateError),
    /// Not what we wrote.
    #[error(
        "{} does not hold a token key: restore it from a backup, or remove it and make new tokens for all nodes",
        .0.display()
    )]
    Malformed(std::path::PathBuf),
}

/// Why a token proves nothing. For the operator's log; the caller is told less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// None came.
    #[error("it carries no bearer token")]
    Missing,
    /// Not a token at all.
    #[error("its token is not a compact JWT")]
    Malformed,
    /// Another algorithm or type.
    #[error("its token's header is not that of a node token (alg HS256)")]
    Header,
    /// Signed with another key, or changed.
    #[error("its token's signature is wrong: it was changed, or made with another state directory")]
    Signature,
    /// Signed by us, but not as a node token.
    #[error("its token's claims are not those of a node token: {0}")]
    Claims(&'static str),
    /// For somebody else.
    #[error("its token is not for the audience istio-ca")]
    Audience,
    /// Too late.
    #[error("its token for {caller} expired {seconds} s ago")]
    Expired {
        /// Whom it named.
        caller: Caller,
        /// Since when.
        seconds: u64,
    },
    /// Too early.
    #[error("its token for {0} is from the future: compare the clocks")]
    NotYet(Caller),
}

impl Tokens {
    /// Loads the key of the state directory; makes one when there is none.
    pub fn load_or_create(state: &StateDirectory) -> Result<Self, KeyError> {
        Self::load_or_make(state).map(|(tokens, _)| tokens)
    }

    /// As [`Tokens::load_or_create`]; also whether the key was made.
    pub fn load_or_make(state: &StateDirectory) -> Result<(Self, bool), KeyError> {
        let _lock = state.lock_keys()?;
        if let Some(text) = state.read(KEY_FILE, Access::Private)?.map(Zeroizing::new) {
            let key = BASE64.decode(text.trim_ascii()).map(Zeroizing::new);
            return match key {
                Ok(key) if key.len() >= KEY_BYTES => Ok((Self { key }, false)),
                _ => Err(KeyError::Malformed(state.file(KEY_FILE))),
            };
        }
        let key = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>().to_vec());
        let text = Zeroizing::new(format!("{}\n", BASE64.encode(key.as_slice())));
        state.write(KEY_FILE, Access::Private, text.as_bytes())?;
        Ok((Self { key }, true))
    }

    /// A token for a node or workload, valid from `now` for `lifetime`.
    pub fn mint(&self, caller: impl Into<Caller>, lifetime: Duration, now: SystemTime) -> Zeroizing<String> {
        let issued = unix(now);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: caller.into().subject(),
            aud: AUDIENCE.to_owned().into(),
            exp: issued.saturating_add(lifetime.as_secs()),
            iat: issued,
            jti: BASE64.encode(rand::random::<[u8; 16]>()),
        };
        let mut token = Zeroizing::new(format!("{}.{}", Header::ours().encode(), claims.encode()));
        let signature = BASE64.encode(self.mac(token.as_bytes()).finalize().into_bytes());
        token.push('.');
        token.push_str(&signature);
        token
    }

    /// Whom a token names, if it proves it at `now`.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Caller, TokenRefusal> {
        if token.len() > LONGEST {
            return Err(TokenRefusal::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenRefusal::Malformed)?;
        let signature = BASE64.decode(signature).map_err(|_| TokenRefusal::Malformed)?;
        if Header::decode(header).ok_or(TokenRefusal::Malformed)? != Header::ours() {
            return Err(TokenRefusal::Header);
        }
        // Compares in constant time; nothing of the claims is looked at before.
        self.mac(signed.as_bytes()).verify_slice(&signature).map_err(|_| TokenRefusal::Signature)?;
        let claims = Claims::decode(claims).ok_or(TokenRefusal::Claims("they cannot be read"))?;
        check(&claims, unix(now))
    }

    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of every length, so the fallback is never used; it would verify nothing that we minted.
        let mac = Hmac::<Sha256>::new_from_slice(&self.key);
        let mut mac =
            mac.unwrap_or_else(|_| Hmac::<Sha256>::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
        mac.update(text);
        mac
    }
}

fn check(claims: &Claims, now: u64) -> Result<Caller, TokenRefusal> {
    if !claims.aud.is_exactly(AUDIENCE) {
        return Err(TokenRefusal::Audience);
    }
    if claims.iss != ISSUER {
        return Err(TokenRefusal::Claims("another issuer"));
    }
    let caller = Caller::from_subject(&claims.sub)
        .ok_or(TokenRefusal::Claims("the subject names neither a node nor a workload"))?;
    let skew = SKEW.as_secs();
    if now > claims.exp.saturating_add(skew) {
        return Err(TokenRefusal::Expired { caller, seconds: now - claims.exp });
    }
    if claims.iat > now.saturating_add(skew) {
        return Err(TokenRefusal::NotYet(caller));
    }
    Ok(caller)
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The token of an `authorization` header. The scheme's letters may be of either case (RFC 9110 section 11.1).
pub fn bearer(header: Option<&http::HeaderValue>) -> Result<&str, TokenRefusal> {
    let text = header.ok_or(TokenRefusal::Missing)?.to_str().map_err(|_| TokenRefusal::Malformed)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(TokenRefusal::Missing),
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(key redacted)")
    }
}

impl NodeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for NodeName {
    type Err = InvalidNodeName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
        };
        if text.len() <= 253 && text.split('.').all(part) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidNodeName(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
