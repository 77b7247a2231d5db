//! What is wrong with objects that have the right shape: each on its own, and all of them together.

mod authorization_policy;
pub(crate) mod claims;
mod core;
mod gateway_api;
mod istio;
mod peer_authentication;
mod scope;
mod set;

use crate::{FieldPath, Loaded, Object, Problem};

pub use set::validate_set;

/// Collects the complaints about one object.
struct Complaints<'a> {
    loaded: &'a Loaded,
    problems: &'a mut Vec<Problem>,
}

impl Complaints<'_> {
    fn add(&mut self, path: &FieldPath, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(self.loaded.problem(path.clone(), reason, remedy));
    }

    /// Adds the error of a check whose text is `reason; remedy`.
    fn expect(&mut self, path: &FieldPath, outcome: Result<(), String>) {
        if let Err(message) = outcome {
            let (reason, remedy) = message.split_once("; ").unwrap_or((&message, ""));
            self.add(path, reason, remedy);
        }
    }
}

/// Adds everything that is wrong with one object.
pub(crate) fn object(loaded: &Loaded, problems: &mut Vec<Problem>) {
    let mut complaints = Complaints { loaded, problems };
    core::metadata(loaded.object.kind(), loaded.object.metadata(), &mut complaints);
    match &loaded.object {
        // Who refers to a Secret is told what is wrong with it.
        Object::Namespace(_) | Object::Node(_) | Object::ServiceAccount(_) | Object::Secret(_) => {}
        Object::Pod(pod) => core::pod(pod, &mut complaints),
        Object::Service(service) => core::service(service, &mut complaints),
        Object::EndpointSlice(slice) => core::endpoint_slice(slice, &mut complaints),
        Object::AuthorizationPolicy(policy) => authorization_policy::check(policy, &mut complaints),
        Object::PeerAuthentication(policy) => peer_authentication::check(&policy.spec, &mut complaints),
        Object::Gateway(gateway) => gateway_api::gateway(gateway, &mut complaints),
        Object::GatewayClass(class) => gateway_api::gateway_class(class, &mut complaints),
        Object::HTTPRoute(route) => gateway_api::http_route(&route.spec, &mut complaints),
        Object::GRPCRoute(route) => gateway_api::grpc_route(&route.spec, &mut complaints),
        Object::TLSRoute(route) => gateway_api::tls_route(&route.spec, &mut complaints),
        Object::TCPRoute(route) => gateway_api::tcp_route(&route.spec, &mut complaints),
        Object::ReferenceGrant(grant) => gateway_api::reference_grant(&grant.spec, &mut complaints),
        Object::RequestAuthentication(policy) => istio::request_authentication(&policy.spec, &mut complaints),
        Object::DestinationRule(rule) => istio::destination_rule(&rule.spec, &mut complaints),
        Object::VirtualService(service) => istio::virtual_service(&service.spec, &mut complaints),
        Object::ConfigMap(map) => {
            let path = FieldPath::of("data").key(crate::istio::MESH_KEY);
            complaints.expect(&path, map.mesh().map(drop));
        }
        Object::ServiceEntry(entry) => istio::service_entry(&entry.spec, &mut complaints),
        Object::Telemetry(telemetry) => istio::telemetry(&telemetry.spec, &mut complaints),
        Object::BackendTLSPolicy(policy) => gateway_api::backend_tls_policy(&policy.spec, &mut complaints),
    }
}
