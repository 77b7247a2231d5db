//! Unreadable workloads and services by key and by address.

use std::sync::Arc;

use ipnet::IpNet;

use crate::service::ServiceAddress;
use crate::table::Table;
use crate::unreadable::Unreadable;
use crate::{NetworkAddress, Text};

/// Those with a common address, in the order of their keys.
type Claims = Arc<[Arc<Unreadable>]>;

#[derive(Debug, Clone, Default)]
pub(super) struct Unreadables {
    by_key: Table<Text, Arc<Unreadable>>,
    by_address: Table<NetworkAddress, Claims>,
    /// In the order of their keys.
    blocks: Arc<Vec<Block>>,
}

#[derive(Debug, Clone)]
struct Block {
    network: Text,
    block: IpNet,
    claim: Arc<Unreadable>,
}

impl Unreadables {
    pub(super) fn by_address(&self, address: &NetworkAddress) -> Option<&Arc<Unreadable>> {
        let single = self.by_address.get(address).and_then(|claims| claims.first());
        single.or_else(|| {
            let covers =
                |block: &&Block| block.network == address.network && block.block.contains(&address.ip);
            self.blocks.iter().find(covers).map(|block| &block.claim)
        })
    }

    pub(super) fn insert(&mut self, claim: Arc<Unreadable>) {
        self.remove(&claim.key);
        for address in &claim.addresses {
            match address {
                ServiceAddress::Ip(address) => {
                    let mut claims: Vec<_> =
                        self.by_address.get(address).map(|claims| claims.to_vec()).unwrap_or_default();
                    claims.push(claim.clone());
                    claims.sort_by(|a, b| a.key.cmp(&b.key));
                    self.by_address.insert(address.clone(), claims.into());
                }
                ServiceAddress::Block(network, block) => {
                    let blocks = Arc::make_mut(&mut self.blocks);
                    blocks.push(Block { network: network.clone(), block: *block, claim: claim.clone() });
                    blocks.sort_by(|a, b| a.claim.key.cmp(&b.claim.key));
                }
            }
        }
        self.by_key.insert(claim.key.clone(), claim);
    }

    pub(super) fn remove(&mut self, key: &str) {
        let Some(old) = self.by_key.remove(key) else { return };
        for address in &old.addresses {
            match address {
                ServiceAddress::Ip(address) => self.drop_claim(address, key),
                ServiceAddress::Block(..) => {
                    Arc::make_mut(&mut self.blocks).retain(|block| *block.claim.key != *key);
                }
            }
        }
    }

    fn drop_claim(&mut self, address: &NetworkAddress, key: &str) {
        let Some(claims) = self.by_address.get(address) else { return };
        let left: Vec<_> = claims.iter().filter(|claim| *claim.key != *key).cloned().collect();
        if left.is_empty() {
            self.by_address.remove(address);
        } else {
            self.by_address.insert(address.clone(), left.into());
        }
    }
}
