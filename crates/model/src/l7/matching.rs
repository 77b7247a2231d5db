//! Comparisons with parts of a request.

use serde::{Deserialize, Serialize};

use crate::Text;

/// A comparison with a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ValueMatch {
    /// The whole text.
    Exact(Text),
    /// Its beginning.
    Prefix(Text),
    /// Its end.
    Suffix(Text),
    /// An expression in RE2's syntax that must match the whole text.
    Regex(Text),
    /// Anything, as long as it is there.
    Present,
}

/// A comparison with a header, query parameter or claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldMatch {
    /// Header (lower case), parameter (as it is), or claim path (nested names in order, joined by U+001F).
    pub name: Text,
    /// What its value must be.
    pub value: ValueMatch,
}

/// A comparison with a path, which has neither query nor fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PathMatch {
    /// The whole path.
    Exact(Text),
    /// Whole elements from the beginning (Gateway API `PathPrefix`): `/v2` matches `/v2` and `/v2/x`, never `/v2x`.
    Elements(Text),
    /// Letters from the beginning (VirtualService `prefix`).
    Prefix(Text),
    /// An expression in RE2's syntax that must match the whole path.
    Regex(Text),
    /// A gRPC service and method (GRPCRoute): `/service/method`.
    Grpc {
        /// The service with its package; any if absent.
        service: Option<ValueMatch>,
        /// The method; any if absent.
        method: Option<ValueMatch>,
    },
}

/// A share of requests, exact: `numerator` of `denominator` (never 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// How many.
    pub numerator: u32,
    /// Of how many.
    pub denominator: u32,
}

impl Share {
    /// All of them.
    pub const ALL: Self = Self { numerator: 1, denominator: 1 };

    /// Whether a draw that is uniform over `0..denominator` falls into the share.
    pub fn holds(self, draw: u32) -> bool {
        draw < self.numerator
    }
}

/// Values of which one must hold, and values of which none may; an empty list says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values<T> {
    /// One of these.
    pub any: Vec<T>,
    /// None of these.
    pub none: Vec<T>,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self { any: Vec::new(), none: Vec::new() }
    }
}

impl<T> Values<T> {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }
}
