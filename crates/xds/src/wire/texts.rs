//! One copy of every text that many resources repeat: namespaces, nodes, networks, service names.

use std::collections::HashSet;

use ambit_model::Text;
use foldhash::fast::RandomState;

/// Fewest texts that are kept before unused ones are looked for.
const FLOOR: usize = 1024;

/// Shared texts. Those that nobody else holds any more are dropped whenever the number has doubled.
#[derive(Debug, Default)]
pub struct Texts {
    known: HashSet<Text, RandomState>,
    sweep_at: usize,
}

impl Texts {
    /// The shared copy of a text.
    pub fn share(&mut self, text: &str) -> Text {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at.max(FLOOR) {
            self.known.retain(|text| Text::strong_count(text) > 1);
            self.sweep_at = self.known.len() * 2;
        }
        let text = Text::from(text);
        self.known.insert(text.clone());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_go() {
        let mut texts = Texts::default();
        let kept = texts.share("kept");
        assert!(Text::ptr_eq(&kept, &texts.share("kept")));
        for number in 0..10 * FLOOR {
            texts.share(&number.to_string());
        }
        assert!(texts.known.len() <= FLOOR + 1, "{} texts are kept", texts.known.len());
        assert!(Text::ptr_eq(&kept, &texts.share("kept")));
    }
}
