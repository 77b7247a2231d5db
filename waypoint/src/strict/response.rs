//! Is an endpoint's answer one that every reader reads alike, and one that was asked for?

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode};
use tokio::sync::Notify;

/// Interim responses (1xx) to one request.
const INTERIMS: u32 = 32;

/// Why an answer is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// Content-Length is malformed, is there twice, or beside Transfer-Encoding.
    #[error("the length of its body is ambiguous")]
    Length,
    /// A Transfer-Encoding other than `chunked`: it ends here, and so would the coding.
    #[error("its Transfer-Encoding is not `chunked` alone")]
    Coding,
    /// 101 that nobody asked for, or with another protocol than was asked for (CVE-2024-23326's kin).
    #[error("it switches to a protocol that was not asked for")]
    Switch,
    /// 1xx without an end.
    #[error("it is preceded by too many interim responses")]
    Interims,
}

/// Checks the head of an answer to a request that asked for `upgrade`.
///
/// # Errors
/// What makes it unfit to be passed on.
pub fn check<B>(response: &Response<B>, upgrade: Option<&HeaderValue>) -> Result<(), Ambiguous> {
    let headers = response.headers();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let to = headers.get(UPGRADE).filter(|_| headers.get_all(UPGRADE).iter().count() == 1);
        let asked = to.zip(upgrade).is_some_and(|(to, asked)| is_one_of(to, asked));
        return if asked { Ok(()) } else { Err(Ambiguous::Switch) };
    }
    lengths(headers)
}

fn lengths(headers: &HeaderMap) -> Result<(), Ambiguous> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let digits =
        |length: &HeaderValue| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    if lengths.next().is_some() || !length.is_none_or(digits) {
        return Err(Ambiguous::Length);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(_), _) if length.is_some() => Err(Ambiguous::Length),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Ambiguous::Coding),
    }
}

fn is_one_of(to: &HeaderValue, asked: &HeaderValue) -> bool {
    let (Ok(to), Ok(asked)) = (to.to_str(), asked.to_str()) else { return false };
    asked.split(',').any(|asked| asked.trim().eq_ignore_ascii_case(to.trim()))
}

/// Counts the interim responses to one request.
#[derive(Debug, Clone, Default)]
pub struct Interims {
    count: Arc<AtomicU32>,
    enough: Arc<Notify>,
}

impl Interims {
    /// One more.
    pub fn count(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == INTERIMS {
            self.enough.notify_one();
        }
    }

    /// Waits for one too many.
    pub async fn too_many(&self) -> Ambiguous {
        self.enough.notified().await;
        Ambiguous::Interims
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn said(status: u16, pairs: &[(&str, &str)], upgrade: Option<&str>) -> Result<(), Ambiguous> {
        let mut response = Response::builder().status(status).body(()).unwrap();
        for (name, value) in pairs {
            let name = HeaderName::try_from(*name).unwrap();
            response.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        let upgrade = upgrade.map(|upgrade| HeaderValue::from_str(upgrade).unwrap());
        check(&response, upgrade.as_ref())
    }

    #[test]
    fn an_answer_has_one_length() {
        let (length, coding) = ("content-length", "transfer-encoding");
        for (pairs, expected) in [
            (&[][..], Ok(())),
            (&[(length, "5")], Ok(())),
            (&[(coding, "Chunked")], Ok(())),
            (&[(length, "5"), (length, "5")], Err(Ambiguous::Length)),
            (&[(length, "5"), (length, "6")], Err(Ambiguous::Length)),
            (&[(length, "5, 5")], Err(Ambiguous::Length)),
            (&[(length, "+5")], Err(Ambiguous::Length)),
            (&[(length, "5"), (coding, "chunked")], Err(Ambiguous::Length)),
            (&[(coding, "gzip")], Err(Ambiguous::Coding)),
            (&[(coding, "gzip, chunked")], Err(Ambiguous::Coding)),
            (&[(coding, "chunked"), (coding, "chunked")], Err(Ambiguous::Coding)),
        ] {
            assert_eq!(said(200, pairs, None), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_protocol_is_switched_to_when_it_was_asked_for() {
        let to = |protocol| [("upgrade", protocol)];
        assert_eq!(said(101, &to("WebSocket"), Some("websocket")), Ok(()));
        assert_eq!(said(101, &to("b"), Some("a, b")), Ok(()));
        assert_eq!(said(101, &to("h2c"), Some("websocket")), Err(Ambiguous::Switch));
        assert_eq!(said(101, &to("websocket"), None), Err(Ambiguous::Switch));
        assert_eq!(said(101, &[], Some("websocket")), Err(Ambiguous::Switch));
    }
}
