//! What this proxy answers itself: Istio's codes, bodies and flags, in the client's own protocol.

use std::borrow::Cow;

use ambit_policy::request::{grpc_response, grpc_status};
use ambit_telemetry::requests::{RequestFlags, RequestReport};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::body::{ResponseBody, head_size};

/// Says that a limit was reached (Envoy's header).
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

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

    /// 500: what is configured cannot be obeyed.
    pub fn misconfigured(details: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, RequestFlags::NONE, "", details)
    }

    /// 503 for an endpoint that could not be reached or went away, in Envoy's words; `reason` is what it calls the reset.
    pub fn upstream(flags: RequestFlags, reason: &str, details: impl Into<Cow<'static, str>>) -> Self {
        let text =
            format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, flags, text, details)
    }

    /// 503 `UO`: a limit of the service was reached.
    pub fn overflow(details: impl Into<Cow<'static, str>>) -> Self {
        let details = format!("upstream_reset_before_response_started{{overflow: {}}}", details.into());
        let mut reply = Self::upstream(RequestFlags::OVERFLOW, "overflow", details);
        reply.headers.push((OVERLOADED, HeaderValue::from_static("true")));
        reply
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
            response.headers_mut().extend(grpc_response(status, &self.text));
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
