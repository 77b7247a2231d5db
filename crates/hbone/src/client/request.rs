//! What a CONNECT carries besides bytes, both ways.

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, uri};

use super::OpenError;
use crate::authority::Authority;
use crate::headers::{BAGGAGE, Baggage, FORWARDED, TRACEPARENT};

/// Longest text of a refusal that is kept.
const MAX_DETAILS: usize = 256;

/// A CONNECT to be sent. Values that are constant for a pod are cloned at the cost of a reference count.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    /// Where to.
    pub authority: Authority,
    /// The source workload ([`Baggage::encode`]).
    pub baggage: Option<HeaderValue>,
    /// The client and the service it asked for ([`crate::Forwarded::encode`]).
    pub forwarded: Option<HeaderValue>,
    /// The connection's trace ([`crate::TraceParent::encode`]).
    pub traceparent: Option<HeaderValue>,
    /// Whatever else there is to say, such as [`crate::headers::X_FORWARDED_NETWORK`].
    pub extra: Vec<(HeaderName, HeaderValue)>,
}

impl ConnectRequest {
    /// A CONNECT without headers.
    pub fn new(authority: Authority) -> Self {
        Self { authority, baggage: None, forwarded: None, traceparent: None, extra: Vec::new() }
    }

    pub(super) fn into_http(self) -> Result<Request<()>, OpenError> {
        // Authority's own text is a subset of RFC 3986's, so this does not fail.
        let refused = |error: &dyn std::fmt::Display| OpenError::Reset(error.to_string().into());
        let authority =
            uri::Authority::try_from(self.authority.to_string()).map_err(|error| refused(&error))?;
        let mut parts = uri::Parts::default();
        parts.authority = Some(authority);
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| refused(&error))?;
        let headers = request.headers_mut();
        let known = [(BAGGAGE, self.baggage), (FORWARDED, self.forwarded), (TRACEPARENT, self.traceparent)];
        for (name, value) in known {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        for (name, value) in self.extra {
            headers.append(name, value);
        }
        Ok(request)
    }
}

/// What came with the 200.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseHead {
    pub(super) baggage: Vec<HeaderValue>,
}

impl ResponseHead {
    /// The destination workload as its proxy describes it; `None` when it says nothing. Telemetry only.
    pub fn baggage(&self) -> Option<Baggage> {
        (!self.baggage.is_empty()).then(|| Baggage::decode(&self.baggage))
    }
}

/// A peer's words about its refusal, fit for one line of a log.
pub(super) fn details(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(MAX_DETAILS).collect();
    (!text.is_empty()).then_some(text)
}
