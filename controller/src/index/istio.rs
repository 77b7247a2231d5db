//! The Istio objects of a configuration that only waypoints are concerned with, by kind and place; and the keys of
//! token issuers.

use std::sync::Arc;

use ambit_kubernetes::Object;
use ambit_kubernetes::istio::{DestinationRule, RequestAuthentication, VirtualService};

use super::objects::Placed;
use crate::keys::KeySets;

#[derive(Debug, Default)]
pub(super) struct Istio {
    pub(super) authentications: Placed<RequestAuthentication>,
    pub(super) destination_rules: Placed<DestinationRule>,
    pub(super) virtual_services: Placed<VirtualService>,
    /// What was fetched for token issuers.
    pub(super) keys: Arc<KeySets>,
}

impl Istio {
    /// Takes an object, unless it is none of these.
    pub(super) fn add(&mut self, object: &Object) {
        let metadata = object.metadata();
        match object {
            Object::RequestAuthentication(authentication) => {
                self.authentications.insert(metadata, authentication);
            }
            Object::DestinationRule(rule) => self.destination_rules.insert(metadata, rule),
            Object::VirtualService(service) => self.virtual_services.insert(metadata, service),
            _ => {}
        }
    }

    /// Forgets an object, unless it is none of these.
    pub(super) fn remove(&mut self, object: &Object) {
        let metadata = object.metadata();
        match object {
            Object::RequestAuthentication(_) => self.authentications.remove(metadata),
            Object::DestinationRule(_) => self.destination_rules.remove(metadata),
            Object::VirtualService(_) => self.virtual_services.remove(metadata),
            _ => {}
        }
    }
}
