//! What external services are asked and told, in their own words: who decides about requests (Envoy ext_authz), and who
//! collects spans (OpenTelemetry). Messages only: whoever sends them has the connections.

pub mod authorization;
pub mod grpc;
pub mod spans;
