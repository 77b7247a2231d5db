//! How is a path made equal to every other way of writing it? (RFC 3986 section 6.2.2, Istio `pathNormalization`)
//!
//! Escapes are decoded once. What is decoded never makes a new escape: a path in which it would is refused.

use ambit_model::l7::mesh::Normalization;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    Relative,
    /// It has a NUL, escaped or not.
    #[error("the path has a NUL")]
    Nul,
    /// An incomplete escape is followed by another: `%%32e` would become `%2e`.
    #[error("the path has an escape inside an incomplete escape")]
    NestedEscape,
}

/// The canonical form of `path`, which has neither query nor fragment.
///
/// Each level does what those before it do: nothing; `\` is `/`, escapes of unreserved characters are decoded, characters
/// that no path may have are escaped, and `.` and `..` are resolved; several slashes are one; `%2F` and `%5C` are
/// slashes, before all else.
///
/// # Errors
/// A path that could mean something else to the application than here.
pub fn normalize(path: &str, level: Normalization) -> Result<String, InvalidPath> {
    let backslash = path.starts_with('\\') && level > Normalization::None;
    if !path.starts_with('/') && !backslash {
        return Err(InvalidPath::Relative);
    }
    check_escapes(path.as_bytes())?;
    if level == Normalization::None {
        return Ok(path.to_owned());
    }
    let spelled = spell(path.as_bytes(), level == Normalization::DecodeAndMergeSlashes);
    let mut resolved = resolve_dots(&spelled);
    if level >= Normalization::MergeSlashes {
        let mut before = false;
        resolved.retain(|letter| {
            let slash = letter == '/';
            let repeated = std::mem::replace(&mut before, slash) && slash;
            !repeated
        });
    }
    Ok(resolved)
}

fn check_escapes(path: &[u8]) -> Result<(), InvalidPath> {
    for (at, byte) in path.iter().enumerate() {
        if *byte == 0 {
            return Err(InvalidPath::Nul);
        }
        if *byte != b'%' {
            continue;
        }
        match octet(&path[at..]) {
            Some(0) => return Err(InvalidPath::Nul),
            Some(_) => {}
            None if begins_escape(&path[at + 1..]) => return Err(InvalidPath::NestedEscape),
            None => {}
        }
    }
    Ok(())
}

/// Whether what follows a `%` that is no escape could be decoded into the digits of one.
fn begins_escape(rest: &[u8]) -> bool {
    let escape = |byte: &u8| *byte == b'%' || must_be_escaped(*byte);
    match rest {
        [first, second, ..] if first.is_ascii_hexdigit() => escape(second),
        [first, ..] => escape(first),
        [] => false,
    }
}

/// The octet that an escape at the beginning of `text` stands for.
pub(super) fn octet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Every character in its one spelling.
fn spell(path: &[u8], slashes: bool) -> String {
    let mut spelled = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        match octet(rest) {
            Some(b'/' | b'\\') if slashes => spelled.push('/'),
            Some(byte) if is_unreserved(byte) => spelled.push(char::from(byte)),
            Some(_) => spelled.extend(rest[..3].iter().map(|byte| char::from(*byte))),
            None if *first == b'\\' => spelled.push('/'),
            None if must_be_escaped(*first) => spelled.push_str(&format!("%{first:02X}")),
            None => spelled.push(char::from(*first)),
        }
        rest = if octet(rest).is_some() { &rest[3..] } else { after };
    }
    spelled
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What the URL standard escapes in paths.
fn must_be_escaped(byte: u8) -> bool {
    byte <= b' ' || byte >= 0x7f || b"\"<>`{}".contains(&byte)
}

/// Without `.` and `..` elements; nothing is above the root.
fn resolve_dots(path: &str) -> String {
    let mut resolved = String::with_capacity(path.len());
    let mut elements = path.split('/').skip(1).peekable();
    while let Some(element) = elements.next() {
        let last = elements.peek().is_none();
        match element {
            "." | ".." => {
                if element == ".." {
                    resolved.truncate(resolved.rfind('/').unwrap_or(0));
                }
                if last {
                    resolved.push('/');
                }
            }
            _ => {
                resolved.push('/');
                resolved.push_str(element);
            }
        }
    }
    resolved
}

#[cfg(test)]
mod tests;
