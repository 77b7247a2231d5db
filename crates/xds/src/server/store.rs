//! What is served: every resource encoded once, in the order in which it last changed.
//!
//! Each change of a name gets the next sequence number, and a name has only its last one: a log that compacts itself.
//! A client is then described by one number, the last change it was sent, however many resources there are; the
//! names of removed resources stay in the log until every client has passed them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use ambit_model::{Policy, Service, Text, Workload};
use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::Kind;
use crate::discovery;
use crate::wire::{encode_l7, encode_policy, encode_service, encode_workload};

/// Removed names that are kept for clients that lag, at least. A client that is further behind is sent away and
/// resumes by the versions it has.
const KEPT_REMOVALS: usize = 10_000;

/// One encoded resource. Cheap to clone; clones share the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    name: Text,
    version: u64,
    encoded: Bytes,
}

impl Resource {
    /// A resource called `name` with this payload, the encoded message of its kind. The version is a hash of the
    /// payload: equal content has an equal version, in every process.
    pub fn new(kind: Kind, name: Text, payload: impl Into<Bytes>) -> Self {
        let payload = payload.into();
        let version = content_hash(&payload);
        let message = discovery::Resource {
            version: version_text(version),
            resource: Some(discovery::Any { type_url: kind.type_url().into(), value: payload }),
            name: name.to_string(),
        };
        Self { name, version, encoded: message.encode_to_vec().into() }
    }

    /// A workload, of kind [`Kind::Address`].
    pub fn workload(workload: &Workload) -> Self {
        let payload = encode_workload(workload).encode_to_vec();
        Self::new(Kind::Address, workload.uid.clone(), payload)
    }

    /// A service, of kind [`Kind::Address`].
    pub fn service(service: &Service) -> Self {
        let payload = encode_service(service).encode_to_vec();
        Self::new(Kind::Address, service.key.to_string().into(), payload)
    }

    /// A policy, of kind [`Kind::Authorization`].
    pub fn policy(policy: &Policy) -> Self {
        let payload = encode_policy(policy).encode_to_vec();
        Self::new(Kind::Authorization, policy.key.clone(), payload)
    }

    /// What a waypoint does with requests, of kind [`Kind::L7`].
    pub fn l7(resource: &ambit_model::l7::Resource) -> Self {
        Self::new(Kind::L7, resource.name(), encode_l7(resource).encode_to_vec())
    }

    /// The name.
    pub fn name(&self) -> &Text {
        &self.name
    }

    /// The version as it is on the wire.
    pub fn version(&self) -> String {
        version_text(self.version)
    }

    /// The encoded discovery resource, shared by everything that sends it.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    pub(super) fn has_version(&self, text: &str) -> bool {
        u64::from_str_radix(text, 16) == Ok(self.version) && text.len() == 16
    }
}

fn version_text(version: u64) -> String {
    format!("{version:016x}")
}

