//! The messages Ambit exchanges with Istio's programs and its own: field numbers and types are Istio's and Envoy's.
//!
//! Generated from `proto/`. Enum fields are `i32`, so a value unknown here survives decoding; whoever reads it decides
//! (and must never widen access). Maps are ordered, so equal messages encode to equal bytes.

/// The generated code, one module per protobuf package.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unimplemented,
    clippy::wildcard_imports,
    rustdoc::all
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

/// Ambit's own messages.
pub mod ambit {
    pub use super::generated::ambit::l7;
}

/// Istio's workload, authorization, certificate and ZDS messages.
pub mod istio {
    pub use super::generated::istio::security;
    pub use super::generated::istio::v1::auth;
    pub use super::generated::istio::workload;
    pub use super::generated::istio::workload::zds;
}

/// Envoy's discovery protocol, the part that carries Istio's messages, and its external authorization.
pub mod envoy {
    pub use super::generated::envoy::config::core::v3 as core;
    pub use super::generated::envoy::service::auth::v3 as auth;
    pub use super::generated::envoy::service::discovery::v3 as discovery;
    pub use super::generated::envoy::r#type::v3 as kinds;
}

/// Spans, as collectors take them.
pub mod opentelemetry {
    pub use super::generated::opentelemetry::proto::collector::trace::v1 as collector;
    pub use super::generated::opentelemetry::proto::common::v1 as common;
    pub use super::generated::opentelemetry::proto::trace::v1 as trace;
}

/// Google's message for a failure.
pub mod google {
    pub use super::generated::google::rpc;
}

/// Type URL of [`istio::workload::Address`], the resource of workload discovery.
pub const ADDRESS_TYPE: &str = "type.googleapis.com/istio.workload.Address";

/// Type URL of [`istio::workload::Workload`]; known to the protocol, sent only inside an `Address`.
pub const WORKLOAD_TYPE: &str = "type.googleapis.com/istio.workload.Workload";

/// Type URL of [`istio::security::Authorization`].
pub const AUTHORIZATION_TYPE: &str = "type.googleapis.com/istio.security.Authorization";

/// Type URL of [`ambit::l7::Resource`].
pub const L7_TYPE: &str = "type.googleapis.com/ambit.l7.Resource";
