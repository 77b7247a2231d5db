//! The query part of a request's target: names and values, percent-decoded.

/// Names and values in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads `a=1&b&c=%20x`; `+` is a space, a name without `=` has an empty value, broken escapes stay as they are.
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Self { pairs: pairs.collect() }
    }

    /// The first value of this name; empty for a name without one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether the name is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The names, for routes that refuse what they do not know.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_str())
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => match escape(after) {
                Some(byte) => {
                    bytes.push(byte);
                    rest = &after[2..];
                }
                None => bytes.push(b'%'),
            },
            other => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escape(after: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*after.first()?)? * 16 + digit(*after.get(1)?)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_values() {
        let query = Query::parse("level=hbone%3Adebug%2Cinfo&reset&x=a+b&&y=%zz%4");
        assert_eq!(query.value("level"), Some("hbone:debug,info"));
        assert_eq!(query.value("reset"), Some(""));
        assert!(query.has("reset"));
        assert_eq!(query.value("x"), Some("a b"));
        assert_eq!(query.value("y"), Some("%zz%4"));
        assert_eq!(query.value("z"), None);
        assert_eq!(query.names().collect::<Vec<_>>(), ["level", "reset", "x", "y"]);
    }

    proptest! {
        #[test]
        fn escaped_text_is_read_back(value in "\\PC*") {
            let escaped: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let query = Query::parse(&format!("v={escaped}"));
            prop_assert_eq!(query.value("v"), Some(value.as_str()));
        }

        #[test]
        fn no_query_panics(text in "\\PC*") {
            let _ = Query::parse(&text);
        }
    }
}
