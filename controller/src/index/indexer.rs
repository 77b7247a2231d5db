//! The index, kept from change to change.

mod through_waypoints;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_kubernetes::{Object, Pod};
use ambit_model::{Text, Workload};

use super::affected::Affected;
use super::entries::Entries;
use super::guard::Guard;
use super::listed::Listed;
use super::objects::{Objects, Place};
use super::peer_authentication::Effective;
use super::published::{Delta, Index, settle};
use super::waypoints::{self, Waypoints};
use super::{policies, services, slices, workloads};
use crate::captured::Captured;
use crate::keys::{self, KeySets, Wanted};
use crate::settings::MeshSettings;

/// Derives what is published from objects and captured pods, and after a change what the change affects. The outcome is
/// that of a derivation from nothing.
#[derive(Debug)]
pub struct Indexer {
    objects: Objects,
    captured: Arc<Captured>,
    authentication: Effective,
    listed: Listed,
    index: Index,
    /// The policies that come of PeerAuthentications.
    converted: Vec<Text>,
    /// The workloads that come of EndpointSlices.
    endpoints: Vec<Text>,
    waypoints: Waypoints,
    entries: Entries,
    guard: Guard,
    /// The routes that are published, by their names.
    routes: Vec<Text>,
    notes: Notes,
}

/// What has been noted, by what it is about.
#[derive(Debug, Default, PartialEq)]
struct Notes {
    waypoints: Vec<String>,
    /// What is wrong with the waypoints of Services (`true`) and pods.
    bindings: BTreeMap<(bool, Place), String>,
    entries: Vec<String>,
    routes: Vec<String>,
    authentication: Vec<String>,
    policies: BTreeMap<Place, Vec<String>>,
    pods: BTreeMap<Place, String>,
    endpoints: Vec<String>,
    changed: bool,
}

