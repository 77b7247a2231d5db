//! How does the show look on this terminal: how wide, and with colours or not?

use std::fmt::Display;
use std::io::IsTerminal;

/// Lines are not made longer than this, however wide the terminal is.
const WIDEST: usize = 150;
const NARROWEST: usize = 64;
const USUAL: usize = 100;

/// The look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Columns that a line may have.
    pub(crate) width: usize,
    colours: bool,
}

impl Style {
    /// The look of standard output. Colours only on a terminal, and not when `NO_COLOR` is set (no-color.org).
    pub(crate) fn of_standard_output() -> Self {
        let out = std::io::stdout();
        if !out.is_terminal() {
            return Self::plain(USUAL);
        }
        let size = rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = size.filter(|width| *width > 0).unwrap_or(USUAL).clamp(NARROWEST, WIDEST);
        Self { width, colours: !refused }
    }

    /// No colours.
    pub(crate) fn plain(width: usize) -> Self {
        Self { width, colours: false }
    }

    fn with(self, code: &str, text: impl Display) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// A title.
    pub(crate) fn bold(self, text: impl Display) -> String {
        self.with("1", text)
    }

    /// What may be passed over.
    pub(crate) fn dim(self, text: impl Display) -> String {
        self.with("2", text)
    }

    /// Good.
    pub(crate) fn green(self, text: impl Display) -> String {
        self.with("32", text)
    }

    /// Bad.
    pub(crate) fn red(self, text: impl Display) -> String {
        self.with("1;31", text)
    }

    /// Refused or open: worth a look.
    pub(crate) fn yellow(self, text: impl Display) -> String {
        self.with("33", text)
    }

    /// Something to type.
    pub(crate) fn cyan(self, text: impl Display) -> String {
        self.with("36", text)
    }
}

/// Breaks a text into lines of at most `width` columns, between words.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Cuts a text that is longer than `width` columns.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    if width == 0 {
        return String::new();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("incomprehensible", 4), ["incomprehensible"]);
        assert_eq!(wrap("", 4), Vec::<String>::new());
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("añb→", 4), "añb→");
        assert_eq!(cut("añb→", 0), "");
    }

    #[test]
    fn plain_is_plain() {
        assert_eq!(Style::plain(80).red("x"), "x");
        assert_eq!(Style { width: 80, colours: true }.green("x"), "\x1b[32mx\x1b[0m");
    }
}
