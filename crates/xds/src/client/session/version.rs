//! The version of a resource that is held.

use std::fmt;

/// A version, which is told to the server as it told it. Our own server's are numbers of 16 hexadecimal digits; a
/// hundred thousand of them need not be texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    Number(u64),
    Text(Box<str>),
}

impl Version {
    pub(super) fn new(text: &str) -> Self {
        match u64::from_str_radix(text, 16) {
            Ok(number) if format!("{number:016x}") == text => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }

    /// Bytes of its text.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Number(_) => 16,
            Self::Text(text) => text.len(),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:016x}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_as_it_was_given() {
        for text in [
            "00000000000000ff",
            "00000000000000FF",
            "+0000000000000ff",
            "ff",
            "",
            "rejected",
            "2026-01-01T00",
        ] {
            let version = Version::new(text);
            assert_eq!((version.to_string().as_str(), version.length()), (text, text.len()));
        }
        assert_eq!(Version::new("00000000000000ff"), Version::Number(255));
    }
}
