//! The Istio objects of a configuration that only waypoints are concerned with, by kind and place; and the keys of
//! token issuers.

use std::sync::Arc;

use ambit_kubernetes::Object;
use ambit_kubernetes::istio::{
    ConfigMap, DestinationRule, RequestAuthentication, ServiceEntry, Telemetry, VirtualService,
};

use super::objects::Placed;
use crate::keys::KeySets;

#[derive(Debug, Default)]
pub(super) struct Istio {
    pub(super) authentications: Placed<RequestAuthentication>,
    pub(super) destination_rules: Placed<DestinationRule>,
    pub(super) virtual_services: Placed<VirtualService>,
    pub(super) service_entries: Placed<ServiceEntry>,
    pub(super) telemetries: Placed<Telemetry>,
    /// Those that may hold the settings of the mesh.
    pub(super) config_maps: Placed<ConfigMap>,
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
            Object::ServiceEntry(entry) => self.service_entries.insert(metadata, entry),
            Object::ConfigMap(map) => self.config_maps.insert(metadata, map),
            Object::Telemetry(telemetry) => self.telemetries.insert(metadata, telemetry),
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
            Object::ServiceEntry(_) => self.service_entries.remove(metadata),
            Object::ConfigMap(_) => self.config_maps.remove(metadata),
            Object::Telemetry(_) => self.telemetries.remove(metadata),
            _ => {}
        }
    }
}
