//! Keeps a line one line: what a terminal or a parser would obey is written as an escape.

use std::fmt::{self, Write};

/// Whether a character could end a line, move a cursor, change a colour or turn the direction of text.
fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Printable ASCII, as nearly all text is: nothing in it is active. Without branches, so that it is quick.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

/// Passes text on with its active characters escaped as Rust writes them (`\n`, `\u{1b}`).
pub(super) struct OneLine<W>(pub(super) W);

impl<W: Write> Write for OneLine<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_plain(text) {
            return self.0.write_str(text);
        }
        let mut rest = text;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| is_active(*character)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", character.escape_default())?;
            rest = &rest[at + character.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Passes text on as the inside of a JSON string (RFC 8259 section 7), active characters escaped too.
pub(super) struct JsonText<W>(pub(super) W);

impl<W: Write> Write for JsonText<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_plain(text) && !text.contains(['"', '\\']) {
            return self.0.write_str(text);
        }
        let special = |character: char| matches!(character, '"' | '\\') || is_active(character);
        let mut rest = text;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| special(*character)) {
            self.0.write_str(&rest[..at])?;
            match character {
                '"' => self.0.write_str("\\\"")?,
                '\\' => self.0.write_str("\\\\")?,
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_str("\\t")?,
                // Every active character is in the basic multilingual plane: one escape says it.
                other => write!(self.0, "\\u{:04x}", u32::from(other))?,
            }
            rest = &rest[at + character.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}
