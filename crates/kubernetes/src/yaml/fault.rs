//! What is wrong with a YAML value, with its place and path.

use std::fmt;

use crate::{FieldPath, Position};

/// A complaint about a value. Fields know their place once the value that complains has passed it on.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) position: Option<Position>,
    pub(crate) path: FieldPath,
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

impl Fault {
    /// A complaint whose text is `reason; remedy`.
    pub(crate) fn new(message: &str) -> Self {
        let (reason, remedy) = message.split_once("; ").unwrap_or((message, ""));
        Self { position: None, path: FieldPath::root(), reason: reason.to_owned(), remedy: remedy.to_owned() }
    }

    /// The same complaint at a place, unless it has one already.
    pub(crate) fn or_at(mut self, position: Position, path: impl FnOnce() -> FieldPath) -> Self {
        if self.position.is_none() {
            self.position = Some(position);
            self.path = path();
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.reason, self.remedy)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(&message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(&format!("{field} is missing; set it"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let value = crate::problem::quoted(variant);
        Self::new(&format!("{value} is not a known value; use one of {}", expected.join(", ")))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(&unknown_field(field, expected))
    }
}

/// The complaint about a field that a kind does not have.
pub(crate) fn unknown_field(field: &str, expected: &[&str]) -> String {
    format!("unknown field {}; use one of {}", crate::problem::quoted(field), expected.join(", "))
}
