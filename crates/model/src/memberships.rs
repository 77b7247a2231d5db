//! Which services is a workload an endpoint of, and by which ports?

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::service::{Port, ServiceKey};

/// Ports by service, in the order of the services' keys. There are rarely more than one or two, and a hundred thousand
/// workloads have one each: a sorted slice is smaller than a tree. The ports are shared between workloads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memberships(Box<[Membership]>);

type Membership = (ServiceKey, Arc<[Port]>);

impl Memberships {
    /// The ports for a service, if the workload is one of its endpoints.
    pub fn get(&self, service: &ServiceKey) -> Option<&Arc<[Port]>> {
        let found = self.0.binary_search_by(|(key, _)| key.cmp(service)).ok()?;
        self.0.get(found).map(|(_, ports)| ports)
    }

    /// Whether the workload is an endpoint of a service.
    pub fn contains_key(&self, service: &ServiceKey) -> bool {
        self.get(service).is_some()
    }

    /// Sets the ports for a service.
    pub fn insert(&mut self, service: ServiceKey, ports: impl Into<Arc<[Port]>>) {
        let mut list = std::mem::take(&mut self.0).into_vec();
        match list.binary_search_by(|(key, _)| key.cmp(&service)) {
            Ok(at) => list[at].1 = ports.into(),
            Err(at) => list.insert(at, (service, ports.into())),
        }
        self.0 = list.into();
    }

    /// The services and the ports for each.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<[Port]>)> {
        self.0.iter().map(|(service, ports)| (service, ports))
    }

    /// The services.
    pub fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.0.iter().map(|(service, _)| service)
    }

    /// Whether there is no service.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<P: Into<Arc<[Port]>>> FromIterator<(ServiceKey, P)> for Memberships {
    /// The last ports count where a service is there twice.
    fn from_iter<I: IntoIterator<Item = (ServiceKey, P)>>(services: I) -> Self {
        let mut list: Vec<Membership> =
            services.into_iter().map(|(service, ports)| (service, ports.into())).collect();
        // Stable, so that those of one service stay in order; of them the last is kept.
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list.reverse();
        list.dedup_by(|a, b| a.0 == b.0);
        list.reverse();
        Self(list.into())
    }
}

impl From<BTreeMap<ServiceKey, Vec<Port>>> for Memberships {
    fn from(services: BTreeMap<ServiceKey, Vec<Port>>) -> Self {
        services.into_iter().collect()
    }
}

impl<const N: usize> From<[(ServiceKey, Vec<Port>); N]> for Memberships {
    fn from(services: [(ServiceKey, Vec<Port>); N]) -> Self {
        services.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::service::AppProtocol;

    fn entry() -> impl Strategy<Value = (ServiceKey, Vec<Port>)> {
        let port = |service_port| Port { service_port, target_port: 1, protocol: AppProtocol::Unknown };
        (0u8..6, 0u16..9)
            .prop_map(move |(name, number)| (ServiceKey::new("ns", &format!("s{name}")), vec![port(number)]))
    }

    proptest! {
        #[test]
        fn behaves_like_a_tree(entries in proptest::collection::vec(entry(), 0..12)) {
            let reference: BTreeMap<_, _> = entries.clone().into_iter().collect();
            let mut grown = Memberships::default();
            entries.clone().into_iter().for_each(|(service, ports)| grown.insert(service, ports));
            prop_assert_eq!(&grown, &entries.into_iter().collect());
            prop_assert_eq!(&grown, &Memberships::from(reference.clone()));
            prop_assert!(grown.keys().eq(reference.keys()));
            for name in 0..7 {
                let key = ServiceKey::new("ns", &format!("s{name}"));
                prop_assert_eq!(grown.get(&key).map(|ports| ports.to_vec()), reference.get(&key).cloned());
            }
        }
    }
}
