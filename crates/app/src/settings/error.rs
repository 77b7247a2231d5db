//! What is wrong with a setting, one line each.

use std::collections::BTreeSet;
use std::fmt;

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    name: String,
    line: String,
}

impl Problem {
    /// The variable `name`, set to `value` (if it is), which should have been what `accepted` says, and is not for
    /// this `reason`.
    pub fn new(name: &str, value: Option<&str>, accepted: &str, reason: &str) -> Self {
        let given = value.map(|value| format!("={value:?}")).unwrap_or_default();
        Self { name: name.to_owned(), line: format!("{name}{given}: {reason}; set it to {accepted}") }
    }

    /// The variable `name`, which has no default; `why` says what for.
    pub(super) fn missing(name: &str, why: &str) -> Self {
        Self { name: name.to_owned(), line: format!("{name} is not set, and has no default: {why}") }
    }

    /// A variable under a prefix of ours that nothing reads, with the nearest of those that are read.
    pub(super) fn unknown(name: &str, known: &BTreeSet<String>) -> Self {
        let nearest = known.iter().map(|known| (distance(name, known), known)).min();
        let hint = match nearest {
            Some((apart, known)) if apart <= 3 => format!("did you mean {known}?"),
            _ => "remove it".to_owned(),
        };
        Self { name: name.to_owned(), line: format!("{name}: no such setting; {hint}") }
    }

    /// The variable.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// All settings that cannot be used, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// In the order in which they were found; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}

/// Edits that turn one name into the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
