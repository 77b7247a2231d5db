//! Who may answer when we dial: the identities that a destination is known by.

use std::fmt;
use std::sync::Arc;

use ambit_model::Identity;

/// The identities one of which a dialled server must prove. Order and repetition do not matter; cheap to clone and to
/// use as a key. An empty list matches nobody.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ExpectedPeers(Arc<[Identity]>);

impl ExpectedPeers {
    /// Any of `identities`.
    pub fn new(identities: impl IntoIterator<Item = Identity>) -> Self {
        let mut list: Vec<_> = identities.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        Self(list.into())
    }

    /// Any of `identities` or of `names` (Istio `Service.subject_alt_names`). A name that is no SPIFFE ID of the Istio
    /// form could never match a certificate of this mesh and is dropped.
    pub fn with_names<T: AsRef<str>>(
        identities: impl IntoIterator<Item = Identity>,
        names: impl IntoIterator<Item = T>,
    ) -> Self {
        let named = names.into_iter().filter_map(|name| name.as_ref().parse().ok());
        Self::new(identities.into_iter().chain(named))
    }

    /// Whether `identity` is one of them.
    pub fn contains(&self, identity: &Identity) -> bool {
        self.0.contains(identity)
    }

    /// The identities, sorted, each once.
    pub fn identities(&self) -> &[Identity] {
        &self.0
    }
}

impl From<Identity> for ExpectedPeers {
    fn from(identity: Identity) -> Self {
        Self::new([identity])
    }
}

impl fmt::Display for ExpectedPeers {
    /// At most four of them: the list of a big service must not flood a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        if self.0.is_empty() {
            return f.write_str("nobody");
        }
        for (index, identity) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{identity}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Debug for ExpectedPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(account: &str) -> Identity {
        Identity::new("cluster.local", "shop", account).unwrap()
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let one = ExpectedPeers::new([identity("a"), identity("b"), identity("a")]);
        let other = ExpectedPeers::with_names([identity("b")], ["spiffe://cluster.local/ns/shop/sa/a"]);
        assert_eq!(one, other);
        assert_eq!(one.identities().len(), 2);
    }

    #[test]
    fn names_that_are_no_identity_never_match() {
        let peers = ExpectedPeers::with_names([], ["*", "", "cart.shop.svc", "spiffe://cluster.local/*"]);
        assert!(peers.identities().is_empty());
        assert!(!peers.contains(&identity("a")));
        assert_eq!(peers.to_string(), "nobody");
    }

    #[test]
    fn a_long_list_is_shown_shortened() {
        let peers = ExpectedPeers::new((0..9).map(|n| identity(&format!("a{n}"))));
        assert!(peers.to_string().ends_with("sa/a3 and 5 more"), "{peers}");
    }
}
