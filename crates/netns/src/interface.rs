//! What is a valid name of a network interface, for the kernel and for every tool that reads rules?

use std::fmt;
use std::str::FromStr;

/// The kernel's limit (`IFNAMSIZ`) without the final NUL.
const MAX_LENGTH: usize = 15;

/// The name of a network interface: 1 to 15 letters, digits, `.`, `_`, `-` or `@`, not starting with `-`.
///
/// Narrower than the kernel on purpose: such a name is safe in iptables text, where blanks and quotes would start
/// something else and a final `+` would be a wildcard.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceName(String);

/// A text that cannot name an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an interface name: use 1 to 15 letters, digits, '.', '_', '-' or '@', not starting with '-'"
)]
pub struct InterfaceNameError(pub String);

impl InterfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The loopback interface, `lo`.
    pub(crate) fn loopback() -> Self {
        Self("lo".to_owned())
    }
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-@".contains(&c);
        let good = (1..=MAX_LENGTH).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.starts_with('-')
            && text != "."
            && text != "..";
        if good { Ok(Self(text.to_owned())) } else { Err(InterfaceNameError(text.to_owned())) }
    }
}

impl TryFrom<&str> for InterfaceName {
    type Error = InterfaceNameError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names() {
        for name in ["lo", "eth0", "eth0.100", "veth-a_b", "a", "br@x", "abcdefghijklmno"] {
            assert_eq!(name.parse::<InterfaceName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_would_mean_something_else_in_a_rule() {
        let bad = [
            "",
            "-i",
            "eth+",
            "a b",
            "a\n-A INPUT",
            "a/b",
            "a:1",
            "\"",
            "!",
            ".",
            "..",
            "abcdefghijklmnop",
            "é",
        ];
        for name in bad {
            assert_eq!(name.parse::<InterfaceName>(), Err(InterfaceNameError(name.to_owned())));
        }
    }
}
