//! A YAML stream as trees that remember where every value stands in the file.
//!
//! Scanning and parsing are granit-parser's (through serde-saphyr); this module gives the events a shape, keeps the
//! input within limits while it arrives, and reads scalars as kubectl does.

mod builder;
mod deserializer;
mod fault;
mod misspelt;
mod scalar;

use std::sync::Arc;

use crate::{FieldPath, Position, Segment};

pub(crate) use builder::{StreamLimits, parse};
pub(crate) use deserializer::{Strictness, read};
pub(crate) use fault::{Fault, unknown_field};
pub(crate) use scalar::{Meaning, Scalar};

/// A value with its place.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) position: Position,
    pub(crate) value: Value,
    /// Number of values and keys in it, itself included, with aliases expanded.
    size: usize,
    /// Levels below it.
    height: usize,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Arc<Tree>>),
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) position: Position,
    pub(crate) value: Arc<Tree>,
}

impl Tree {
    /// The value of a map's key; nothing when it is null, as Kubernetes treats null as absent.
    pub(crate) fn field(&self, key: &str) -> Option<&Arc<Tree>> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    /// The text of a map's key, when it is a text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.field(key)?.value {
            Value::Scalar(Scalar { text, meaning: Meaning::Text | Meaning::Merge }) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.meaning == Meaning::Null)
    }

    /// The place of a field, or of its nearest ancestor that is written in the file.
    pub(crate) fn locate(&self, path: &FieldPath) -> Position {
        let mut tree = self;
        let mut position = self.position;
        for segment in path.segments() {
            let next = match (segment, &tree.value) {
                (Segment::Key(key), Value::Map(_)) => {
                    tree.entry(key).map(|entry| (entry.position, entry.value.as_ref()))
                }
                (Segment::Index(index), Value::List(items)) => {
                    items.get(*index).map(|item| (item.position, item.as_ref()))
                }
                _ => None,
            };
            let Some((place, child)) = next else { break };
            position = place;
            tree = child;
        }
        position
    }

    /// A map's entry, null or not.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }
}
