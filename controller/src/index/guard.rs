//! Past a waypoint with policies there is no way: who is not the waypoint is denied at the pods behind it.
//!
//! A waypoint's AuthorizationPolicies are worth nothing while a client may dial the pods themselves. So the endpoints of
//! each service to which such a policy applies get a DENY policy of their own, on the ports of that service, for every
//! peer that does not prove a waypoint's identity. Its name has a `_`, which no user's object has. Istio's node proxy
//! enforces it as ours does; Istio itself leaves this to its users (docs/decisions/0016-through-the-waypoint.md).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use ambit_kubernetes::{Action as Written, AuthorizationPolicy, Pod};
use ambit_model::policy::{Action, Clause, Match, Rule, Scope, StringMatch};
use ambit_model::service::ServiceKey;
use ambit_model::table::Table;
use ambit_model::workload::{Gateway, GatewayDestination};
use ambit_model::{Policy, Service, Text, Workload};

use super::entries::keys;
use super::objects::Objects;
use super::ports::{pod_ports, slice_ports};
use super::waypoints::{Waypoint, Waypoints};

/// The policies, by what they guard.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Guard {
    /// The endpoints of services.
    services: BTreeMap<ServiceKey, Policy>,
    /// The pods that are bound themselves, by the key of their waypoint.
    bound: BTreeMap<ServiceKey, Policy>,
}

impl Guard {
    /// `services` are those that are published.
    pub(super) fn new(
        objects: &Objects,
        waypoints: &Waypoints,
        services: &Table<Text, Arc<Service>>,
    ) -> Self {
        let targets = Targets::new(objects);
        let mut guard = Self::default();
        if targets.is_empty() {
            return guard;
        }
        // Who comes through the waypoint of another guarded service of the namespace has passed that one's policies.
        let mut allowed: BTreeMap<Text, BTreeSet<Text>> = BTreeMap::new();
        let guarded: Vec<&Arc<Service>> = services
            .iter()
            .map(|(_, service)| service)
            .filter(|service| targets.reach(service, waypoints))
            .collect();
        for service in &guarded {
            let own = service.waypoints.iter().filter_map(|(gateway, _)| waypoint_of(gateway, waypoints));
            let own = own.flat_map(|waypoint| waypoint.principals(&objects.mesh.trust_domain));
            allowed.entry(service.key.namespace.clone()).or_default().extend(own);
        }
        for service in guarded {
            let namespace = &service.key.namespace;
            let suffix = format!(".{namespace}.svc.{}", objects.mesh.cluster_domain);
            // A host of a ServiceEntry is its own name.
            let name = service.key.hostname.strip_suffix(&suffix).unwrap_or(&service.key.hostname);
            let key = format!("{namespace}/ambit_through_waypoint_{name}").into();
            let from = allowed.get(namespace).cloned().unwrap_or_default();
            let ports = ports(service, namespace, name, objects);
            guard.services.insert(service.key.clone(), policy(key, namespace, from, ports));
        }
        for waypoint in waypoints.iter().filter(|waypoint| targets.cover(waypoint)) {
            let namespace = &waypoint.key.namespace;
            let key = format!("{namespace}/ambit_through_gateway_{}", waypoint.gateway.metadata.name).into();
            let from = waypoint.principals(&objects.mesh.trust_domain);
            guard.bound.insert(waypoint.key.clone(), policy(key, namespace, from, BTreeSet::new()));
        }
        guard
    }

    pub(super) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.services.values().chain(self.bound.values())
    }

    /// Adds to a workload's list the policies that guard it.
    pub(super) fn attach(&self, workload: &mut Workload) {
        let services = workload.services.keys().filter_map(|key| self.services.get(key));
        let through = workload.waypoint.as_ref().and_then(|gateway| self.bound.get(service_of(gateway)?));
        let keys: Vec<Text> = services.chain(through).map(|policy| policy.key.clone()).collect();
        for key in keys {
            if let Err(at) = workload.policies.binary_search(&key) {
                workload.policies.insert(at, key);
            }
        }
    }

    /// The namespaces of services, and the waypoints of pods, that one of two guards and the other does not.
    pub(super) fn differing(&self, other: &Self) -> (BTreeSet<Text>, BTreeSet<ServiceKey>) {
        fn one_sided<'k>(
            one: &'k BTreeMap<ServiceKey, Policy>,
            other: &'k BTreeMap<ServiceKey, Policy>,
        ) -> impl Iterator<Item = &'k ServiceKey> {
            let gone = one.keys().filter(|key| !other.contains_key(key));
            gone.chain(other.keys().filter(|key| !one.contains_key(key)))
        }
        (
            one_sided(&self.services, &other.services).map(|key| key.namespace.clone()).collect(),
            one_sided(&self.bound, &other.bound).cloned().collect(),
        )
    }
}

