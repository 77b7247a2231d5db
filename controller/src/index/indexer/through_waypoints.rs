//! What follows from waypoints: bindings, what guards them, routes, and the labels that routes go by.

use std::sync::Arc;

use ambit_kubernetes::{Metadata, Pod};
use ambit_model::l7::{Labels, Resource};
use ambit_model::service::ServiceKey;
use ambit_model::{Text, Workload};

use super::{Affected, Delta, Indexer, Place, settle};
use crate::index::entries::Entries;
use crate::index::guard::Guard;
use crate::index::l7::{self, View};
use crate::index::objects::{place, published};
use crate::index::waypoints::{self, Waypoints, asked, gateway_name};

impl Indexer {
    /// Finds the waypoints anew; what would be bound otherwise is derived again.
    pub(super) fn find_waypoints(&mut self, affected: &mut Affected) {
        let found = Waypoints::new(&self.objects);
        let notes = found.notes(&self.objects);
        self.notes.changed |= notes != self.notes.waypoints;
        self.notes.waypoints = notes;
        let differing = found.differing(&self.waypoints);
        self.waypoints = found;
        if differing.is_empty() {
            return;
        }
        let concerned = |namespace: &str, name: &str| differing.contains(&(namespace.into(), name.into()));
        let asks = |metadata: &Metadata| {
            let namespace = self.objects.namespace(&metadata.namespace);
            asked(metadata, namespace).is_some_and(|asked| concerned(asked.namespace, asked.name))
        };
        let services = self.objects.services.iter().filter(|service| asks(&service.metadata));
        affected.services.extend(services.map(|service| place(&service.metadata)));
        let serves =
            |pod: &Pod| gateway_name(pod).is_some_and(|name| concerned(&pod.metadata.namespace, name));
        let pods = self.objects.pods.iter().filter(|pod| serves(pod) || asks(&pod.metadata));
        affected.pods.extend(pods.map(|pod| place(&pod.metadata)));
        // The services in front of them.
        affected.services.extend(differing);
    }

    /// Derives what follows from ServiceEntries anew; the pods behind them are derived again.
    pub(super) fn put_entries(&mut self, affected: &mut Affected, delta: &mut Delta) {
        let entries = Entries::new(&self.objects, &self.waypoints);
        let before = std::mem::replace(&mut self.entries, entries);
        affected.pods.extend(self.entries.differing(&before));
        affected.routes |= self.entries.services != before.services;
        self.notes.changed |= self.entries.notes != self.notes.entries;
        self.notes.entries.clone_from(&self.entries.notes);
        // What became a Service's is settled there.
        let gone = before.services.keys().filter(|key| !self.entries.services.contains_key(*key));
        for key in gone.filter(|key| !self.objects.is_service(key)) {
            settle(&mut self.index.services, key.to_string().into(), None, &mut delta.services);
        }
        for (key, service) in &self.entries.services {
            settle(
                &mut self.index.services,
                key.to_string().into(),
                Some(service.clone()),
                &mut delta.services,
            );
        }
        for uid in before.workloads.keys().filter(|uid| !self.entries.workloads.contains_key(*uid)) {
            settle(&mut self.index.workloads, uid.clone(), None, &mut delta.workloads);
            settle(&mut self.index.l7, format!("Labels/{uid}").into(), None, &mut delta.l7);
        }
        for (uid, workload) in &self.entries.workloads {
            settle(&mut self.index.workloads, uid.clone(), Some(workload.clone()), &mut delta.workloads);
            let labels = self.entries.labels.get(uid).cloned().map(Resource::Labels);
            settle(&mut self.index.l7, format!("Labels/{uid}").into(), labels, &mut delta.l7);
        }
    }

    /// Derives what guards the pods behind waypoints. It depends on much, and there is little of it.
    pub(super) fn put_guard(&mut self, affected: &mut Affected, delta: &mut Delta) {
        let guard = Guard::new(&self.objects, &self.waypoints, &self.index.services);
        if guard == self.guard {
            return;
        }
        let (namespaces, bound) = guard.differing(&self.guard);
        let pods = namespaces.iter().flat_map(|namespace| self.objects.pods.of(namespace));
        affected.pods.extend(pods.map(|pod| place(&pod.metadata)));
        if !bound.is_empty() {
            let asks = |pod: &&Arc<Pod>| self.asks_for(pod, |key| bound.contains(key));
            affected.pods.extend(self.objects.pods.iter().filter(asks).map(|pod| place(&pod.metadata)));
        }
        for policy in guard.policies() {
            let policies = &mut self.index.policies;
            settle(policies, policy.key.clone(), Some(policy.clone()), &mut delta.policies);
        }
        let before = std::mem::replace(&mut self.guard, guard);
        for gone in before.policies() {
            if self.guard.policies().all(|policy| policy.key != gone.key) {
                settle(&mut self.index.policies, gone.key.clone(), None, &mut delta.policies);
            }
        }
    }

    fn asks_for(&self, pod: &Pod, one: impl Fn(&ServiceKey) -> bool) -> bool {
        let namespace = self.objects.namespace(&pod.metadata.namespace);
        let asked = asked(&pod.metadata, namespace);
        asked.is_some_and(|asked| one(&self.objects.service_key_of(asked.namespace, asked.name)))
    }

    /// Makes of a workload what waypoints make of it.
    pub(super) fn through_waypoints(
        &mut self,
        workload: Option<Workload>,
        place: &Place,
    ) -> Option<Workload> {
        let pod = self.objects.pods.get(&place.0, &place.1).cloned();
        let (Some(mut workload), Some(pod)) = (workload, pod) else {
            self.note_binding((false, place.clone()), None);
            return None;
        };
        let bound = waypoints::of_pod(&pod, &self.objects, &self.waypoints);
        self.waypoints.attach(&mut workload, &pod, &bound);
        self.entries.attach(&mut workload, place);
        self.guard.attach(&mut workload);
        self.note_binding((false, place.clone()), bound.note);
        Some(workload)
    }

    /// Notes what is wrong with the binding of a Service (`true`) or pod.
    pub(super) fn note_binding(&mut self, of: (bool, Place), note: Option<String>) {
        let before = match note {
            Some(note) => self.notes.bindings.insert(of.clone(), note),
            None => self.notes.bindings.remove(&of),
        };
        self.notes.changed |= before.as_ref() != self.notes.bindings.get(&of);
    }

    /// The labels of a published pod.
    pub(super) fn put_labels(&mut self, uid: &Text, place: &Place, delta: &mut Delta) {
        let pod = self.objects.pods.get(&place.0, &place.1).filter(|pod| published(pod));
        let labels = pod.map(|pod| {
            let labels = pod.metadata.labels.iter();
            Resource::Labels(Labels {
                workload: uid.clone(),
                labels: labels.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
            })
        });
        let name = format!("Labels/{uid}").into();
        settle(&mut self.index.l7, name, labels, &mut delta.l7);
    }

    /// Derives the routes, which depend on each other and on services.
    pub(super) fn put_routes(&mut self, delta: &mut Delta) {
        let view = View::new(&self.objects, &self.index.services, &self.waypoints);
        let (resources, notes) = l7::resources(&view);
        self.notes.changed |= notes != self.notes.routes;
        self.notes.routes = notes;
        let names = resources.keys().cloned().collect();
        for gone in std::mem::replace(&mut self.routes, names) {
            if !resources.contains_key(&gone) {
                settle(&mut self.index.l7, gone, None, &mut delta.l7);
            }
        }
        for (name, resource) in resources {
            settle(&mut self.index.l7, name, Some(resource), &mut delta.l7);
        }
    }
}
