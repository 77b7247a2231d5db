//! How are headers and query parameters read? Several values of one header are one, of one parameter the first counts.

use std::borrow::Cow;

use ambit_model::Text;
use http::header::{COOKIE, HeaderName};

use super::canonical::Request;

/// A header, or a part of the request that goes by a header's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Header(HeaderName),
    Authority,
    Method,
    Path,
    Scheme,
}

/// A text that names no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a header")]
pub(super) struct InvalidField(Text);

impl Field {
    /// `host` is the authority; `:authority`, `:method`, `:path` (with the query) and `:scheme` are as in HTTP/2.
    pub(super) fn parse(name: &str) -> Result<Self, InvalidField> {
        Ok(match name {
            ":authority" => Self::Authority,
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":scheme" => Self::Scheme,
            _ if name.eq_ignore_ascii_case("host") => Self::Authority,
            _ => Self::Header(HeaderName::try_from(name).map_err(|_| InvalidField(name.into()))?),
        })
    }

    /// Its value in a request, several joined; `None` where there is none.
    pub(super) fn of<'r>(&self, request: &'r Request) -> Option<Cow<'r, [u8]>> {
        Some(Cow::Borrowed(match self {
            Self::Header(name) => return request.header(name),
            Self::Authority => request.authority().as_str().as_bytes(),
            Self::Method => request.method.as_str().as_bytes(),
            Self::Scheme => request.scheme.as_str().as_bytes(),
            Self::Path => match request.query() {
                Some(query) => return Some(Cow::Owned(format!("{}?{query}", request.path()).into_bytes())),
                None => request.path().as_bytes(),
            },
        }))
    }
}

impl Request {
    /// The value of a header: several are joined by `,` (RFC 9110 section 5.3), so that no rule sees only one of them.
    /// `None` where there is none.
    pub fn header(&self, name: &HeaderName) -> Option<Cow<'_, [u8]>> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?.as_bytes();
        let separator: &[u8] = if name == COOKIE { b"; " } else { b"," };
        let mut joined = Cow::Borrowed(first);
        for value in values {
            let joined = joined.to_mut();
            joined.extend_from_slice(separator);
            joined.extend_from_slice(value.as_bytes());
        }
        Some(joined)
    }

    /// The first value of a query parameter, decoded; empty for one without `=`.
    pub fn query_parameter(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        query_pairs(self.query()?).find(|(each, _)| **each == *name.as_bytes()).map(|(_, value)| value)
    }

    /// The first cookie of a name (RFC 6265 section 5.4), without quotes around it.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies(name).next()
    }

    /// All cookies of a name.
    pub fn cookies(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let values = pairs.filter(move |(each, _)| *each == name).map(|(_, value)| value);
        values.map(|value| value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
    }
}

/// Names and values of a query, decoded, in order.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// A name or value of a query without its escapes; `+` is a space. An incomplete escape stays as it is.
pub fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let escaped = super::path::octet(rest);
        out.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escaped.is_some() { &rest[3..] } else { after };
    }
    Cow::Owned(out)
}
