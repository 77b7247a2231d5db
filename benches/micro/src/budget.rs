//! The committed budget: a line `NAME COUNT` for each case, and what is said when a count has left it.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Context;

/// How far a count may be from its budget, in percent. Hash seeds, keys and addresses alone move it by less than one; the
/// rest is for what the compiler does differently when code elsewhere changes.
pub const ALLOWANCE: u64 = 5;

/// Counts by case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Budget(BTreeMap<String, u64>);

/// What a count means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Within the allowance.
    Good,
    /// Better than the budget by more than the allowance: worth a new budget, so that the gain is kept.
    Better,
    /// Worse than the budget by more than the allowance.
    Worse,
    /// The budget has no such case.
    Unknown,
}

impl Budget {
    /// Reads a budget.
    ///
    /// # Errors
    /// A line is not a name and a number.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entry = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.trim().parse().ok()?))
        };
        let entries =
            lines.map(|line| entry(line).with_context(|| format!("budget: {line:?} is not NAME COUNT")));
        entries.collect::<anyhow::Result<_>>().map(Self)
    }

    /// Writes counts as a budget.
    pub fn write(counts: &[(&str, u64)]) -> String {
        let width = counts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let mut text =
            "# Instructions of each case. Written by ./dev micro --bless; checked by ./dev micro.\n"
                .to_owned();
        for (name, count) in counts {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{name:<width$} {count}");
        }
        text
    }

    /// The budget of a case.
    pub fn of(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// The cases of the budget.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What a count means.
    pub fn judge(&self, name: &str, count: u64) -> Judgement {
        let Some(budget) = self.of(name) else { return Judgement::Unknown };
        if count * 100 > budget * (100 + ALLOWANCE) {
            Judgement::Worse
        } else if count * 100 < budget * (100 - ALLOWANCE) {
            Judgement::Better
        } else {
            Judgement::Good
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let counts = [("resolve/1k", 1234), ("relay", 7)];
        let budget = Budget::parse(&Budget::write(&counts)).unwrap();
        assert_eq!(counts.map(|(name, _)| budget.of(name)), [Some(1234), Some(7)]);
        assert_eq!(budget.names().count(), 2);
        assert!(Budget::parse("resolve").is_err() && Budget::parse("resolve much").is_err());
    }

    #[test]
    fn a_count_is_judged_by_the_allowance() {
        let budget = Budget::parse("a 1000").unwrap();
        let judged = [950, 1050, 949, 1051].map(|count| budget.judge("a", count));
        assert_eq!(judged, [Judgement::Good, Judgement::Good, Judgement::Better, Judgement::Worse]);
        assert_eq!(budget.judge("b", 1), Judgement::Unknown);
    }
}
