//! Workloads by uid, by address and by name.

use std::sync::Arc;

use crate::table::Table;
use crate::workload::NetworkMode;
use crate::{NetworkAddress, Text, Workload};

/// Workloads with a common address, newest last: while an address moves from one pod to the next, both may be known
/// for a moment, and the newer one is the truth.
type Claims = Arc<[Arc<Workload>]>;

#[derive(Debug, Clone, Default)]
pub(super) struct Workloads {
    by_uid: Table<Text, Arc<Workload>>,
    by_address: Table<NetworkAddress, Claims>,
    by_name: Table<Text, Arc<Workload>>,
}

fn name_key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl Workloads {
    pub(super) fn by_uid(&self, uid: &str) -> Option<&Arc<Workload>> {
        self.by_uid.get(uid)
    }

    pub(super) fn by_name(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.by_name.get(name_key(namespace, name).as_str())
    }

    pub(super) fn by_address(&self, address: &NetworkAddress) -> Option<&Arc<Workload>> {
        self.by_address.get(address)?.last()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_uid.iter().map(|(_, workload)| workload)
    }

    /// Sets a workload and returns the one it replaced.
    pub(super) fn insert(&mut self, workload: Arc<Workload>, local: bool) -> Option<Arc<Workload>> {
        let old = self.remove(&workload.uid);
        for address in indexed(&workload) {
            let claims = self.by_address.get(&address).into_iter().flat_map(|claims| claims.iter().cloned());
            let claims: Claims = claims.chain([workload.clone()]).collect();
            self.by_address.insert(address, claims);
        }
        if local {
            self.by_name.insert(name_key(&workload.namespace, &workload.name).into(), workload.clone());
        }
        self.by_uid.insert(workload.uid.clone(), workload);
        old
    }

    pub(super) fn remove(&mut self, uid: &str) -> Option<Arc<Workload>> {
        let old = self.by_uid.remove(uid)?;
        for address in indexed(&old) {
            let claims = self.by_address.get(&address).into_iter().flat_map(|claims| claims.iter());
            let claims: Vec<_> = claims.filter(|claim| *claim.uid != *uid).cloned().collect();
            if claims.is_empty() {
                self.by_address.remove(&address);
            } else {
                self.by_address.insert(address, claims.into());
            }
        }
        let name = name_key(&old.namespace, &old.name);
        if self.by_name.get(name.as_str()).is_some_and(|named| *named.uid == *uid) {
            self.by_name.remove(name.as_str());
        }
        Some(old)
    }
}

fn indexed(workload: &Workload) -> Vec<NetworkAddress> {
    match workload.network_mode {
        NetworkMode::HostNetwork => Vec::new(),
        NetworkMode::Standard => {
            workload.addresses.iter().map(|ip| NetworkAddress::new(workload.network.clone(), *ip)).collect()
        }
    }
}
