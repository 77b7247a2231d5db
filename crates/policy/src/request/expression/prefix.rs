//! The letters that every text begins with that an expression matches as a whole: routes are found by them.

/// The literal beginning of a valid pattern; empty where there is none that is plain to see.
pub(super) fn literal_prefix(pattern: &str) -> String {
    if has_alternatives(pattern) {
        return String::new();
    }
    let mut prefix = String::new();
    let mut letters = pattern.strip_prefix('^').unwrap_or(pattern).chars().peekable();
    while let Some(letter) = letters.next() {
        let literal = match letter {
            '\\' => match letters.next() {
                Some(escaped) if escaped.is_ascii_punctuation() => escaped,
                _ => break,
            },
            '.' | '[' | '(' | '*' | '+' | '?' | '{' | '$' | '^' => break,
            _ => letter,
        };
        // A letter that repeats may be missing.
        if letters.peek().is_some_and(|next| matches!(next, '*' | '+' | '?' | '{')) {
            break;
        }
        prefix.push(literal);
    }
    prefix
}

/// Whether `|` stands outside of groups, so that the pattern has several beginnings.
fn has_alternatives(pattern: &str) -> bool {
    let (mut depth, mut class) = (0_usize, false);
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth = depth.saturating_sub(1),
            // In a class it is a letter; to take it for more does no harm.
            '|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Expression;
    use super::literal_prefix;

    #[test]
    fn beginnings() {
        for (pattern, prefix) in [
            ("/api/v1/[^/]+", "/api/v1/"),
            ("^/api.*", "/api"),
            ("/api/?", "/api"),
            ("/a+", "/"),
            ("/a{2}", "/"),
            (r"/a\.b/\d+", "/a.b/"),
            ("/a(b|c)", "/a"),
            ("/a|/b", ""),
            ("/a[|]", ""),
            ("(?i)/a", ""),
            (r"\Q/a\E", ""),
            ("/a$", "/a"),
            ("", ""),
        ] {
            assert_eq!(literal_prefix(pattern), prefix, "{pattern}");
        }
    }

    proptest! {
        /// No text matches that does not begin so.
        #[test]
        fn it_is_the_beginning_of_every_match(pattern in r"[ab/.*+?|()\[\]^$\\{}0-9-]{0,12}", text in "[ab/.|]{0,6}") {
            if let Ok(expression) = Expression::whole(&pattern) {
                let prefix = literal_prefix(&pattern);
                prop_assert!(!expression.matches(text.as_bytes()) || text.starts_with(&prefix), "{:?}", prefix);
            }
        }
    }
}