impl Indexer {
    /// An index of nothing, for a mesh with these settings.
    pub fn new(mesh: MeshSettings) -> Self {
        let objects = Objects::new(mesh);
        let authentication = Effective::new(&objects, &mut Vec::new());
        Self {
            objects,
            captured: Arc::default(),
            authentication,
            listed: Listed::default(),
            index: Index::default(),
            converted: Vec::new(),
            endpoints: Vec::new(),
            waypoints: Waypoints::default(),
            entries: Entries::default(),
            guard: Guard::default(),
            routes: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// What is published now.
    pub fn index(&self) -> Index {
        self.index.clone()
    }

    /// A pod of the configuration.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        self.objects.pods.get(namespace, name).map(|pod| &**pod)
    }

    /// The enrolled pods of a node; one that ended is not enrolled.
    pub fn enrolled_on(&self, node: &str) -> impl Iterator<Item = &Pod> {
        let pods = self.objects.on_node(node).filter_map(|(namespace, name)| self.pod(namespace, name));
        pods.filter(|pod| {
            let namespace = self.objects.namespace(&pod.metadata.namespace);
            ambit_kubernetes::enrolled(pod, namespace).is_enrolled()
        })
    }

    /// Takes objects out, puts others in, and derives what that affects. An object that changed is in both lists.
    pub fn update(&mut self, removed: &[Object], added: &[Object], captured: Arc<Captured>) -> Delta {
        // Afterwards there is at least the policy that is always there.
        let first = self.index.counts() == [0, 0, 0];
        let mut affected = Affected { everything: first, ..Affected::default() };
        affected.pods.extend(self.captured.differing(&captured));
        self.captured = captured;
        for object in removed {
            affected.by(object, &self.objects);
        }
        for object in removed {
            self.objects.remove(object);
        }
        for object in added {
            self.objects.add(object);
        }
        if !affected.everything {
            added.iter().for_each(|object| affected.by(object, &self.objects));
        }
        self.derive(affected)
    }

    /// Takes what was fetched for token issuers, and derives what depends on it.
    pub fn know(&mut self, keys: Arc<KeySets>) -> Delta {
        self.objects.istio.keys = keys;
        // Before the first configuration nothing is derived: what it makes known would not be served.
        if self.index.counts() == [0, 0, 0] {
            return Delta::default();
        }
        self.derive(Affected { routes: true, ..Affected::default() })
    }

    /// What token issuers there are whose keys are to be fetched.
    pub fn wanted_keys(&self) -> Wanted {
        keys::wanted(self.objects.istio.authentications.iter().map(|written| &**written))
    }

    fn derive(&mut self, mut affected: Affected) -> Delta {
        if affected.everything {
            affected.extend_to_all(&self.objects);
        }
        let mut delta = Delta::default();
        if affected.authentication {
            self.authenticate(&mut delta);
        }
        if affected.endpoints {
            let listed = Listed::new(&self.objects);
            affected.pods.extend(self.listed.differing(&listed));
            self.listed = listed;
            self.put_endpoints(&mut delta);
        }
        if affected.waypoints {
            self.find_waypoints(&mut affected);
        }
        for place in std::mem::take(&mut affected.policies) {
            self.put_policy(place, &mut delta);
        }
        // Also a Service of which nothing is published otherwise: routes go by the names of its ports.
        affected.routes |= !affected.services.is_empty();
        for place in std::mem::take(&mut affected.services) {
            self.put_service(&place, &mut delta);
        }
        if affected.entries || (affected.waypoints && !self.objects.istio.service_entries.is_empty()) {
            self.put_entries(&mut affected, &mut delta);
        }
        self.put_guard(&mut affected, &mut delta);
        if affected.routes || affected.waypoints {
            self.put_routes(&mut delta);
        }
        for place in affected.pods {
            self.put_pod(place, &mut delta);
        }
        if std::mem::take(&mut self.notes.changed) {
            self.index.notes = self.notes.lines();
        }
        delta
    }

    /// A few policies for the mesh, so all of them.
    fn authenticate(&mut self, delta: &mut Delta) {
        let mut notes = Vec::new();
        self.authentication = Effective::new(&self.objects, &mut notes);
        self.notes.changed |= notes != self.notes.authentication;
        self.notes.authentication = notes;
        let policies: Vec<_> = self.authentication.policies().collect();
        let names = policies.iter().map(|policy| policy.key.clone()).collect();
        for gone in std::mem::replace(&mut self.converted, names) {
            if policies.iter().all(|policy| policy.key != gone) {
                settle(&mut self.index.policies, gone, None, &mut delta.policies);
            }
        }
        for policy in policies {
            settle(&mut self.index.policies, policy.key.clone(), Some(policy), &mut delta.policies);
        }
    }

    fn put_policy(&mut self, place: Place, delta: &mut Delta) {
        let mut notes = Vec::new();
        let written = self.objects.authorization.get(&place.0, &place.1);
        let policy = written.and_then(|written| policies::policy(written, &self.objects, &mut notes));
        settle(&mut self.index.policies, policies::key(&place), policy, &mut delta.policies);
        let before = if notes.is_empty() {
            self.notes.policies.remove(&place)
        } else {
            self.notes.policies.insert(place.clone(), notes)
        };
        self.notes.changed |= before.as_ref() != self.notes.policies.get(&place);
    }

    fn put_service(&mut self, place: &Place, delta: &mut Delta) {
        let service = self.objects.services.get(&place.0, &place.1);
        let bound = service.map(|service| waypoints::of_service(service, &self.objects, &self.waypoints));
        let bound = bound.unwrap_or_default();
        let service = service.map(|service| services::service(service, &self.objects));
        let service = match service {
            Some(mut service) => {
                service.waypoints = bound.gateway.map(|gateway| (gateway, 100)).into_iter().collect();
                Some(service)
            }
            None => self.waypoints.get(&place.0, &place.1).map(|waypoint| waypoint.service()),
        };
        self.note_binding((true, place.clone()), bound.note);
        let name = self.objects.service_key_of(&place.0, &place.1).to_string().into();
        settle(&mut self.index.services, name, service, &mut delta.services);
    }

    fn put_pod(&mut self, place: Place, delta: &mut Delta) {
        let derived = match self.objects.pods.get(&place.0, &place.1) {
            None => Ok(None),
            Some(pod) => {
                workloads::workload(pod, &self.objects, &self.captured, &self.authentication, &self.listed)
            }
        };
        let uid: Text = workloads::uid(&self.objects, &place).into();
        let derived = derived.map(|workload| self.through_waypoints(workload, &place));
        self.put_labels(&uid, &place, delta);
        let before = match derived {
            Ok(workload) => {
                settle(&mut self.index.workloads, uid, workload, &mut delta.workloads);
                self.notes.pods.remove(&place)
            }
            Err(error) => {
                settle(&mut self.index.workloads, uid, None, &mut delta.workloads);
                let note = format!("Pod {}/{} is left out: {error}", place.0, place.1);
                self.notes.pods.insert(place.clone(), note)
            }
        };
        self.notes.changed |= before.as_ref() != self.notes.pods.get(&place);
    }

    fn put_endpoints(&mut self, delta: &mut Delta) {
        let mut notes = Vec::new();
        let workloads = slices::workloads(&self.objects, &mut notes);
        self.notes.changed |= notes != self.notes.endpoints;
        self.notes.endpoints = notes;
        let workloads: BTreeMap<Text, Workload> =
            workloads.into_iter().map(|workload| (workload.uid.clone(), workload)).collect();
        let names = workloads.keys().cloned().collect();
        for gone in std::mem::replace(&mut self.endpoints, names) {
            if !workloads.contains_key(&gone) {
                settle(&mut self.index.workloads, gone, None, &mut delta.workloads);
            }
        }
        for (uid, workload) in workloads {
            settle(&mut self.index.workloads, uid, Some(workload), &mut delta.workloads);
        }
    }
}

impl Notes {
    fn lines(&self) -> Arc<[String]> {
        let mut lines = self.waypoints.clone();
        // What a Namespace asks for in vain is noted for each of its Services.
        lines.extend(self.bindings.values().collect::<BTreeSet<_>>().into_iter().cloned());
        lines.extend(self.entries.iter().cloned());
        lines.extend(self.routes.iter().cloned());
        lines.extend(self.authentication.iter().cloned());
        lines.extend(self.policies.values().flatten().cloned());
        lines.extend(self.pods.values().cloned());
        lines.extend(self.endpoints.iter().cloned());
        lines.into()
    }
}
