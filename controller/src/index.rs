//! From the objects in force to workloads, services and policies: pure, and by Istio's rules.
//!
//! The rules are those of Istio's ambient index; what differs is told where it does. On a bare machine nobody writes a
//! pod's status in full, so a pod without conditions counts as ready and one without a phase as running
//! (docs/decisions/0001-bare-machine-pods.md).

mod balancing;
mod matches;
mod objects;
mod peer_authentication;
mod policies;
mod ports;
mod services;
mod slices;
mod waypoints;
mod workloads;

use ambit_kubernetes::Object;
use ambit_model::{Policy, Service, Workload};

use crate::captured::Captured;
use crate::settings::MeshSettings;
use objects::Objects;

/// What is published.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// Workloads, by uid.
    pub workloads: Vec<Workload>,
    /// Services, by key.
    pub services: Vec<Service>,
    /// Policies, by key.
    pub policies: Vec<Policy>,
    /// What has less effect than its author may expect, one line each.
    pub notes: Vec<String>,
}

/// Maps a valid configuration. `captured` says which pods are reached over HBONE beside those whose annotation does.
pub fn build(objects: &[Object], captured: &Captured, mesh: &MeshSettings) -> Index {
    let mut notes = waypoints::notes(objects);
    let objects = Objects::new(objects, mesh);
    let authentication = peer_authentication::Effective::new(&objects, &mut notes);
    let mut policies = policies::policies(&objects, &mut notes);
    policies.extend(authentication.policies());
    policies.sort_by(|one, other| one.key.cmp(&other.key));
    let mut services = services::services(&objects);
    services.sort_by(|one, other| one.key.cmp(&other.key));
    let mut workloads = workloads::workloads(&objects, captured, &authentication, &mut notes);
    workloads.extend(slices::workloads(&objects, &mut notes));
    workloads.sort_by(|one, other| one.uid.cmp(&other.uid));
    Index { workloads, services, policies, notes }
}

#[cfg(test)]
mod tests;
