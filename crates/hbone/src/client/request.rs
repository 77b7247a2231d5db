//! What a CONNECT carries besides bytes, both ways.

use http::{HeaderName, HeaderValue};

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

    /// Its headers, in the order in which they are sent.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (HeaderName, &HeaderValue)> {
        let known =
            [(BAGGAGE, &self.baggage), (FORWARDED, &self.forwarded), (TRACEPARENT, &self.traceparent)];
        let known = known.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        known.chain(self.extra.iter().map(|(name, value)| (name.clone(), value)))
    }
}

/// What came with the 200.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseHead {
    pub(crate) baggage: Vec<HeaderValue>,
}

impl ResponseHead {
    /// The destination workload as its proxy describes it; `None` when it says nothing. Telemetry only.
    pub fn baggage(&self) -> Option<Baggage> {
        (!self.baggage.is_empty()).then(|| Baggage::decode(&self.baggage))
    }
}

/// A peer's words about its refusal, fit for one line of a log.
pub(crate) fn details(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(MAX_DETAILS).collect();
    (!text.is_empty()).then_some(text)
}
