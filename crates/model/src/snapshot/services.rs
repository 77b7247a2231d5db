//! Services by key, host name and address, and their endpoints.

use std::sync::Arc;

use ipnet::IpNet;

use crate::service::{Port, ServiceAddress, ServiceKey, Visibility};
use crate::table::Table;
use crate::{NetworkAddress, Service, Text, Workload};

/// A workload as an endpoint of one service.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The workload.
    pub workload: Arc<Workload>,
    /// Its ports for the service.
    pub ports: Arc<[Port]>,
}

/// The endpoints of one service, in the order of their workloads' uids.
pub type Endpoints = Arc<Vec<Endpoint>>;

type Claims = Arc<[Arc<Service>]>;

#[derive(Debug, Clone, Default)]
pub(super) struct Services {
    by_key: Table<ServiceKey, Arc<Service>>,
    by_hostname: Table<Text, Claims>,
    by_address: Table<NetworkAddress, Claims>,
    /// Longest prefix first.
    blocks: Arc<Vec<Block>>,
    /// Kept apart from the services: endpoints may be known before their service.
    endpoints: Table<ServiceKey, Endpoints>,
}

#[derive(Debug, Clone)]
struct Block {
    network: Text,
    block: IpNet,
    service: Arc<Service>,
}

impl Services {
    pub(super) fn by_key(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.by_key.get(key)
    }

    pub(super) fn by_hostname(&self, hostname: &str) -> &[Arc<Service>] {
        self.by_hostname.get(hostname).map_or(&[], |services| services)
    }

    pub(super) fn by_address(&self, address: &NetworkAddress, namespace: &str) -> Option<&Arc<Service>> {
        if let Some(service) =
            self.by_address.get(address).and_then(|claims| choose(claims.iter(), namespace))
        {
            return Some(service);
        }
        let hits = || {
            let on_network =
                move |block: &&Block| block.network == address.network && block.block.contains(&address.ip);
            self.blocks.iter().filter(on_network)
        };
        let in_namespace = hits().find(|block| *block.service.key.namespace == *namespace);
        if let Some(block) = in_namespace {
            return Some(&block.service);
        }
        let visible = || hits().filter(|block| visible(&block.service, namespace));
        let longest = visible().next()?.block.prefix_len();
        let same =
            visible().take_while(|block| block.block.prefix_len() == longest).map(|block| &block.service);
        choose(same, namespace)
    }

    pub(super) fn endpoints(&self, key: &ServiceKey) -> &[Endpoint] {
        self.endpoints.get(key).map_or(&[], |endpoints| endpoints)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_key.iter().map(|(_, service)| service)
    }

    pub(super) fn insert(&mut self, service: Arc<Service>) {
        self.remove(&service.key.clone());
        let hostname = service.key.hostname.clone();
        let claims = with(self.by_hostname.get(&hostname), &service);
        self.by_hostname.insert(hostname, claims);
        for address in &service.addresses {
            match address {
                ServiceAddress::Ip(address) => {
                    let claims = with(self.by_address.get(address), &service);
                    self.by_address.insert(address.clone(), claims);
                }
                ServiceAddress::Block(network, block) => {
                    let blocks = Arc::make_mut(&mut self.blocks);
                    blocks.push(Block { network: network.clone(), block: *block, service: service.clone() });
                    blocks.sort_by(|a, b| {
                        let length = b.block.prefix_len().cmp(&a.block.prefix_len());
                        length.then_with(|| a.service.key.cmp(&b.service.key))
                    });
                }
            }
        }
        self.by_key.insert(service.key.clone(), service);
    }

    pub(super) fn remove(&mut self, key: &ServiceKey) {
        let Some(old) = self.by_key.remove(key) else { return };
        drop_claim(&mut self.by_hostname, &old.key.hostname, key);
        for address in &old.addresses {
            match address {
                ServiceAddress::Ip(address) => drop_claim(&mut self.by_address, address, key),
                ServiceAddress::Block(..) => {
                    Arc::make_mut(&mut self.blocks).retain(|block| block.service.key != *key);
                }
            }
        }
    }

    pub(super) fn add_endpoint(&mut self, workload: &Arc<Workload>) {
        for (key, ports) in workload.services.iter() {
            let endpoint = Endpoint { workload: workload.clone(), ports: ports.clone() };
            match self.endpoints.get_mut(key) {
                // Copied when it has been published, and only then: a thousand endpoints in one update are one copy.
                Some(endpoints) => {
                    let endpoints = Arc::make_mut(endpoints);
                    let at = endpoints.partition_point(|endpoint| endpoint.workload.uid < workload.uid);
                    endpoints.insert(at, endpoint);
                }
                None => drop(self.endpoints.insert(key.clone(), Arc::new(vec![endpoint]))),
            }
        }
    }

    pub(super) fn forget_endpoint(&mut self, workload: &Workload) {
        for key in workload.services.keys() {
            let Some(endpoints) = self.endpoints.get_mut(key) else { continue };
            let endpoints = Arc::make_mut(endpoints);
            endpoints.retain(|endpoint| endpoint.workload.uid != workload.uid);
            if endpoints.is_empty() {
                self.endpoints.remove(key);
            }
        }
    }
}

fn visible(service: &Service, namespace: &str) -> bool {
    service.visibility == Visibility::Public || *service.key.namespace == *namespace
}

/// The client's own namespace, else the canonical service, else the first; claims are in the order of their keys.
fn choose<'a>(claims: impl Iterator<Item = &'a Arc<Service>>, namespace: &str) -> Option<&'a Arc<Service>> {
    let rank = |service: &&Arc<Service>| match (*service.key.namespace == *namespace, service.canonical) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    };
    claims.filter(|service| visible(service, namespace)).min_by_key(rank)
}

fn with(claims: Option<&Claims>, service: &Arc<Service>) -> Claims {
    let mut claims: Vec<_> = claims.map(|claims| claims.to_vec()).unwrap_or_default();
    claims.push(service.clone());
    claims.sort_by(|a, b| a.key.cmp(&b.key));
    claims.into()
}

fn drop_claim<K: std::hash::Hash + Eq + Clone>(table: &mut Table<K, Claims>, at: &K, key: &ServiceKey) {
    let Some(claims) = table.get(at) else { return };
    let left: Vec<_> = claims.iter().filter(|service| service.key != *key).cloned().collect();
    if left.is_empty() {
        table.remove(at);
    } else {
        table.insert(at.clone(), left.into());
    }
}
