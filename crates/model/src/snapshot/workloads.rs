//! Workloads by uid, by address and by name.

use std::net::IpAddr;
use std::sync::Arc;

use crate::table::Table;
use crate::workload::NetworkMode;
use crate::{NetworkAddress, Text, Workload};

/// Workloads with a common address: while an address moves from one pod to the next, both may be known for a moment,
/// and the newer one is the truth.
#[derive(Debug, Clone)]
enum Claims {
    /// As good as always.
    One(Arc<Workload>),
    /// At least two, newest last.
    Several(Arc<[Arc<Workload>]>),
}

impl Claims {
    fn new(claims: Vec<Arc<Workload>>) -> Option<Self> {
        match <[_; 1]>::try_from(claims) {
            Ok([only]) => Some(Self::One(only)),
            Err(none) if none.is_empty() => None,
            Err(several) => Some(Self::Several(several.into())),
        }
    }

    fn all(&self) -> &[Arc<Workload>] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Several(several) => several,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Workloads {
    by_uid: Table<Text, Arc<Workload>>,
    /// By network, of which there are few, so that no entry repeats its name.
    by_address: Table<Text, Table<IpAddr, Claims>>,
    by_name: Table<Text, Arc<Workload>>,
}

fn name_key(namespace: &str, name: &str) -> String {
    let mut key = String::with_capacity(namespace.len() + 1 + name.len());
    key.push_str(namespace);
    key.push('/');
    key.push_str(name);
    key
}

impl Workloads {
    pub(super) fn by_uid(&self, uid: &str) -> Option<&Arc<Workload>> {
        self.by_uid.get(uid)
    }

    pub(super) fn by_name(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.by_name.get(name_key(namespace, name).as_str())
    }

    pub(super) fn by_address(&self, address: &NetworkAddress) -> Option<&Arc<Workload>> {
        self.claims(address)?.all().last()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_uid.iter().map(|(_, workload)| workload)
    }

    /// Sets a workload and returns the one it replaced. An address that it already had keeps its place among the
    /// claims: an update of the older pod must not take the address back from the newer one.
    pub(super) fn insert(&mut self, workload: Arc<Workload>, local: bool) -> Option<Arc<Workload>> {
        let old = self.by_uid.get(&workload.uid).cloned();
        let addresses = indexed(&workload);
        if let Some(old) = &old {
            for address in indexed(old).iter().filter(|address| !addresses.contains(address)) {
                self.drop_claim(address, &old.uid);
            }
            self.drop_name(old);
        }
        for address in addresses {
            self.claim(address, &workload);
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
            self.drop_claim(&address, uid);
        }
        self.drop_name(&old);
        Some(old)
    }

    fn claims(&self, address: &NetworkAddress) -> Option<&Claims> {
        self.by_address.get(&address.network)?.get(&address.ip)
    }

    fn claim(&mut self, address: NetworkAddress, workload: &Arc<Workload>) {
        let known = self.claims(&address);
        let mut claims = known.map(|claims| claims.all().to_vec()).unwrap_or_default();
        match claims.iter_mut().find(|claim| claim.uid == workload.uid) {
            Some(claim) => *claim = workload.clone(),
            None => claims.push(workload.clone()),
        }
        self.set_claims(&address, claims);
    }

    fn drop_claim(&mut self, address: &NetworkAddress, uid: &str) {
        let claims = self.claims(address).into_iter().flat_map(|claims| claims.all().iter());
        let left: Vec<_> = claims.filter(|claim| *claim.uid != *uid).cloned().collect();
        self.set_claims(address, left);
    }

    fn set_claims(&mut self, address: &NetworkAddress, claims: Vec<Arc<Workload>>) {
        if self.by_address.get(&address.network).is_none() {
            self.by_address.insert(address.network.clone(), Table::default());
        }
        let Some(network) = self.by_address.get_mut(&address.network) else { return };
        match Claims::new(claims) {
            Some(claims) => drop(network.insert(address.ip, claims)),
            None => drop(network.remove(&address.ip)),
        }
        if network.is_empty() {
            self.by_address.remove(&address.network);
        }
    }

    fn drop_name(&mut self, old: &Workload) {
        let name = name_key(&old.namespace, &old.name);
        if self.by_name.get(name.as_str()).is_some_and(|named| named.uid == old.uid) {
            self.by_name.remove(name.as_str());
        }
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
