//! The headers of a CONNECT, by name. All of them are telemetry: no decision is ever made on them (facts T19).

mod baggage;
mod forwarded;
mod traceparent;

use http::HeaderName;

pub use baggage::Baggage;
pub use forwarded::Forwarded;
pub use traceparent::TraceParent;

/// The source workload on a request, the destination workload on a response (W3C Baggage).
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// The client's address and the service it asked for (RFC 7239).
pub const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
/// The trace and span of the connection (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The sender's network, only on the inner CONNECT of double HBONE. A receiver in another network must take the
/// source from the baggage instead of looking its address up.
pub const X_FORWARDED_NETWORK: HeaderName = HeaderName::from_static("x-forwarded-network");
/// Why a CONNECT was refused, for the operator of the client (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
