//! RE2's syntax in our engine's words: what both read differently is written so that it means what RE2 reads.
//!
//! The differences: `\d`, `\w`, `\s` and `\b` are ASCII in RE2; `[` inside a class, `&&`, `~~` and a `{` that repeats
//! nothing are letters there; `\Q...\E` quotes. What only our engine has (flags `x`, `R` and `u`, `\<`, `--` in
//! classes) is refused or read as a letter, as RE2 does.
//!
//! Most patterns mean the same for bytes as for letters, and are far smaller so: those of ASCII, in which what may match
//! other letters is not counted (`.*`, `[^/]+`).

use std::iter::Peekable;
use std::str::Chars;

/// What is left of a pattern, and what has been written.
struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    depth: usize,
    bytewise: bool,
}

/// A pattern in our engine's words.
pub(super) struct Translated {
    /// The pattern, its groups closed: it can be put into a group.
    pub(super) pattern: String,
    /// Whether it may be matched byte by byte.
    pub(super) bytewise: bool,
}

pub(super) fn translate(pattern: &str) -> Result<Translated, &'static str> {
    let rest = pattern.chars().peekable();
    let out = String::with_capacity(pattern.len() + 8);
    let mut translation = Translation { rest, out, depth: 0, bytewise: pattern.is_ascii() };
    while let Some(letter) = translation.rest.next() {
        match letter {
            '\\' => translation.escape(false)?,
            '[' => translation.class()?,
            '(' => translation.group()?,
            ')' => {
                translation.depth =
                    translation.depth.checked_sub(1).ok_or("a group is closed that is not open")?;
                translation.out.push(')');
            }
            '{' => translation.repetition(),
            '}' => translation.out.push_str("\\}"),
            '.' => {
                translation.out.push('.');
                translation.any_letters();
            }
            _ => translation.out.push(letter),
        }
    }
    if translation.depth > 0 {
        return Err("a group is not closed");
    }
    Ok(Translated { pattern: translation.out, bytewise: translation.bytewise })
}

impl Translation<'_> {
    /// What was written last matches letters of several bytes: a byte for a letter will do only where it repeats.
    fn any_letters(&mut self) {
        self.bytewise &= matches!(self.rest.peek(), Some('*' | '+'));
    }

    fn escape(&mut self, class: bool) -> Result<(), &'static str> {
        let letter = self.rest.next().ok_or("it ends with a backslash")?;
        match letter {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[\t\n\f\r ]"),
            'S' => self.out.push_str(r"[^\t\n\f\r ]"),
            'b' if !class => self.out.push_str(r"(?-u:\b)"),
            'B' if !class => self.out.push_str(r"(?-u:\B)"),
            'A' | 'z' if !class => self.plain_escape(letter),
            'Q' if !class => self.quote(),
            'a' | 'f' | 'n' | 'r' | 't' | 'v' => self.plain_escape(letter),
            'x' | 'p' | 'P' => {
                self.bytewise = false;
                self.plain_escape(letter);
                self.braces();
            }
            _ if letter.is_ascii_alphanumeric() => return Err("it has an escape that RE2 does not have"),
            _ => self.literal(letter),
        }
        if matches!(letter, 'D' | 'W' | 'S') && !class {
            self.any_letters();
        }
        Ok(())
    }

    fn plain_escape(&mut self, letter: char) {
        self.out.push('\\');
        self.out.push(letter);
    }

    fn literal(&mut self, letter: char) {
        self.out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
    }

    /// `{...}` after `\x` and `\p`, as it is.
    fn braces(&mut self) {
        if self.rest.peek() == Some(&'{') {
            for letter in self.rest.by_ref() {
                self.out.push(letter);
                if letter == '}' {
                    break;
                }
            }
        }
    }

    fn quote(&mut self) {
        while let Some(letter) = self.rest.next() {
            if letter == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(letter);
        }
    }

    fn class(&mut self) -> Result<(), &'static str> {
        self.out.push('[');
        let mut wide = self.rest.next_if_eq(&'^').is_some();
        if wide {
            self.out.push('^');
        }
        if self.rest.next_if_eq(&']').is_some() {
            self.out.push_str("\\]");
        }
        while let Some(letter) = self.rest.next() {
            match letter {
                ']' => {
                    self.out.push(']');
                    if wide {
                        self.any_letters();
                    }
                    return Ok(());
                }
                '\\' => {
                    wide |= matches!(self.rest.peek(), Some('D' | 'W' | 'S'));
                    self.escape(true)?;
                }
                '[' if self.rest.peek() == Some(&':') => {
                    self.out.push('[');
                    for letter in self.rest.by_ref() {
                        self.out.push(letter);
                        if letter == ']' {
                            break;
                        }
                    }
                }
                '-' if self.rest.peek() == Some(&'-') => return Err("a class has two '-' in a row"),
                '[' | '&' | '~' => self.literal(letter),
                _ => self.out.push(letter),
            }
        }
        Err("a class is not closed")
    }

    fn group(&mut self) -> Result<(), &'static str> {
        self.depth += 1;
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        self.out.push('?');
        if self.rest.peek().is_some_and(|letter| matches!(letter, 'P' | '<')) {
            return Ok(());
        }
        for letter in self.rest.by_ref() {
            self.out.push(letter);
            match letter {
                ':' => return Ok(()),
                ')' => {
                    self.depth -= 1;
                    return Ok(());
                }
                'i' | 'm' | 's' | 'U' | '-' => {}
                _ => return Err("a group has a flag that RE2 does not have"),
            }
        }
        Err("a group is not closed")
    }

    /// `{2}`, `{2,}` and `{2,3}` repeat; any other brace is a letter.
    fn repetition(&mut self) {
        let ahead: String = self.rest.clone().take_while(|letter| *letter != '}').take(10).collect();
        let closed = self.rest.clone().nth(ahead.chars().count()) == Some('}');
        let (first, second) = ahead.split_once(',').unwrap_or((&ahead, ""));
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if closed && !first.is_empty() && number(first) && number(second) {
            self.out.push('{');
            for letter in self.rest.by_ref() {
                self.out.push(letter);
                if letter == '}' {
                    break;
                }
            }
        } else {
            self.out.push_str("\\{");
        }
    }
}
