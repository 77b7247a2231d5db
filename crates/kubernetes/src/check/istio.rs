//! What is wrong with Istio's objects for requests, by the rules of Istio's validator and a few stricter ones.

mod destination_rule;
mod http_route;
mod load_balancer;
mod request_authentication;
mod service_entry;
mod telemetry;
mod values;
mod virtual_service;

pub(super) use destination_rule::check as destination_rule;
pub(super) use request_authentication::check as request_authentication;
pub(super) use service_entry::check as service_entry;
pub(super) use telemetry::check as telemetry;
pub(super) use virtual_service::check as virtual_service;
