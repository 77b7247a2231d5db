//! The context by which one request is followed through many programs (W3C Trace Context, B3). Pure.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// W3C Trace Context.
pub const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// B3 in one header.
pub const B3: HeaderName = HeaderName::from_static("b3");
/// B3 in several: whether the trace is recorded.
pub const B3_SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");

/// What follows is part of no recorded trace: a copy of a request must not look like the request.
pub fn unsample(headers: &mut HeaderMap) {
    let parent = headers.get(TRACE_PARENT).and_then(|value| value.to_str().ok());
    if let Some((front, _flags)) = parent.and_then(|parent| parent.rsplit_once('-'))
        && let Ok(value) = HeaderValue::try_from(format!("{front}-00"))
    {
        headers.insert(TRACE_PARENT, value);
    }
    if headers.remove(B3).is_some() {
        headers.insert(B3, HeaderValue::from_static("0"));
    }
    if headers.contains_key(B3_SAMPLED) {
        headers.insert(B3_SAMPLED, HeaderValue::from_static("0"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_not_recorded() {
        let mut headers = HeaderMap::new();
        unsample(&mut headers);
        assert!(headers.is_empty());
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (name, value) in [(TRACE_PARENT, parent), (B3, "80f1-05e3-1"), (B3_SAMPLED, "1")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        unsample(&mut headers);
        let zero = HeaderValue::from_static("0");
        assert_eq!(headers[TRACE_PARENT], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        assert_eq!((&headers[B3], &headers[B3_SAMPLED]), (&zero, &zero));
    }
}
