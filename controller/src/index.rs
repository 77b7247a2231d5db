//! From the objects in force to workloads, services and policies: pure, and by Istio's rules.
//!
//! The rules are those of Istio's ambient index; what differs is told where it does. On a bare machine nobody writes a
//! pod's status in full, so a pod without conditions counts as ready and one without a phase as running
//! (docs/decisions/0001-bare-machine-pods.md). What one change can affect, and nothing else, is derived anew
//! (docs/decisions/0013-changes-cost-what-changed.md).

mod affected;
mod balancing;
mod condition;
mod entries;
mod gateway_api;
mod guard;
mod indexer;
mod istio;
mod l7;
mod listed;
mod matches;
mod objects;
mod peer_authentication;
mod policies;
mod ports;
mod published;
mod services;
mod slices;
mod waypoints;
mod workloads;

use std::sync::Arc;

use ambit_kubernetes::Object;

use crate::captured::Captured;
use crate::settings::MeshSettings;

pub use indexer::Indexer;
pub use published::{Delta, Difference, Index};

/// Maps a valid configuration. `captured` says which pods are reached over HBONE beside those whose annotation does.
pub fn build<'a>(
    objects: impl IntoIterator<Item = &'a Object>,
    captured: &Captured,
    mesh: &MeshSettings,
) -> Index {
    let mut indexer = Indexer::new(mesh.clone());
    let objects: Vec<Object> = objects.into_iter().cloned().collect();
    indexer.update(&[], &objects, Arc::new(captured.clone()));
    indexer.index()
}

#[cfg(test)]
mod tests;
