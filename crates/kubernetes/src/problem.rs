//! What is wrong with what a user wrote: where, what, and what to do about it, in one line.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::FieldPath;

/// Longest part of a foreign value that a message repeats, in characters.
const LONGEST_QUOTE: usize = 64;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1; 0 when the complaint is about the file as a whole.
    pub line: u32,
    /// From 1; 0 when unknown.
    pub column: u32,
}

/// One thing wrong with a file or with an object in it. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file, as it was named to the reader.
    pub file: PathBuf,
    /// The line in the file, from 1; 0 when the complaint is about the file as a whole.
    pub line: u32,
    /// The column in the line, from 1; 0 when unknown.
    pub column: u32,
    /// `Kind namespace/name`, as far as known.
    pub object: Option<String>,
    /// The field; empty when the complaint is about the object or file.
    pub path: FieldPath,
    /// What is wrong.
    pub reason: String,
    /// What to do about it; may be empty when the reason says it.
    pub remedy: String,
}

impl Problem {
    /// A complaint about a file as a whole.
    pub fn with_file(file: &Path, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            object: None,
            path: FieldPath::root(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    /// The same complaint at a place in the file.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.line = position.line;
        self.column = position.column;
        self
    }

    pub(crate) fn on(mut self, path: FieldPath) -> Self {
        self.path = path;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(formatter, &self.file, self.line)?;
        if let Some(object) = &self.object {
            write!(formatter, "{object}: ")?;
        }
        if !self.path.is_root() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.reason)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.remedy) }
    }
}

/// `file:line: ` or `file: `, control characters made visible.
pub(crate) fn write_place(formatter: &mut fmt::Formatter<'_>, file: &Path, line: u32) -> fmt::Result {
    let file = one_line(&file.to_string_lossy());
    if line == 0 { write!(formatter, "{file}: ") } else { write!(formatter, "{file}:{line}: ") }
}

/// A foreign value between quotes: one line, control characters escaped, shortened when long.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text).replace('"', "\\\""))
}

/// A foreign value without quotes: one line, control characters escaped, shortened when long.
pub(crate) fn shortened(text: &str) -> String {
    shortened_to(text, LONGEST_QUOTE)
}

/// As [`shortened`], to a number of characters.
pub(crate) fn shortened_to(text: &str, longest: usize) -> String {
    let mut short: String = text.chars().take(longest).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    one_line(&short)
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        let separator = matches!(character, '\u{2028}' | '\u{2029}');
        if character.is_control() || separator {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// `Kind namespace/name`, or `Kind name` without a namespace.
pub(crate) fn object_name(kind: &str, namespace: &str, name: &str) -> String {
    let name = if name.is_empty() { "(without name)".to_owned() } else { shortened(name) };
    match namespace {
        "" => format!("{} {name}", shortened(kind)),
        namespace => format!("{} {}/{name}", shortened(kind), shortened(namespace)),
    }
}
