//! What is published, and how one state of it differs from the next.

use std::sync::Arc;

use ambit_model::l7::Resource;
use ambit_model::table::Table;
use ambit_model::{Policy, Service, Text, Workload};

/// What is published. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Index {
    pub(super) workloads: Table<Text, Arc<Workload>>,
    pub(super) services: Table<Text, Arc<Service>>,
    pub(super) policies: Table<Text, Arc<Policy>>,
    pub(super) l7: Table<Text, Arc<Resource>>,
    pub(super) notes: Arc<[String]>,
}

impl Index {
    /// The workloads, in the order of their uids.
    pub fn workloads(&self) -> Vec<&Arc<Workload>> {
        ordered(&self.workloads)
    }

    /// The services, in the order of their keys.
    pub fn services(&self) -> Vec<&Arc<Service>> {
        ordered(&self.services)
    }

    /// The policies, in the order of their keys.
    pub fn policies(&self) -> Vec<&Arc<Policy>> {
        ordered(&self.policies)
    }

    /// What waypoints do with requests, in the order of its names.
    pub fn l7(&self) -> Vec<&Arc<Resource>> {
        ordered(&self.l7)
    }

    /// How many workloads, services and policies there are.
    pub fn counts(&self) -> [usize; 3] {
        [self.workloads.len(), self.services.len(), self.policies.len()]
    }

    /// What has less effect than its author may expect, one line each.
    pub fn notes(&self) -> &Arc<[String]> {
        &self.notes
    }
}

impl PartialEq for Index {
    fn eq(&self, other: &Self) -> bool {
        self.workloads() == other.workloads()
            && self.services() == other.services()
            && self.policies() == other.policies()
            && self.l7() == other.l7()
            && self.notes == other.notes
    }
}

fn ordered<T>(table: &Table<Text, Arc<T>>) -> Vec<&Arc<T>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_unstable_by(|one, other| one.0.cmp(other.0));
    entries.into_iter().map(|(_, value)| value).collect()
}

/// What is published under one name, before and after.
#[derive(Debug)]
pub struct Difference<T> {
    /// The name: a uid or key.
    pub name: Text,
    /// Before.
    pub old: Option<Arc<T>>,
    /// After.
    pub new: Option<Arc<T>>,
}

/// How an index differs from the one before.
#[derive(Debug, Default)]
pub struct Delta {
    /// Workloads.
    pub workloads: Vec<Difference<Workload>>,
    /// Services.
    pub services: Vec<Difference<Service>>,
    /// Policies.
    pub policies: Vec<Difference<Policy>>,
    /// What waypoints do with requests.
    pub l7: Vec<Difference<Resource>>,
}

/// Sets or removes a name, and tells if that made a difference.
pub(super) fn settle<T: PartialEq>(
    table: &mut Table<Text, Arc<T>>,
    name: Text,
    new: Option<T>,
    delta: &mut Vec<Difference<T>>,
) {
    if table.get(&name).map(|old| &**old) == new.as_ref() {
        return;
    }
    let new = new.map(Arc::new);
    let old = match &new {
        Some(new) => table.insert(name.clone(), new.clone()),
        None => table.remove(&name),
    };
    delta.push(Difference { name, old, new });
}
