//! The keys of token issuers, fetched here so that no waypoint dials anybody (docs/decisions/0018-keys-of-issuers.md).

pub mod address;
mod fetch;
mod keeper;
mod set;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ambit_kubernetes::istio::{JwtRule, RequestAuthentication};
use ambit_model::Text;
use ipnet::IpNet;

pub use keeper::{Keeper, Pace};

/// How long fetching may take where a rule does not say (Istio).
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeySource {
    /// At this address (`jwksUri`).
    Uri(Text),
    /// Where the discovery document of this issuer says (OpenID Connect Discovery 1.0 section 4).
    Issuer(Text),
}

/// What is to be fetched, and how long that may take.
pub type Wanted = BTreeMap<KeySource, Duration>;

/// The key sets, as JSON, or why there is none.
pub type KeySets = BTreeMap<KeySource, Result<Text, Text>>;

/// What the controller may dial for keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Permissions {
    /// Networks that are dialled although they are not public.
    pub networks: Vec<IpNet>,
    /// Whether keys are fetched without TLS, too: then whoever is on the way can issue tokens.
    pub http: bool,
}

impl KeySource {
    /// Where a rule's keys are to be fetched; `None` where it has them itself.
    pub fn of(rule: &JwtRule) -> Option<Self> {
        match (&rule.jwks, &rule.jwks_uri) {
            (Some(_), _) => None,
            (None, Some(uri)) => Some(Self::Uri(uri.as_str().into())),
            (None, None) => Some(Self::Issuer(rule.issuer.as_str().into())),
        }
    }
}

/// Everything that these objects need; of several times for one source the longest.
pub fn wanted<'a>(objects: impl Iterator<Item = &'a RequestAuthentication>) -> Wanted {
    let mut wanted = Wanted::new();
    for rule in objects.flat_map(|object| &object.spec.jwt_rules) {
        if let Some(source) = KeySource::of(rule) {
            let timeout = rule.timeout.map_or(TIMEOUT, |timeout| timeout.get());
            let longest = wanted.entry(source).or_insert(timeout);
            *longest = timeout.max(*longest);
        }
    }
    wanted
}

/// As text, `jwks ADDRESS` or `issuer ISSUER`; the text names it in the state directory, too.
impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(f, "jwks {uri}"),
            Self::Issuer(issuer) => write!(f, "issuer {issuer}"),
        }
    }
}
