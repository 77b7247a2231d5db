//! What a client means by a name when it asks for single resources instead of everything (Istio `XDS_ON_DEMAND`).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ambit_model::l7::Resource;
use ambit_model::service::ServiceAddress;
use ambit_model::workload::NetworkMode;
use ambit_model::{NetworkAddress, Service, Text, Workload};
use ambit_xds::Kind;
use ambit_xds::server::Lookup;
use parking_lot::RwLock;

use crate::index::{Delta, Difference};

/// The names of an index: addresses `network/ip` of workloads and services, services, which bring the workloads
/// behind them, and nodes ([`on_node`]). Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The workloads behind each service, whether the service is there or not.
    behind: HashMap<Text, BTreeSet<Text>>,
    /// The services that are there.
    services: HashSet<Text>,
    /// The services by their addresses.
    virtual_addresses: HashMap<Text, BTreeSet<Text>>,
    /// The workloads by their own addresses.
    addresses: HashMap<Text, BTreeSet<Text>>,
    /// The workloads by what stands for their nodes.
    nodes: HashMap<Text, BTreeSet<Text>>,
    /// Who serves each Gateway with listeners of its own: service accounts of its namespace.
    gateways: HashMap<Text, Vec<Text>>,
}

impl Names {
    /// Names what is published from now on. Before it is published, so that who is told of a change finds it.
    pub fn update(&self, delta: &Delta) {
        let mut known = self.0.write();
        for difference in &delta.workloads {
            for (workload, is_there) in sides(difference) {
                known.workload(workload, is_there);
            }
        }
        for difference in &delta.services {
            for (service, is_there) in sides(difference) {
                known.service(&difference.name, service, is_there);
            }
        }
        for difference in &delta.l7 {
            match difference.new.as_deref() {
                Some(Resource::Gateway(gateway)) => {
                    known.gateways.insert(difference.name.clone(), gateway.accounts.clone());
                }
                _ => drop(known.gateways.remove(&difference.name)),
            }
        }
    }

    /// Whether a service account of its namespace serves the Gateway of this name on the wire.
    pub fn serves(&self, gateway: &str, account: &str) -> bool {
        let known = self.0.read();
        known.gateways.get(gateway).is_some_and(|accounts| accounts.iter().any(|each| **each == *account))
    }
}

/// What goes, then what comes.
fn sides<T>(difference: &Difference<T>) -> impl Iterator<Item = (&T, bool)> {
    let old = difference.old.iter().map(|old| (&**old, false));
    old.chain(difference.new.iter().map(|new| (&**new, true)))
}

impl Known {
    fn workload(&mut self, workload: &Workload, is_there: bool) {
        for service in workload.services.keys() {
            put(&mut self.behind, service.to_string().into(), &workload.uid, is_there);
        }
        put(&mut self.nodes, on_node(&workload.node), &workload.uid, is_there);
        if workload.network_mode == NetworkMode::Standard {
            for ip in &workload.addresses {
                let address = NetworkAddress::new(workload.network.clone(), *ip);
                put(&mut self.addresses, text(&address), &workload.uid, is_there);
            }
        }
    }

    fn service(&mut self, name: &Text, service: &Service, is_there: bool) {
        if is_there {
            self.services.insert(name.clone());
        } else {
            self.services.remove(name);
        }
        for address in &service.addresses {
            if let ServiceAddress::Ip(address) = address {
                put(&mut self.virtual_addresses, text(address), name, is_there);
            }
        }
    }

    fn resolve(&self, asked: &Text) -> Option<Vec<Text>> {
        // A workload's own address goes before a service's that is equal.
        if let Some(uids) = self.addresses.get(asked).or_else(|| self.nodes.get(asked)) {
            return Some(uids.iter().cloned().collect());
        }
        let by_address = self.virtual_addresses.get(asked).and_then(BTreeSet::first);
        let service = by_address.or_else(|| self.services.get(asked))?;
        let behind = self.behind.get(service).into_iter().flatten();
        Some([service].into_iter().chain(behind).cloned().collect())
    }
}

