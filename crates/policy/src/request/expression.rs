//! Expressions in RE2's syntax, as Istio's and the Gateway API's users write them, matched in linear time.
//!
//! What RE2 and our engine read differently is translated ([`translate`]); what only one of them has is refused.

mod prefix;
mod translate;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ambit_model::Text;
use regex::bytes::{Regex, RegexBuilder};

use translate::{Translated, translate};

/// Longest expression, in bytes (the Gateway API's own limit for values).
const LONGEST: usize = 4096;

/// Largest compiled program, in bytes.
const LARGEST: usize = 256 * 1024;

/// Why an expression is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExpression {
    /// It is longer than 4096 bytes.
    #[error("the expression is longer than {LONGEST} bytes")]
    TooLong,
    /// It needs too much memory.
    #[error("the expression {0:?} is too large when compiled; repeat less")]
    TooLarge(Text),
    /// It is not RE2's syntax.
    #[error("{0:?} is no RE2 expression: {1}")]
    Syntax(Text, Text),
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    regex: Arc<Regex>,
    prefix: Text,
}

impl Expression {
    /// An expression that matches whole texts.
    ///
    /// # Errors
    /// It is not RE2's syntax, or too large.
    pub fn whole(pattern: &str) -> Result<Self, InvalidExpression> {
        compile(pattern, |translated| format!("\\A(?:{translated})\\z"))
    }

    /// An expression that is looked for in texts.
    ///
    /// # Errors
    /// It is not RE2's syntax, or too large.
    pub fn anywhere(pattern: &str) -> Result<Self, InvalidExpression> {
        compile(pattern, |translated| translated)
    }

    /// The letters that every text begins with that it matches as a whole; empty where they are not plain to see.
    pub fn prefix(&self) -> &Text {
        &self.prefix
    }

    /// Whether it matches: all of `text`, or anywhere in it, as it was made.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// `text` with every match replaced; `\1` in the replacement is the first group, `\0` the whole match, `\\` a
    /// backslash.
    pub fn replace(&self, text: &str, replacement: &str) -> String {
        let mut replaced = Vec::with_capacity(text.len());
        let mut last = 0;
        for groups in self.regex.captures_iter(text.as_bytes()) {
            let Some(all) = groups.get(0) else { continue };
            replaced.extend_from_slice(&text.as_bytes()[last..all.start()]);
            last = all.end();
            let mut letters = replacement.bytes();
            while let Some(letter) = letters.next() {
                match (letter, letter == b'\\') {
                    (_, false) => replaced.push(letter),
                    (_, true) => match letters.next() {
                        Some(digit @ b'0'..=b'9') => {
                            let group = groups.get(usize::from(digit - b'0'));
                            replaced.extend_from_slice(group.map_or(b"", |group| group.as_bytes()));
                        }
                        Some(other) => replaced.push(other),
                        None => replaced.push(b'\\'),
                    },
                }
            }
        }
        replaced.extend_from_slice(&text.as_bytes()[last..]);
        String::from_utf8_lossy(&replaced).into_owned()
    }
}

fn compile(pattern: &str, around: impl Fn(String) -> String) -> Result<Expression, InvalidExpression> {
    if pattern.len() > LONGEST {
        return Err(InvalidExpression::TooLong);
    }
    let syntax = |reason: &str| InvalidExpression::Syntax(pattern.into(), reason.into());
    let Translated { pattern: translated, bytewise } = translate(pattern).map_err(syntax)?;
    let mut builder = RegexBuilder::new(&around(translated));
    match builder.unicode(!bytewise).size_limit(LARGEST).dfa_size_limit(LARGEST).build() {
        Ok(regex) => {
            Ok(Expression { regex: Arc::new(regex), prefix: prefix::literal_prefix(pattern).into() })
        }
        Err(regex::Error::CompiledTooBig(_)) => Err(InvalidExpression::TooLarge(pattern.into())),
        Err(error) => {
            let reason = error.to_string();
            Err(syntax(reason.lines().last().unwrap_or_default()))
        }
    }
}

/// Expressions, each compiled once however many routes have it.
#[derive(Debug, Default)]
pub struct Patterns {
    whole: Known,
    anywhere: Known,
}

type Known = HashMap<Text, Result<Expression, InvalidExpression>>;

impl Patterns {
    /// The expression of a pattern that matches whole texts.
    ///
    /// # Errors
    /// As [`Expression::whole`].
    pub fn whole(&mut self, pattern: &Text) -> Result<Expression, InvalidExpression> {
        once(&mut self.whole, pattern, Expression::whole)
    }

    /// The expression of a pattern that is looked for in texts.
    ///
    /// # Errors
    /// As [`Expression::anywhere`].
    pub fn anywhere(&mut self, pattern: &Text) -> Result<Expression, InvalidExpression> {
        once(&mut self.anywhere, pattern, Expression::anywhere)
    }

    /// Forgets the expressions that nobody else holds.
    pub fn trim(&mut self) {
        for known in [&mut self.whole, &mut self.anywhere] {
            known.retain(|_, each| {
                each.as_ref().is_ok_and(|expression| Arc::strong_count(&expression.regex) > 1)
            });
        }
    }
}

fn once(
    known: &mut Known,
    pattern: &Text,
    compile: impl Fn(&str) -> Result<Expression, InvalidExpression>,
) -> Result<Expression, InvalidExpression> {
    match known.entry(pattern.clone()) {
        Entry::Occupied(known) => known.get().clone(),
        Entry::Vacant(unknown) => unknown.insert(compile(pattern)).clone(),
    }
}

#[cfg(test)]
mod tests;
