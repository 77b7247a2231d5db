//! A workload's SPIFFE identity: who it is, independent of where it runs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::Text;

/// The trust domain of Istio meshes that set none (Istio `meshConfig.trustDomain`).
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

/// The SPIFFE ID of a Kubernetes service account: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`.
///
/// Exactly this form, as Istio issues it; other SPIFFE layouts are refused. Segments follow SPIFFE-ID section 2:
/// a trust domain of lower-case letters, digits, `.`, `-`, `_`; path segments of letters, digits, `.`, `-`, `_`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    home: Arc<Home>,
    service_account: Text,
}

/// A namespace of a trust domain: what the identities in it have alike, and share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Home {
    trust_domain: Text,
    namespace: Text,
}

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a SPIFFE ID of the form spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT: {reason}"
)]
pub struct InvalidIdentity {
    text: String,
    reason: &'static str,
}

impl Identity {
    /// Builds an identity from its parts, checking each of them.
    pub fn new(trust_domain: &str, namespace: &str, service_account: &str) -> Result<Self, InvalidIdentity> {
        let refuse = |reason| InvalidIdentity {
            text: format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"),
            reason,
        };
        if !is_trust_domain(trust_domain) {
            return Err(refuse(
                "the trust domain must be 1 to 255 lower-case letters, digits, '.', '-' or '_'",
            ));
        }
        if !is_segment(namespace) {
            return Err(refuse("the namespace must be letters, digits, '.', '-' or '_'"));
        }
        if !is_segment(service_account) {
            return Err(refuse("the service account must be letters, digits, '.', '-' or '_'"));
        }
        let home = Home { trust_domain: trust_domain.into(), namespace: namespace.into() };
        Ok(Self { home: Arc::new(home), service_account: service_account.into() })
    }

    /// The same identity, of a home and a text that others hold too: many workloads have one identity, and all of them
    /// few homes.
    pub fn shared(
        self,
        share: impl FnOnce(&str) -> Text,
        share_home: impl FnOnce(&Home) -> Arc<Home>,
    ) -> Self {
        Self { home: share_home(&self.home), service_account: share(&self.service_account) }
    }

    /// The trust domain, such as `cluster.local`.
    pub fn trust_domain(&self) -> &Text {
        &self.home.trust_domain
    }

    /// The Kubernetes namespace.
    pub fn namespace(&self) -> &Text {
        &self.home.namespace
    }

    /// The Kubernetes service account.
    pub fn service_account(&self) -> &Text {
        &self.service_account
    }

    /// The principal as Istio policies write it: the SPIFFE ID without its scheme, `TRUST-DOMAIN/ns/NS/sa/SA`.
    pub fn principal(&self) -> String {
        format!("{}/ns/{}/sa/{}", self.trust_domain(), self.namespace(), self.service_account)
    }
}

fn is_trust_domain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_segment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=253).contains(&text.len()) && text != "." && text != ".." && text.bytes().all(allowed)
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| InvalidIdentity { text: text.chars().take(300).collect(), reason };
        let rest =
            text.strip_prefix("spiffe://").ok_or_else(|| refuse("it does not start with spiffe://"))?;
        let mut segments = rest.split('/');
        match (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ) {
            (Some(trust_domain), Some("ns"), Some(namespace), Some("sa"), Some(service_account), None) => {
                Self::new(trust_domain, namespace, service_account).map_err(|invalid| refuse(invalid.reason))
            }
            _ => Err(refuse("its path is not /ns/NAMESPACE/sa/SERVICE-ACCOUNT")),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain(), self.namespace(), self.service_account)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_everything_but_the_istio_form() {
        for text in [
            "",
            "cluster.local/ns/a/sa/b",
            "spiffe://",
            "spiffe:///ns/a/sa/b",
            "spiffe://td/ns/a/sa/",
            "spiffe://td/ns//sa/b",
            "spiffe://td/ns/a/sa/b/",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/sa/a/ns/b",
            "spiffe://TD/ns/a/sa/b",
            "spiffe://td:443/ns/a/sa/b",
            "spiffe://user@td/ns/a/sa/b",
            "spiffe://td/ns/a\0/sa/b",
            "spiffe://td/ns/../sa/b",
            "spiffe://td/ns/a/sa/b?x",
            "SPIFFE://td/ns/a/sa/b",
        ] {
            assert!(text.parse::<Identity>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(td in "[a-z0-9._-]{1,20}", ns in "[a-z0-9-]{1,20}", sa in "[a-zA-Z0-9._-]{3,20}") {
            let identity = Identity::new(&td, &ns, &sa).unwrap();
            prop_assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity.clone());
            prop_assert_eq!(format!("spiffe://{}", identity.principal()), identity.to_string());
        }

        #[test]
        fn arbitrary_text_never_panics_and_only_the_canonical_form_parses(text in ".{0,80}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }
    }
}
