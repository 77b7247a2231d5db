//! The Gateway API objects of a configuration, by kind and place.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_kubernetes::gateway_api::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, HTTPRoute, ReferenceGrant, TCPRoute, TLSRoute,
};
use ambit_kubernetes::{Object, Secret};
use ambit_model::Text;

use super::objects::Placed;

#[derive(Debug, Default)]
pub(super) struct GatewayApi {
    pub(super) gateways: Placed<Gateway>,
    pub(super) http: Placed<HTTPRoute>,
    pub(super) grpc: Placed<GRPCRoute>,
    pub(super) tls: Placed<TLSRoute>,
    pub(super) tcp: Placed<TCPRoute>,
    pub(super) backend_tls: Placed<BackendTLSPolicy>,
    /// With certificates for listeners.
    pub(super) secrets: Placed<Secret>,
    grants: Placed<ReferenceGrant>,
    classes: HashMap<Text, Arc<GatewayClass>>,
}

impl GatewayApi {
    /// Takes an object, unless it is none of the Gateway API.
    pub(super) fn add(&mut self, object: &Object) {
        let metadata = object.metadata();
        match object {
            Object::Gateway(gateway) => self.gateways.insert(metadata, gateway),
            Object::GatewayClass(class) => {
                self.classes.insert(metadata.name.as_str().into(), class.clone());
            }
            Object::HTTPRoute(route) => self.http.insert(metadata, route),
            Object::GRPCRoute(route) => self.grpc.insert(metadata, route),
            Object::TLSRoute(route) => self.tls.insert(metadata, route),
            Object::TCPRoute(route) => self.tcp.insert(metadata, route),
            Object::BackendTLSPolicy(policy) => self.backend_tls.insert(metadata, policy),
            Object::ReferenceGrant(grant) => self.grants.insert(metadata, grant),
            Object::Secret(secret) => self.secrets.insert(metadata, secret),
            _ => {}
        }
    }

    /// Forgets an object, unless it is none of the Gateway API.
    pub(super) fn remove(&mut self, object: &Object) {
        let metadata = object.metadata();
        match object {
            Object::Gateway(_) => self.gateways.remove(metadata),
            Object::GatewayClass(_) => {
                self.classes.remove(metadata.name.as_str());
            }
            Object::HTTPRoute(_) => self.http.remove(metadata),
            Object::GRPCRoute(_) => self.grpc.remove(metadata),
            Object::TLSRoute(_) => self.tls.remove(metadata),
            Object::TCPRoute(_) => self.tcp.remove(metadata),
            Object::BackendTLSPolicy(_) => self.backend_tls.remove(metadata),
            Object::ReferenceGrant(_) => self.grants.remove(metadata),
            Object::Secret(_) => self.secrets.remove(metadata),
            _ => {}
        }
    }

    pub(super) fn class(&self, name: &str) -> Option<&GatewayClass> {
        self.classes.get(name).map(|class| &**class)
    }

    /// Whether an object of group, kind and namespace `from` may refer to one of group, kind and name `to` in
    /// `namespace`, which is another.
    pub(super) fn grants(&self, from: (&str, &str, &str), namespace: &str, to: (&str, &str, &str)) -> bool {
        self.grants.of(namespace).any(|grant| grant.permits(from, to))
    }
}
