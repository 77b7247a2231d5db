//! What this proxy answers itself: Istio's codes, bodies and flags, in the client's own protocol.

use std::borrow::Cow;

use ambit_telemetry::requests::{RequestFlags, RequestReport};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::body::{ResponseBody, head_size};

/// An answer of our own.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Text for the client.
    pub text: Cow<'static, str>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Why, in Envoy's letters.
    pub flags: RequestFlags,
    /// Why, for the log.
    pub details: Cow<'static, str>,
    /// What a gRPC client is told instead of the status's usual counterpart.
    pub grpc_status: Option<u16>,
}

impl Reply {
    /// A reply without further headers.
    pub fn new(
        status: StatusCode,
        flags: RequestFlags,
        text: impl Into<Cow<'static, str>>,
        details: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (text, details) = (text.into(), details.into());
        Self { status, text, headers: Vec::new(), flags, details, grpc_status: None }
    }

    /// 503 `UH`: there is nobody to send to.
    pub fn no_endpoint(details: impl Into<Cow<'static, str>>) -> Self {
        let flags = RequestFlags::NO_ENDPOINT;
        Self::new(StatusCode::SERVICE_UNAVAILABLE, flags, "no healthy upstream", details)
    }

    /// 503 for an endpoint that could not be reached or went away, in Envoy's words; `reason` is what it calls the reset.
    pub fn upstream(flags: RequestFlags, reason: &str, details: impl Into<Cow<'static, str>>) -> Self {
        let text =
            format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, flags, text, details)
    }

    /// The response that says so, and the end of the report. A gRPC client is told in its own way: status 200 and the
    /// reason in `grpc-status` and `grpc-message`, without a body (Envoy's local replies).
    pub fn response(self, grpc: bool, mut report: RequestReport) -> Response<ResponseBody> {
        report.flag(self.flags).details(self.details);
        let mut response = Response::new(());
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        let body = if grpc {
            let status = self.grpc_status.unwrap_or_else(|| grpc_status(self.status));
            report.code(200).grpc_status(status);
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(status));
            if let Some(message) = Some(percent(&self.text)).filter(|message| !message.is_empty())
                && let Ok(message) = HeaderValue::try_from(message)
            {
                headers.insert("grpc-message", message);
            }
            Bytes::new()
        } else {
            report.code(self.status.as_u16());
            *response.status_mut() = self.status;
            if !self.text.is_empty() {
                let headers = response.headers_mut();
                headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain"));
            }
            match self.text {
                Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
                Cow::Owned(text) => Bytes::from(text),
            }
        };
        report.bytes().response(head_size(response.headers()));
        response.map(|()| ResponseBody::local(body, report))
    }
}

/// The gRPC status that stands for an HTTP status (gRPC's mapping, as Envoy's local replies have it).
fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// `grpc-message` is ASCII without control characters, `%` for the rest (gRPC over HTTP/2, Percent-Encoded).
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_one_line_of_ascii() {
        assert_eq!(percent("100% of it\n\u{e9}"), "100%25 of it%0A%C3%A9");
    }

    #[test]
    fn statuses_have_their_counterparts() {
        for (http, grpc) in
            [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (503, 14), (504, 14), (500, 2)]
        {
            assert_eq!(grpc_status(StatusCode::from_u16(http).unwrap()), grpc, "{http}");
        }
    }
}