fn put(names: &mut HashMap<Text, BTreeSet<Text>>, name: Text, resource: &Text, is_there: bool) {
    if is_there {
        names.entry(name).or_default().insert(resource.clone());
    } else if let Some(resources) = names.get_mut(&name) {
        resources.remove(resource);
        if resources.is_empty() {
            names.remove(&name);
        }
    }
}

impl Lookup for Names {
    fn resolve(&self, kind: Kind, asked: &Text) -> Vec<Text> {
        let named = match kind {
            Kind::Address => self.0.read().resolve(asked),
            Kind::Authorization | Kind::L7 => None,
        };
        named.unwrap_or_else(|| vec![asked.clone()])
    }
}

/// The name that stands for all workloads of a node. A proxy needs those of its own, and does not ask for them.
pub fn on_node(node: &str) -> Text {
    format!("node:{node}").into()
}

fn text(address: &NetworkAddress) -> Text {
    address.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_model::service::ServiceKey;

    #[test]
    fn addresses_and_services_stand_for_what_a_client_needs() {
        let key = ServiceKey::new("shop", "cart.shop.svc.cluster.local");
        let mut service = Service::new("cart", key.clone());
        let ip = |text: &str| NetworkAddress::new("".into(), text.parse().unwrap());
        service.addresses = vec![ServiceAddress::Ip(ip("10.96.0.1"))];
        let workload = |uid: &str, address: &str, mode| {
            let mut workload = Workload::new(uid, uid, "shop").unwrap();
            workload.addresses = vec![address.parse().unwrap()];
            workload.network_mode = mode;
            workload.services = [(key.clone(), Vec::new())].into();
            workload.node = if uid == "c" { "n2".into() } else { "n1".into() };
            workload
        };
        let workloads = vec![
            workload("a", "10.0.0.1", NetworkMode::Standard),
            workload("b", "fd00::1", NetworkMode::Standard),
            workload("c", "192.0.2.1", NetworkMode::HostNetwork),
        ];
        let names = Names::default();
        let come = |workload: Workload| Difference {
            name: workload.uid.clone(),
            old: None,
            new: Some(Arc::new(workload)),
        };
        let service = Arc::new(service);
        let named = Difference { name: key.to_string().into(), old: None, new: Some(service.clone()) };
        names.update(&Delta {
            workloads: workloads.into_iter().map(come).collect(),
            services: vec![named],
            policies: Vec::new(),
            l7: Vec::new(),
        });
        let resolve = |asked: &str| {
            let resources = names.resolve(Kind::Address, &asked.into());
            resources.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let whole = ["shop/cart.shop.svc.cluster.local", "a", "b", "c"];
        assert_eq!(resolve("shop/cart.shop.svc.cluster.local"), whole);
        assert_eq!(resolve("/10.96.0.1"), whole);
        assert_eq!(resolve("/10.0.0.1"), ["a"]);
        assert_eq!(resolve("/fd00::1"), ["b"]);
        assert_eq!(resolve("/192.0.2.1"), ["/192.0.2.1"], "a node's address names no workload");
        assert_eq!(resolve("a"), ["a"]);
        assert_eq!(resolve(&on_node("n1")), ["a", "b"]);
        assert_eq!(resolve(&on_node("n3")), ["node:n3"], "no resource has this name");
        assert_eq!(names.resolve(Kind::Authorization, &"/10.0.0.1".into()), ["/10.0.0.1".into()]);
        let other = Arc::new(workload("a", "10.0.0.9", NetworkMode::Standard));
        let before = Arc::new(workload("a", "10.0.0.1", NetworkMode::Standard));
        let moved = Difference { name: "a".into(), old: Some(before), new: Some(other) };
        let gone = Difference { name: key.to_string().into(), old: Some(service), new: None };
        names.update(&Delta {
            workloads: vec![moved],
            services: vec![gone],
            policies: Vec::new(),
            l7: Vec::new(),
        });
        let resolve = |asked: &str| names.resolve(Kind::Address, &asked.into());
        assert_eq!(resolve("/10.0.0.9"), ["a".into()]);
        for nobody in ["/10.0.0.1", "/10.96.0.1", "shop/cart.shop.svc.cluster.local"] {
            assert_eq!(resolve(nobody), [nobody.into()]);
        }
    }
}
