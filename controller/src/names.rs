//! What a client means by a name when it asks for single resources instead of everything (Istio `XDS_ON_DEMAND`).

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::service::{ServiceAddress, ServiceKey};
use ambit_model::workload::NetworkMode;
use ambit_model::{NetworkAddress, Text};
use ambit_xds::Kind;
use ambit_xds::server::Lookup;
use arc_swap::ArcSwap;

use crate::index::Index;

/// The names of an index: addresses `network/ip` of workloads and services, services, which bring the workloads
/// behind them, and nodes ([`on_node`]). Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<ArcSwap<HashMap<Text, Vec<Text>>>>);

impl Names {
    /// Names what is in this index from now on. Before the index is published, so that who is told of a change finds it.
    pub fn replace(&self, index: &Index) {
        let mut behind: HashMap<&ServiceKey, Vec<Text>> = HashMap::new();
        for workload in &index.workloads {
            for service in workload.services.keys() {
                behind.entry(service).or_default().push(workload.uid.clone());
            }
        }
        let mut names: HashMap<Text, Vec<Text>> = HashMap::new();
        for workload in &index.workloads {
            names.entry(on_node(&workload.node)).or_default().push(workload.uid.clone());
        }
        for service in &index.services {
            let key: Text = service.key.to_string().into();
            let mut resources = vec![key.clone()];
            resources.extend(behind.remove(&service.key).unwrap_or_default());
            for address in &service.addresses {
                if let ServiceAddress::Ip(address) = address {
                    names.insert(text(address), resources.clone());
                }
            }
            names.insert(key, resources);
        }
        // A workload's own address goes before a service's that is equal.
        let owners = index.workloads.iter().filter(|workload| workload.network_mode == NetworkMode::Standard);
        for workload in owners {
            for ip in &workload.addresses {
                let address = NetworkAddress::new(workload.network.clone(), *ip);
                names.insert(text(&address), vec![workload.uid.clone()]);
            }
        }
        self.0.store(Arc::new(names));
    }
}

impl Lookup for Names {
    fn resolve(&self, kind: Kind, asked: &Text) -> Vec<Text> {
        let named = match kind {
            Kind::Address => self.0.load().get(asked).cloned(),
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
    use ambit_model::{Service, Workload};

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
        names.replace(&Index { workloads, services: vec![service], ..Index::default() });
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
    }
}
