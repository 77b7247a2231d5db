//! Which matches can a path have at all? Buckets of matches by exact path and by prefix, each in order of precedence.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Text;

use super::condition::Condition;
use super::path::{Path, ends_element};
use crate::request::canonical::Request;
use crate::request::rule::CompiledRule;

/// One match of one rule.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Path,
    pub(super) conditions: Box<[Condition]>,
    pub(super) rule: Arc<CompiledRule>,
}

/// Places in the list of matches, ascending: what goes before has the smaller one.
type Bucket = Vec<u32>;

/// Matches in order of precedence, with buckets to find them.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Vec<Arc<Entry>>,
    exact: HashMap<Text, Bucket>,
    elements: Prefixes,
    letters: Prefixes,
    others: Bucket,
}

/// Buckets by prefix, and the lengths that prefixes have.
#[derive(Debug, Default)]
struct Prefixes {
    buckets: HashMap<Text, Bucket>,
    lengths: Vec<usize>,
}

impl Prefixes {
    fn insert(&mut self, prefix: &Text, at: u32) {
        if let Err(place) = self.lengths.binary_search(&prefix.len()) {
            self.lengths.insert(place, prefix.len());
        }
        self.buckets.entry(prefix.clone()).or_default().push(at);
    }

    /// Buckets of the prefixes of a path, longest first.
    fn of<'a>(&'a self, path: &'a str, whole_elements: bool) -> impl Iterator<Item = &'a Bucket> {
        let lengths =
            self.lengths.iter().rev().filter(move |length| !whole_elements || ends_element(path, **length));
        lengths.filter_map(|length| self.buckets.get(path.get(..*length)?))
    }
}

impl Index {
    /// An index over matches that are in order of precedence.
    pub(super) fn new(entries: Vec<Arc<Entry>>) -> Self {
        let mut index = Self::default();
        for (at, entry) in (0..).zip(&entries) {
            match &entry.path {
                Path::Exact(path) => index.exact.entry(path.clone()).or_default().push(at),
                Path::Elements(prefix) => index.elements.insert(prefix, at),
                Path::Letters(prefix) => index.letters.insert(prefix, at),
                Path::Expression(expression) if !expression.prefix().is_empty() => {
                    index.letters.insert(expression.prefix(), at);
                }
                Path::Any | Path::Expression(_) | Path::Grpc { .. } | Path::AnyCase(_) => {
                    index.others.push(at)
                }
            }
        }
        Self { entries, ..index }
    }

    /// The first match in order of precedence, and how much of the path it takes.
    pub(super) fn find(&self, request: &Request) -> Option<(&Arc<CompiledRule>, usize)> {
        let path = request.path();
        let mut best: Option<(usize, usize)> = None;
        let buckets = self.exact.get(path).into_iter();
        let buckets = buckets.chain(self.elements.of(path, true)).chain(self.letters.of(path, false));
        for bucket in buckets.chain([&self.others]) {
            let places = bucket.iter().map(|at| *at as usize);
            let before = places.take_while(|at| best.is_none_or(|(best, _)| *at < best));
            let found = before.filter_map(|at| Some((at, self.entries[at].taken(request)?)));
            best = { found }.next().or(best);
        }
        let (at, taken) = best?;
        Some((&self.entries[at].rule, taken))
    }
}

impl Entry {
    fn taken(&self, request: &Request) -> Option<usize> {
        let taken = self.path.taken(request.path())?;
        self.conditions.iter().all(|condition| condition.holds(request)).then_some(taken)
    }
}
