//! The objects as they came, and which services a change of one of them reaches.

use std::collections::{BTreeMap, BTreeSet};

use ambit_model::l7::gateway::Gateway;
use ambit_model::l7::{MeshConfig, ObjectKey, ObjectKind, Resource, Target, Unreadable};
use ambit_model::service::ServiceKey;
use ambit_model::{Change, Text};
use ambit_policy::request::Patterns;

use super::compile::is_about_calls;
use crate::settings::Settings;

/// Every object that is known.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) resources: BTreeMap<Text, Resource>,
    pub(super) unreadable: BTreeMap<Text, Unreadable>,
    /// Expressions are compiled once, however many tables use them.
    pub(super) patterns: Patterns,
    pub(super) gateway: (Text, Text),
    class: Text,
    trust_domain: Text,
}

/// What has to be compiled anew.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Affected {
    /// Every table.
    pub(super) everything: bool,
    /// How services are called.
    pub(super) traffic: bool,
    /// The listeners of this proxy's own Gateway.
    pub(super) listeners: bool,
    /// The tables of these services.
    pub(super) services: BTreeSet<ServiceKey>,
    /// The labels of these workloads.
    pub(super) labels: BTreeSet<Text>,
}

impl Book {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            resources: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            patterns: Patterns::default(),
            gateway: (settings.namespace.clone(), settings.gateway.clone()),
            class: settings.class.clone(),
            trust_domain: settings.identity.trust_domain().clone(),
        }
    }

    /// Takes changes in; `None` where none of them concerns requests.
    pub(super) fn apply(&mut self, changes: &[Change]) -> Option<Affected> {
        let mut affected = Affected::default();
        let mut concerned = false;
        for change in changes {
            let name = match change {
                Change::L7(resource) => resource.name(),
                Change::UnreadableL7(unreadable) => unreadable.name.clone(),
                Change::RemoveL7(name) => name.clone(),
                _ => continue,
            };
            concerned = true;
            let old = self.resources.remove(&name);
            let old_unreadable = self.unreadable.remove(&name);
            for resource in old.iter() {
                affected.by(resource);
            }
            for unreadable in old_unreadable.iter() {
                affected.by_unreadable(unreadable);
            }
            match change {
                Change::L7(resource) => {
                    affected.by(resource);
                    self.resources.insert(name, (**resource).clone());
                }
                Change::UnreadableL7(unreadable) => {
                    affected.by_unreadable(unreadable);
                    self.unreadable.insert(name, (**unreadable).clone());
                }
                _ => {}
            }
        }
        concerned.then_some(affected)
    }

    /// The Gateway that this proxy is, where it has listeners of its own.
    pub(super) fn own_gateway(&self) -> Option<&Gateway> {
        let name = ObjectKey::new(ObjectKind::Gateway, &self.gateway.0, &self.gateway.1).to_string();
        match self.resources.get(&*name) {
            Some(Resource::Gateway(gateway)) => Some(gateway),
            _ => None,
        }
    }

    /// Its class: as the Gateway says, else as the settings do.
    pub(super) fn class(&self) -> Text {
        self.own_gateway().map_or(&self.class, |gateway| &gateway.class).clone()
    }

    /// The mesh's settings, or the usual ones.
    pub(super) fn mesh(&self) -> MeshConfig {
        match self.resources.get("MeshConfig") {
            Some(Resource::Mesh(mesh)) => mesh.clone(),
            _ => MeshConfig { trust_domain: self.trust_domain.clone(), ..MeshConfig::default() },
        }
    }
}

impl Affected {
    fn by(&mut self, resource: &Resource) {
        match resource {
            Resource::Mesh(_) => self.everything = true,
            Resource::DestinationRule(_) => self.traffic = true,
            Resource::Labels(labels) => drop(self.labels.insert(labels.workload.clone())),
            Resource::Gateway(_) => self.listeners = true,
            Resource::Route(_)
            | Resource::Policy(_)
            | Resource::Authentication(_)
            | Resource::Telemetry(_) => {
                self.by_targets(&resource.targets());
            }
        }
    }

    fn by_unreadable(&mut self, unreadable: &Unreadable) {
        match is_about_calls(unreadable) {
            true => self.traffic = true,
            false => self.by_targets(&unreadable.targets),
        }
    }

    fn by_targets(&mut self, targets: &[Target]) {
        for target in targets {
            match target {
                Target::Service(key) => drop(self.services.insert(key.clone())),
                Target::Gateway { .. } | Target::GatewayClass(_) | Target::Namespace(_) | Target::Mesh => {
                    self.everything = true;
                }
            }
        }
    }
}
