//! The whole configuration at one moment, indexed for the questions that flows ask.
//!
//! A snapshot is immutable once published: the one writer clones the last one (a few pointers), applies changes and
//! publishes the result. The order in which changes of one batch arrive does not matter to the final state.

mod services;
mod unreadable;
mod workloads;

use std::net::IpAddr;
use std::sync::Arc;

use crate::service::ServiceKey;
use crate::table::Table;
use crate::{Change, NetworkAddress, Policy, Service, Text, Unreadable, Workload};

pub use services::{Endpoint, Endpoints};

/// What an address names.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A workload's own address.
    Workload(Arc<Workload>),
    /// A service's virtual address.
    Service(Arc<Service>),
}

/// An immutable view of all workloads, services and policies.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Only workloads of this node are found by name; `""` indexes all.
    node: Option<Text>,
    workloads: workloads::Workloads,
    services: services::Services,
    unreadable: unreadable::Unreadables,
    policies: Table<Text, Arc<Policy>>,
    /// Policies of a namespace (scope namespace), and under `""` those of the whole mesh.
    scoped: Table<Text, Arc<[Arc<Policy>]>>,
}

impl Snapshot {
    /// An empty snapshot of a proxy on `node`; with `""`, workloads of every node are found by name.
    pub fn new(node: &str) -> Self {
        Self { node: (!node.is_empty()).then(|| node.into()), ..Self::default() }
    }

    /// Applies changes in order.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change {
                Change::Workload(workload) => self.set_workload(Arc::from(workload)),
                Change::Service(service) => self.set_service(Arc::from(service)),
                Change::Policy(policy) => self.set_policy(Arc::from(policy)),
                Change::Unreadable(claim) => self.unreadable.insert(Arc::from(claim)),
                Change::RemoveAddress(key) => self.remove_address(&key),
                Change::RemovePolicy(key) => self.remove_policy(&key),
                // For whoever handles requests; connections are not concerned.
                Change::L7(_) | Change::UnreadableL7(_) | Change::RemoveL7(_) => {}
            }
        }
    }

    /// The workload with this uid.
    pub fn workload(&self, uid: &str) -> Option<&Arc<Workload>> {
        self.workloads.by_uid(uid)
    }

    /// The workload of this node with this namespace and name (what the agent names a pod by).
    pub fn local_workload(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.workloads.by_name(namespace, name)
    }

    /// The workload that owns an address. Host-network workloads own none.
    pub fn workload_at(&self, network: &Text, ip: IpAddr) -> Option<&Arc<Workload>> {
        self.workloads.by_address(&NetworkAddress::new(network.clone(), ip))
    }

    /// The service with this key.
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.by_key(key)
    }

    /// The services with this host name, of any namespace.
    pub fn services_named(&self, hostname: &str) -> &[Arc<Service>] {
        self.services.by_hostname(hostname)
    }

    /// The service that owns a virtual address, as a client in `namespace` sees it: one of that namespace, else the
    /// canonical one, else the first by key. Single addresses win over blocks, longer blocks over shorter ones.
    pub fn service_at(&self, network: &Text, ip: IpAddr, namespace: &str) -> Option<&Arc<Service>> {
        self.services.by_address(&NetworkAddress::new(network.clone(), ip), namespace)
    }

    /// What an address names for a client in `namespace`: a workload before a service (ztunnel's order).
    pub fn destination(&self, network: &Text, ip: IpAddr, namespace: &str) -> Option<Destination> {
        if let Some(workload) = self.workload_at(network, ip) {
            return Some(Destination::Workload(workload.clone()));
        }
        self.service_at(network, ip, namespace).map(|service| Destination::Service(service.clone()))
    }

    /// What claims an address and could not be read, the first by key. It says something only about an address that
    /// names nothing ([`Snapshot::destination`]): a version that could be read stays in force beside an unreadable
    /// newer one, and so does whatever else is known to be at the address.
    pub fn unreadable_at(&self, network: &Text, ip: IpAddr) -> Option<&Arc<Unreadable>> {
        self.unreadable.by_address(&NetworkAddress::new(network.clone(), ip))
    }

    /// The endpoints of a service; empty when none is known.
    pub fn endpoints(&self, key: &ServiceKey) -> &[Endpoint] {
        self.services.endpoints(key)
    }

    /// The policy with this `namespace/name`.
    pub fn policy(&self, key: &str) -> Option<&Arc<Policy>> {
        self.policies.get(key)
    }

    /// The namespace-scoped policies of a namespace; with `""` those of the whole mesh.
    pub fn policies_of(&self, namespace: &str) -> &[Arc<Policy>] {
        self.scoped.get(namespace).map_or(&[], |policies| policies)
    }

    /// All workloads, in no order.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.iter()
    }

    /// All services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.iter()
    }

    /// All policies, in no order.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.iter().map(|(_, policy)| policy)
    }

    fn set_service(&mut self, service: Arc<Service>) {
        self.unreadable.remove(&service.key.to_string());
        self.services.insert(service);
    }

    fn set_workload(&mut self, workload: Arc<Workload>) {
        self.unreadable.remove(&workload.uid);
        let local = self.node.as_ref().is_none_or(|node| *node == workload.node);
        if let Some(old) = self.workloads.insert(workload.clone(), local) {
            self.services.forget_endpoint(&old);
        }
        self.services.add_endpoint(&workload);
    }

    fn remove_address(&mut self, key: &str) {
        self.unreadable.remove(key);
        if let Some(old) = self.workloads.remove(key) {
            self.services.forget_endpoint(&old);
        } else if let Ok(key) = key.parse() {
            self.services.remove(&key);
        }
    }

    fn set_policy(&mut self, policy: Arc<Policy>) {
        self.remove_policy(&policy.key.clone());
        if let Some(scope) = scope_key(&policy) {
            let mut scoped = self.policies_of(&scope).to_vec();
            scoped.push(policy.clone());
            scoped.sort_by(|a, b| a.key.cmp(&b.key));
            self.scoped.insert(scope, scoped.into());
        }
        self.policies.insert(policy.key.clone(), policy);
    }

    fn remove_policy(&mut self, key: &str) {
        let Some(old) = self.policies.remove(key) else { return };
        let Some(scope) = scope_key(&old) else { return };
        let scoped: Vec<_> =
            self.policies_of(&scope).iter().filter(|policy| *policy.key != *key).cloned().collect();
        if scoped.is_empty() {
            self.scoped.remove(&scope);
        } else {
            self.scoped.insert(scope, scoped.into());
        }
    }
}

fn scope_key(policy: &Policy) -> Option<Text> {
    match policy.scope {
        crate::policy::Scope::Global => Some("".into()),
        crate::policy::Scope::Namespace => Some(policy.namespace.clone()),
        crate::policy::Scope::WorkloadSelector => None,
    }
}

#[cfg(test)]
mod tests;
