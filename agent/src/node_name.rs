//! What may a node be called?

use std::fmt;
use std::str::FromStr;

/// Longest name of a Kubernetes object.
const LONGEST: usize = 253;

/// The name of a node: a DNS-1123 subdomain, as Kubernetes asks for. Safe in a URL's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName(String);

/// A text that cannot name a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a node: use lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
)]
pub struct NodeNameError(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= LONGEST && text.split('.').all(label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NodeNameError(text.chars().take(LONGEST).collect()))
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_takes_and_no_others() {
        for good in ["a", "node-1", "ip-10-0-0-1.eu.internal", "0"] {
            assert_eq!(good.parse::<NodeName>().map(|name| name.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".", "a/b", "a b", "../x", "é", &"a".repeat(254)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }
}
