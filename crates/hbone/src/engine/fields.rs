//! A header list read as a request or a response (RFC 9113 sections 8.2 and 8.3).

use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::{BAGGAGE, FORWARDED, PROXY_STATUS, TRACEPARENT, X_FORWARDED_NETWORK};

/// Which of the two is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Request,
    Response,
    /// Fields behind the DATA.
    Trailers,
}

/// A request or a response in good form. What a request asks for is judged elsewhere.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// `:method` is CONNECT.
    pub(crate) connect: bool,
    /// There is a `:scheme`, `:path` or `:protocol`.
    pub(crate) extended: bool,
    /// `:authority`.
    pub(crate) authority: Option<Box<str>>,
    /// `:status`, 0 in a request.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

/// Takes a list field by field.
#[derive(Debug)]
pub(super) struct Reading {
    expected: Expected,
    message: Message,
    seen: u8,
    fields: bool,
    malformed: Option<&'static str>,
}

const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const PATH: u8 = 4;
const AUTHORITY: u8 = 8;
const PROTOCOL: u8 = 16;
const STATUS: u8 = 32;

impl Reading {
    pub(super) fn new(expected: Expected) -> Self {
        Self { expected, message: Message::default(), seen: 0, fields: false, malformed: None }
    }

    /// The next field. After the first that is malformed, the rest counts no more.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if self.malformed.is_none() {
            let taken = if name.first() == Some(&b':') {
                self.pseudo(name, value)
            } else {
                self.regular(name, value)
            };
            self.malformed = taken.err();
        }
    }

    /// The whole, or what is malformed in it.
    pub(super) fn finish(self) -> Result<Message, &'static str> {
        if let Some(malformed) = self.malformed {
            return Err(malformed);
        }
        match self.expected {
            Expected::Request if self.seen & METHOD == 0 => Err("a request without :method"),
            Expected::Response if self.seen & STATUS == 0 => Err("a response without :status"),
            _ => Ok(self.message),
        }
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let bit = match (self.expected, name) {
            (Expected::Request, b":method") => METHOD,
            (Expected::Request, b":scheme") => SCHEME,
            (Expected::Request, b":path") => PATH,
            (Expected::Request, b":authority") => AUTHORITY,
            (Expected::Request, b":protocol") => PROTOCOL,
            (Expected::Response, b":status") => STATUS,
            _ => return Err("a pseudo-header that has no place there"),
        };
        if self.fields {
            return Err("a pseudo-header behind a header");
        }
        if self.seen & bit != 0 {
            return Err("a pseudo-header twice");
        }
        self.seen |= bit;
        match bit {
            METHOD => self.message.connect = method(value)?,
            STATUS => self.message.status = status(value)?,
            AUTHORITY => {
                let text = std::str::from_utf8(value).map_err(|_| "an :authority that is not text")?;
                self.message.authority = Some(text.into());
            }
            _ => self.message.extended = true,
        }
        Ok(())
    }

    fn regular(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        self.fields = true;
        let name = known(name)
            .map_or_else(|| HeaderName::from_lowercase(name), Ok)
            .map_err(|_| "a header name that is not lower-case or not a name")?;
        let forbidden = [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(&name)
            || matches!(name.as_str(), "keep-alive" | "proxy-connection")
            || (name == TE && value != b"trailers");
        if forbidden {
            return Err("a header of the connection, which HTTP/2 does not know");
        }
        let space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if space(value.first()) || space(value.last()) {
            return Err("a header value with space around it");
        }
        let value = HeaderValue::from_bytes(value).map_err(|_| "a header value with control characters")?;
        self.message.headers.try_append(name, value).map_err(|_| "too many headers")?;
        Ok(())
    }
}

/// The names that every CONNECT of the mesh carries, without an allocation.
fn known(name: &[u8]) -> Option<HeaderName> {
    [BAGGAGE, FORWARDED, TRACEPARENT, X_FORWARDED_NETWORK, PROXY_STATUS]
        .into_iter()
        .find(|known| known.as_str().as_bytes() == name)
}

fn method(value: &[u8]) -> Result<bool, &'static str> {
    http::Method::from_bytes(value)
        .map(|method| method == http::Method::CONNECT)
        .map_err(|_| "a :method that is none")
}

fn status(value: &[u8]) -> Result<u16, &'static str> {
    http::StatusCode::from_bytes(value).map(|status| status.as_u16()).map_err(|_| "a :status that is none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(expected: Expected, fields: &[(&str, &str)]) -> Result<Message, &'static str> {
        let mut reading = Reading::new(expected);
        for (name, value) in fields {
            reading.field(name.as_bytes(), value.as_bytes());
        }
        reading.finish()
    }

    #[test]
    fn a_connect_is_read() {
        let fields =
            [(":method", "CONNECT"), (":authority", "10.0.0.2:80"), ("baggage", "a=b"), ("x-more", "")];
        let message = read(Expected::Request, &fields).unwrap();
        assert!(message.connect && !message.extended);
        assert_eq!(message.authority.as_deref(), Some("10.0.0.2:80"));
        assert_eq!(message.headers[BAGGAGE], "a=b");
        assert_eq!(message.headers["x-more"], "");
        let get = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
        let message = read(Expected::Request, &get).unwrap();
        assert!(!message.connect && message.extended);
    }

    #[test]
    fn a_response_is_read() {
        assert_eq!(read(Expected::Response, &[(":status", "200")]).unwrap().status, 200);
        for status in ["", "20", "2000", "-20", "abc", "099"] {
            assert!(read(Expected::Response, &[(":status", status)]).is_err(), "{status}");
        }
        assert!(read(Expected::Response, &[("baggage", "a")]).is_err());
        assert!(read(Expected::Response, &[(":status", "200"), (":status", "200")]).is_err());
        assert!(read(Expected::Response, &[(":method", "GET"), (":status", "200")]).is_err());
    }

    #[test]
    fn malformed_lists_are_refused() {
        let refused: &[&[(&str, &str)]] = &[
            &[],
            &[(":authority", "a")],
            &[("baggage", "a"), (":method", "CONNECT")],
            &[(":method", "CONNECT"), (":method", "CONNECT")],
            &[(":method", "CONNECT"), (":status", "200")],
            &[(":method", "CONNECT"), (":other", "x")],
            &[(":method", "CON NECT")],
            &[(":method", "CONNECT"), ("Baggage", "a")],
            &[(":method", "CONNECT"), ("bag gage", "a")],
            &[(":method", "CONNECT"), ("", "a")],
            &[(":method", "CONNECT"), ("connection", "close")],
            &[(":method", "CONNECT"), ("keep-alive", "5")],
            &[(":method", "CONNECT"), ("proxy-connection", "5")],
            &[(":method", "CONNECT"), ("upgrade", "h2c")],
            &[(":method", "CONNECT"), ("transfer-encoding", "chunked")],
            &[(":method", "CONNECT"), ("te", "gzip")],
            &[(":method", "CONNECT"), ("baggage", "a\r\nb")],
            &[(":method", "CONNECT"), ("baggage", "a\0")],
            &[(":method", "CONNECT"), ("baggage", " a")],
            &[(":method", "CONNECT"), ("baggage", "a\t")],
        ];
        for list in refused {
            assert!(read(Expected::Request, list).is_err(), "{list:?}");
        }
        assert!(read(Expected::Request, &[(":method", "CONNECT"), ("te", "trailers")]).is_ok());
        assert!(read(Expected::Trailers, &[("x", "y")]).is_ok());
        assert!(read(Expected::Trailers, &[(":status", "200")]).is_err());
    }
}
