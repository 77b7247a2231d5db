//! What objects may not have in common, counted: whether a set is consistent is known after a change without looking at
//! what did not change.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use crate::{DEFAULT_NAMESPACE, Kind, Loaded, Object, ROOT_NAMESPACE};

/// What one object has to itself, as [`crate::validate_set`] demands.
#[derive(Hash)]
enum Claim<'a> {
    Name(Kind, &'a str, &'a str),
    Uid(&'a str),
    PodAddress(IpAddr),
    Netns(&'a str),
    ServiceAddress(IpAddr),
}

/// The claims of all files. Kept as numbers: equal claims have equal numbers, and different ones hardly ever.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    hasher: RandomState,
    owners: HashMap<u64, u32>,
    /// Claims with more than one owner.
    shared: usize,
    namespaces: BTreeMap<String, Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    declared: usize,
    used: usize,
}

/// What one file adds.
#[derive(Debug, Default)]
pub(crate) struct OfFile {
    claims: Box<[u64]>,
    namespaces: BTreeMap<String, Uses>,
}

impl Claims {
    /// Whether [`crate::validate_set`] may find something: it does not where this says no.
    pub(crate) fn doubtful(&self) -> bool {
        let known = |name: &str| name == DEFAULT_NAMESPACE || name == ROOT_NAMESPACE;
        let lost = |(name, uses): (&String, &Uses)| uses.used > 0 && uses.declared == 0 && !known(name);
        self.shared > 0 || self.namespaces.iter().any(lost)
    }

    pub(crate) fn add(&mut self, objects: &[Loaded]) -> OfFile {
        let (mut all, mut file) = (Vec::new(), OfFile::default());
        for loaded in objects {
            all.extend(self.numbers(loaded));
            let metadata = loaded.object.metadata();
            if loaded.object.kind() == Kind::Namespace {
                uses(&mut file.namespaces, &metadata.name).declared += 1;
            } else if loaded.object.kind().is_namespaced() {
                uses(&mut file.namespaces, &metadata.namespace).used += 1;
            }
        }
        file.claims = all.into();
        for number in &file.claims {
            let owners = self.owners.entry(*number).or_default();
            *owners += 1;
            self.shared += usize::from(*owners == 2);
        }
        for (name, added) in &file.namespaces {
            let uses = uses(&mut self.namespaces, name);
            uses.declared += added.declared;
            uses.used += added.used;
        }
        file
    }

    pub(crate) fn remove(&mut self, file: OfFile) {
        for number in &file.claims {
            let Some(owners) = self.owners.get_mut(number) else { continue };
            *owners -= 1;
            self.shared -= usize::from(*owners == 1);
            if *owners == 0 {
                self.owners.remove(number);
            }
        }
        for (name, removed) in &file.namespaces {
            let Some(uses) = self.namespaces.get_mut(name) else { continue };
            uses.declared -= removed.declared;
            uses.used -= removed.used;
            if uses.declared == 0 && uses.used == 0 {
                self.namespaces.remove(name);
            }
        }
    }

    /// The claims of one object, each once: what it says twice it shares with nobody.
    fn numbers(&self, loaded: &Loaded) -> Vec<u64> {
        let metadata = loaded.object.metadata();
        let mut claims = vec![Claim::Name(loaded.object.kind(), &metadata.namespace, &metadata.name)];
        match &loaded.object {
            Object::Pod(pod) if !pod.is_terminal() => {
                claims.extend(pod.metadata.uid.as_deref().map(Claim::Uid));
                if !pod.spec.host_network {
                    claims.extend(pod.addresses().into_iter().map(Claim::PodAddress));
                    claims.extend(pod.netns().map(Claim::Netns));
                }
            }
            Object::Service(service) => {
                claims.extend(service.addresses().into_iter().map(Claim::ServiceAddress));
            }
            _ => {}
        }
        let mut numbers: Vec<u64> = claims.iter().map(|claim| self.hasher.hash_one(claim)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

fn uses<'a>(namespaces: &'a mut BTreeMap<String, Uses>, name: &str) -> &'a mut Uses {
    if !namespaces.contains_key(name) {
        namespaces.insert(name.to_owned(), Uses::default());
    }
    namespaces.entry(name.to_owned()).or_default()
}
