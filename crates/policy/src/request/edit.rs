//! Changes to headers: first set, then add, then remove (Gateway API HTTPHeaderFilter, Istio Headers).

use ambit_model::Text;
use ambit_model::l7::route::HeaderChange;
use http::header::{HOST, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, header};

use super::authority::Authority;

/// Headers that say how the message is framed: nobody but the connection sets them.
const FRAMING: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

/// Why headers cannot be changed as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEdit {
    /// No header has such a name; names with `:` are parts of the request, not headers.
    #[error("{0:?} is no name of a header")]
    Name(Text),
    /// The header belongs to the connection.
    #[error("header {0} belongs to the connection and cannot be set")]
    Framing(HeaderName),
    /// The value has characters that no header may have.
    #[error("the value for header {0} has characters that no header may have")]
    Value(Text),
    /// Host can be set, to a host; neither added nor removed.
    #[error("host can only be set, and only to a host name with an optional port")]
    Host,
}

/// Changes to headers, ready for use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    host: Option<Authority>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl HeaderEdits {
    /// Reads changes.
    ///
    /// # Errors
    /// The first of them that cannot be obeyed.
    pub fn compile(change: &HeaderChange) -> Result<Self, InvalidEdit> {
        let mut edits = Self::default();
        for (name, value) in &change.set {
            match field(name, value)? {
                (HOST, value) => {
                    let host = value.to_str().ok().and_then(Authority::parse);
                    edits.host = Some(host.ok_or(InvalidEdit::Host)?);
                }
                field => edits.set.push(field),
            }
        }
        for (name, value) in &change.add {
            match field(name, value)? {
                (HOST, _) => return Err(InvalidEdit::Host),
                field => edits.add.push(field),
            }
        }
        for name in &change.remove {
            match header_name(name)? {
                HOST => return Err(InvalidEdit::Host),
                name => edits.remove.push(name),
            }
        }
        Ok(edits)
    }

    /// Changes the headers. What is added to a header that is there becomes one value with it, joined by a comma.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            let before: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let joined = [&before[..], &[value.as_bytes()]].concat().join(&b","[..]);
            match HeaderValue::from_bytes(&joined) {
                Ok(joined) if name != SET_COOKIE => drop(headers.insert(name, joined)),
                _ => drop(headers.append(name, value.clone())),
            }
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }

    /// The host that requests are given.
    pub fn host(&self) -> Option<&Authority> {
        self.host.as_ref()
    }
}

fn header_name(name: &Text) -> Result<HeaderName, InvalidEdit> {
    HeaderName::try_from(&**name).map_err(|_| InvalidEdit::Name(name.clone()))
}

fn field(name: &Text, value: &Text) -> Result<(HeaderName, HeaderValue), InvalidEdit> {
    let header = header_name(name)?;
    if FRAMING.contains(&header) {
        return Err(InvalidEdit::Framing(header));
    }
    let value = HeaderValue::try_from(&**value).map_err(|_| InvalidEdit::Value(name.clone()))?;
    Ok((header, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::sample::headers;

    fn change(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderChange {
        let pairs = |list: &[(&str, &str)]| {
            list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        HeaderChange {
            set: pairs(set),
            add: pairs(add),
            remove: remove.iter().map(|name| (*name).into()).collect(),
        }
    }

    #[test]
    fn set_then_add_then_remove() {
        let edits = HeaderEdits::compile(&change(
            &[("X-Set", "new"), ("x-both", "s")],
            &[("x-add", "3"), ("x-both", "a"), ("x-new", "1"), ("set-cookie", "b=2")],
            &["X-Remove", "x-absent"],
        ));
        let mut map = headers(&[
            ("x-set", "old"),
            ("x-set", "older"),
            ("x-add", "1"),
            ("x-add", "2"),
            ("x-remove", "1"),
            ("x-remove", "2"),
            ("set-cookie", "a=1"),
        ]);
        edits.unwrap().apply(&mut map);
        let expected = [
            ("x-set", "new"),
            ("x-both", "s,a"),
            ("x-add", "1,2,3"),
            ("x-new", "1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ];
        assert_eq!(map, headers(&expected));
    }

    #[test]
    fn a_header_that_is_set_and_removed_is_gone() {
        let mut map = headers(&[("x", "1")]);
        HeaderEdits::compile(&change(&[("x", "2")], &[("x", "3")], &["x"])).unwrap().apply(&mut map);
        assert!(map.is_empty());
    }

    #[test]
    fn host_is_the_authority() {
        let edits = HeaderEdits::compile(&change(&[("Host", "Other.Shop:81")], &[], &[])).unwrap();
        assert_eq!(edits.host().unwrap().as_str(), "other.shop:81");
        let mut map = headers(&[]);
        edits.apply(&mut map);
        assert!(map.is_empty());
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        for (change, why) in [
            (change(&[(":path", "/")], &[], &[]), InvalidEdit::Name(":path".into())),
            (change(&[("a b", "1")], &[], &[]), InvalidEdit::Name("a b".into())),
            (change(&[("x", "a\r\nb: c")], &[], &[]), InvalidEdit::Value("x".into())),
            (change(&[("content-length", "1")], &[], &[]), InvalidEdit::Framing(header::CONTENT_LENGTH)),
            (
                change(&[], &[("Transfer-Encoding", "chunked")], &[]),
                InvalidEdit::Framing(header::TRANSFER_ENCODING),
            ),
            (change(&[], &[("host", "a")], &[]), InvalidEdit::Host),
            (change(&[], &[], &["host"]), InvalidEdit::Host),
            (change(&[("host", "a b")], &[], &[]), InvalidEdit::Host),
            (change(&[], &[], &[":authority"]), InvalidEdit::Name(":authority".into())),
        ] {
            assert_eq!(HeaderEdits::compile(&change), Err(why));
        }
    }
}
