//! Comparisons with a text, ready for use.

use ambit_model::Text;
use ambit_model::l7::matching::ValueMatch;

use super::expression::{Expression, InvalidExpression, Patterns};

/// A comparison, ready for use.
#[derive(Debug)]
pub(super) enum Value {
    Exact(Text),
    Prefix(Text),
    Suffix(Text),
    Expression(Expression),
    Present,
}

impl Value {
    pub(super) fn compile(value: &ValueMatch, patterns: &mut Patterns) -> Result<Self, InvalidExpression> {
        Ok(match value {
            ValueMatch::Exact(text) => Self::Exact(text.clone()),
            ValueMatch::Prefix(text) => Self::Prefix(text.clone()),
            ValueMatch::Suffix(text) => Self::Suffix(text.clone()),
            // No expression, and what Istio's users write for any value.
            ValueMatch::Regex(pattern) if &**pattern == "*" => Self::Present,
            ValueMatch::Regex(pattern) => Self::Expression(patterns.whole(pattern)?),
            ValueMatch::Present => Self::Present,
        })
    }

    /// The same for texts that are in lower case.
    pub(super) fn lower(self) -> Self {
        match self {
            Self::Exact(text) => Self::Exact(text.to_ascii_lowercase().into()),
            Self::Prefix(text) => Self::Prefix(text.to_ascii_lowercase().into()),
            Self::Suffix(text) => Self::Suffix(text.to_ascii_lowercase().into()),
            other => other,
        }
    }

    pub(super) fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == text,
            Self::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_bytes()),
            Self::Expression(expression) => expression.matches(text),
            Self::Present => true,
        }
    }
}