fn content_hash(payload: &[u8]) -> u64 {
    let digest = Sha256::digest(payload);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// What is served. Clones are the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    tables: [RwLock<Table>; Kind::ALL.len()],
    changed: watch::Sender<u64>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Default for Store {
    fn default() -> Self {
        let tables = Default::default();
        Self { shared: Arc::new(Shared { tables, changed: watch::Sender::new(0) }) }
    }
}

impl Store {
    /// Serves exactly these resources of a kind from now on. Of equal names the last one counts. What did not change is
    /// not sent again, and keeps the bytes it had.
    pub fn publish(&self, kind: Kind, resources: impl IntoIterator<Item = Resource>) {
        let mut table = self.shared.tables[kind.index()].write();
        let before = table.last;
        let mut kept: HashSet<Text, RandomState> = HashSet::default();
        for resource in resources {
            kept.insert(resource.name.clone());
            table.set(resource);
        }
        let gone: Vec<Text> = table.live().filter(|name| !kept.contains(*name)).cloned().collect();
        for name in gone {
            table.remove(&name);
        }
        self.finish(table, before);
    }

    /// Sets and removes single resources of a kind, all in one step. A name that is both removed and set is there.
    pub fn update(
        &self,
        kind: Kind,
        set: impl IntoIterator<Item = Resource>,
        removed: impl IntoIterator<Item = Text>,
    ) {
        let mut table = self.shared.tables[kind.index()].write();
        let before = table.last;
        let set: Vec<Resource> = set.into_iter().collect();
        let kept: HashSet<Text, RandomState> = set.iter().map(|resource| resource.name.clone()).collect();
        for name in removed.into_iter().filter(|name| !kept.contains(name)) {
            table.remove(&name);
        }
        for resource in set {
            table.set(resource);
        }
        self.finish(table, before);
    }

    /// The resource of this name, as it is served now.
    pub fn resource(&self, kind: Kind, name: &str) -> Option<Resource> {
        self.read(kind).resource(name).cloned()
    }

    /// How many resources of a kind are served.
    pub fn count(&self, kind: Kind) -> usize {
        self.read(kind).live().count()
    }

    pub(super) fn read(&self, kind: Kind) -> parking_lot::RwLockReadGuard<'_, Table> {
        self.shared.tables[kind.index()].read()
    }

    /// Changes after every publication that changed anything.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// A cursor at the end of the log, with what `read` makes of the resources at that moment. Removals after the
    /// cursor are kept.
    pub(super) fn follow<R>(&self, kind: Kind, read: impl FnOnce(&Table) -> R) -> (Cursor, R) {
        let mut table = self.shared.tables[kind.index()].write();
        let cursor = Arc::new(AtomicU64::new(table.last));
        table.cursors.push(Arc::downgrade(&cursor));
        (Cursor(cursor), read(&table))
    }

    fn finish(&self, mut table: parking_lot::RwLockWriteGuard<'_, Table>, before: u64) {
        if table.last == before {
            return;
        }
        table.forget_removals();
        drop(table);
        self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// From where on a client needs the removals.
#[derive(Debug)]
pub(super) struct Cursor(Arc<AtomicU64>);

impl Cursor {
    pub(super) fn advance(&self, position: u64) {
        self.0.store(position, Ordering::Release);
    }
}

/// The resources of a kind.
#[derive(Default)]
pub(super) struct Table {
    entries: HashMap<Text, Entry, RandomState>,
    log: BTreeMap<u64, Text>,
    /// The part of the log that is removals.
    removed: BTreeMap<u64, Text>,
    /// The last sequence number given; 0 is before the first.
    last: u64,
    /// The last removal that is no longer in the log.
    forgotten: u64,
    cursors: Vec<Weak<AtomicU64>>,
}

struct Entry {
    sequence: u64,
    /// `None` once removed.
    resource: Option<Resource>,
}

impl Table {
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn resource(&self, name: &str) -> Option<&Resource> {
        self.entries.get(name)?.resource.as_ref()
    }

    /// A resource with the number of its last change.
    pub(super) fn entry(&self, name: &str) -> Option<(u64, &Resource)> {
        let entry = self.entries.get(name)?;
        Some((entry.sequence, entry.resource.as_ref()?))
    }

    /// Names and resources, in no order.
    pub(super) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.entries.values().filter_map(|entry| entry.resource.as_ref())
    }

    /// The changes after a position: number, name, and the resource unless it was removed.
    pub(super) fn after(&self, position: u64) -> impl Iterator<Item = (u64, &Text, Option<&Resource>)> {
        self.log
            .range(position.saturating_add(1)..)
            .map(|(sequence, name)| (*sequence, name, self.resource(name)))
    }

    fn live(&self) -> impl Iterator<Item = &Text> {
        self.resources().map(|resource| &resource.name)
    }

    fn set(&mut self, resource: Resource) {
        let old = self.entries.get(&resource.name);
        if old.and_then(|entry| entry.resource.as_ref()).is_some_and(|old| old.encoded == resource.encoded) {
            return;
        }
        let name = resource.name.clone();
        self.change(name, Some(resource));
    }

    fn remove(&mut self, name: &Text) {
        if self.resource(name).is_some() {
            self.change(name.clone(), None);
        }
    }

    fn change(&mut self, name: Text, resource: Option<Resource>) {
        self.last += 1;
        if resource.is_none() {
            self.removed.insert(self.last, name.clone());
        }
        if let Some(old) = self.entries.insert(name.clone(), Entry { sequence: self.last, resource }) {
            self.log.remove(&old.sequence);
            self.removed.remove(&old.sequence);
        }
        self.log.insert(self.last, name);
    }

    /// Drops removals that every client has passed, and the oldest ones beyond the limit.
    fn forget_removals(&mut self) {
        self.cursors.retain(|cursor| cursor.strong_count() > 0);
        let positions = self.cursors.iter().filter_map(Weak::upgrade);
        let passed = positions.map(|cursor| cursor.load(Ordering::Acquire)).min().unwrap_or(self.last);
        let limit = KEPT_REMOVALS.max(self.entries.len() - self.removed.len());
        while let Some(sequence) = self.removed.keys().next().copied() {
            if sequence > passed && self.removed.len() <= limit {
                break;
            }
            if let Some((_, name)) = self.removed.pop_first() {
                self.log.remove(&sequence);
                self.entries.remove(&name);
                self.forgotten = sequence;
            }
        }
    }
}

#[cfg(test)]
mod tests;
