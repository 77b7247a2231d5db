//! What an object asks that is not done: told with its field, and where it matters refused.

use ambit_model::Text;

use super::Author;
use crate::index::condition::unmet;

/// What of one object is not done.
pub(super) struct Unheard<'a> {
    author: &'a Author<'a>,
    pub(super) notes: Vec<String>,
    /// Why the object, or the rule that is read, cannot be obeyed.
    pub(super) invalid: Option<Text>,
}

impl<'a> Unheard<'a> {
    pub(super) fn new(author: &'a Author<'a>) -> Self {
        Self { author, notes: Vec::new(), invalid: None }
    }

    /// A field without effect.
    pub(super) fn note(&mut self, field: &str, why: &str) {
        self.notes.push(unmet(self.author, "Accepted", "UnsupportedValue", format!("{field}: {why}")));
    }

    /// A field without which the rest must not be done.
    pub(super) fn refuse(&mut self, field: &str, why: &str) {
        self.note(field, &format!("{why}, so what it is for is refused"));
        self.invalid.get_or_insert_with(|| format!("{field}: {why}").into());
    }
}
