//! The answer to a CONNECT, as either engine sends it.

use http::{HeaderName, HeaderValue, StatusCode};

use crate::headers::{BAGGAGE, PROXY_STATUS};

/// A status and at most one header of each kind.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    baggage: Option<HeaderValue>,
    proxy_status: Option<HeaderValue>,
}

impl Answer {
    pub(crate) fn accepted(baggage: Option<HeaderValue>) -> Self {
        Self { status: StatusCode::OK, baggage, proxy_status: None }
    }

    pub(crate) fn refused(status: StatusCode, details: &str) -> Self {
        Self { status, baggage: None, proxy_status: proxy_status(details) }
    }

    pub(crate) fn malformed(reason: &str) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, reason)
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        let baggage = self.baggage.as_ref().map(|value| (BAGGAGE, value));
        baggage.into_iter().chain(self.proxy_status.as_ref().map(|value| (PROXY_STATUS, value)))
    }
}

/// `ambit; details="..."` with what a structured string allows (RFC 8941 section 3.3.3).
pub(crate) fn proxy_status(details: &str) -> Option<HeaderValue> {
    let plain = |letter: &char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    let text: String = details.chars().filter(plain).take(200).collect();
    if text.is_empty() { None } else { HeaderValue::try_from(format!("ambit; details=\"{text}\"")).ok() }
}