/// What policies that a waypoint enforces are attached to.
#[derive(Default)]
struct Targets<'o> {
    services: HashSet<ServiceKey>,
    gateways: HashSet<(&'o str, &'o str)>,
    classes: HashSet<&'o str>,
}

impl<'o> Targets<'o> {
    fn new(objects: &'o Objects) -> Self {
        let mut all = Self::default();
        for policy in objects.authorization.iter().filter(|policy| refuses(policy)) {
            let namespace = policy.metadata.namespace.as_str();
            for target in policy.spec.targets() {
                match target.kind.as_str() {
                    "Service" => {
                        all.services.insert(objects.service_key_of(namespace, &target.name));
                    }
                    "ServiceEntry" => {
                        let entry = objects.istio.service_entries.get(namespace, &target.name);
                        all.services.extend(entry.into_iter().flat_map(|entry| keys(entry)));
                    }
                    "Gateway" => {
                        all.gateways.insert((namespace, &target.name));
                    }
                    "GatewayClass" if namespace == objects.mesh.root_namespace => {
                        all.classes.insert(&target.name);
                    }
                    _ => {}
                }
            }
        }
        all
    }

    fn is_empty(&self) -> bool {
        self.services.is_empty() && self.gateways.is_empty() && self.classes.is_empty()
    }

    /// Whether a policy applies to what goes to a service through its waypoints.
    fn reach(&self, service: &Service, waypoints: &Waypoints) -> bool {
        let covered =
            |gateway: &Gateway| waypoint_of(gateway, waypoints).is_some_and(|waypoint| self.cover(waypoint));
        let through = service.waypoints.iter().any(|(gateway, _)| covered(gateway));
        through || (!service.waypoints.is_empty() && self.services.contains(&service.key))
    }

    /// Whether a policy applies to all that goes through a waypoint.
    fn cover(&self, waypoint: &Waypoint) -> bool {
        let metadata = &waypoint.gateway.metadata;
        self.gateways.contains(&(metadata.namespace.as_str(), metadata.name.as_str()))
            || self.classes.contains(waypoint.gateway.spec.gateway_class_name.as_str())
    }
}

/// Whether a policy can refuse anything.
fn refuses(policy: &AuthorizationPolicy) -> bool {
    policy.spec.action != Written::Audit && !policy.is_dry_run()
}

fn service_of(gateway: &Gateway) -> Option<&ServiceKey> {
    match &gateway.destination {
        GatewayDestination::Service(key) => Some(key),
        GatewayDestination::Address(_) => None,
    }
}

fn waypoint_of<'w>(gateway: &Gateway, waypoints: &'w Waypoints) -> Option<&'w Arc<Waypoint>> {
    waypoints.behind(service_of(gateway)?)
}

/// The ports of a service's pods: those that it says itself, and what its names and slices come to.
fn ports(service: &Service, namespace: &str, name: &str, objects: &Objects) -> BTreeSet<u16> {
    let mut ports: BTreeSet<u16> = service.ports.iter().map(|port| port.target_port).collect();
    let named = ports.remove(&0);
    let Some(written) = objects.services.get(namespace, name) else { return ports };
    if written.spec.selector.is_empty() {
        let slices = objects.slices.of(namespace).filter(|slice| slice.service_name() == Some(name));
        ports.extend(slices.flat_map(|slice| slice_ports(written, slice)).map(|port| port.target_port));
    } else if named {
        let behind = |pod: &&Arc<Pod>| written.selects(&pod.metadata.labels);
        let pods = objects.pods.of(namespace).filter(behind);
        ports.extend(pods.flat_map(|pod| pod_ports(written, pod)).map(|port| port.target_port));
    }
    ports
}

/// Denies whoever is none of `allowed`, on these ports, or on all where none is given.
fn policy(key: Text, namespace: &Text, allowed: BTreeSet<Text>, ports: BTreeSet<u16>) -> Policy {
    let mut clauses = Vec::new();
    if !allowed.is_empty() {
        let not_principals = allowed.into_iter().map(StringMatch::Exact).collect();
        clauses.push(Clause { matches: vec![Match { not_principals, ..Match::default() }] });
    }
    if !ports.is_empty() {
        let destination_ports = ports.into_iter().collect();
        clauses.push(Clause { matches: vec![Match { destination_ports, ..Match::default() }] });
    }
    Policy {
        key,
        namespace: namespace.clone(),
        scope: Scope::WorkloadSelector,
        action: Action::Deny,
        rules: vec![Rule { clauses, undecodable: None }],
        dry_run: false,
        unusable: None,
    }
}
