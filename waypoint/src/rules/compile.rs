//! From objects to tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::destination_rule::{DestinationRule, TrafficPolicy};
use ambit_model::l7::gateway::{Listener as WrittenListener, Protocol};
use ambit_model::l7::route::Route;
use ambit_model::l7::{ObjectKey, ObjectKind, Resource, Target, Unreadable};
use ambit_model::service::ServiceKey;
use ambit_policy::request::{Authenticator, Place, PolicySet, RouteTable, Scope, StreamTable, TrafficRules};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use super::book::{Affected, Book};
use super::listeners::{Listener, Listeners};
use super::telemetry::log_from;
use super::{InForce, ServiceRules};

/// What rules are for.
#[derive(Clone, Copy)]
enum Subject<'a> {
    /// Requests for a service.
    Service(&'a ServiceKey),
    /// Requests for workloads by their address.
    Workloads,
    /// Requests to a listener of the Gateway.
    Listener(&'a WrittenListener),
}

/// A host that no service has: what applies to it applies to every service that is not named.
const NOBODY: &str = "";

impl Book {
    /// What is in force after a change, with the tables that it does not affect as they were.
    pub(super) fn compile(&mut self, before: &InForce, affected: &Affected) -> InForce {
        let mut next = before.clone();
        if affected.everything {
            next.mesh = self.mesh().into();
            self.compile_all(&mut next);
        } else {
            let named = self.named_services();
            for key in &affected.services {
                if named.contains(key) {
                    let rules = self.rules(Subject::Service(key), &next);
                    next.services.insert(key.clone(), rules.into());
                } else {
                    next.services.remove(key);
                }
            }
        }
        if affected.everything || affected.listeners {
            // The Gateway says of which class it is.
            next.workloads = self.rules(Subject::Workloads, &next).into();
            next.listeners = self.listeners(&next).into();
        }
        if affected.traffic {
            next.traffic = TrafficRules::new(self.traffic()).into();
        }
        for workload in &affected.labels {
            match self.resources.get(&*format!("Labels/{workload}")) {
                Some(Resource::Labels(labels)) => {
                    next.labels.insert(workload.clone(), labels.labels.as_slice().into());
                }
                _ => drop(next.labels.remove(workload)),
            }
        }
        self.patterns.trim();
        next
    }

    fn compile_all(&mut self, next: &mut InForce) {
        next.services = ambit_model::table::Table::default();
        next.namespaces = ambit_model::table::Table::default();
        for key in self.named_services() {
            let rules = self.rules(Subject::Service(&key), next);
            next.services.insert(key, rules.into());
        }
        for namespace in self.named_namespaces() {
            let rules = self.rules(Subject::Service(&ServiceKey::new(&namespace, NOBODY)), next);
            next.namespaces.insert(namespace, rules.into());
        }
        next.rest = self.rules(Subject::Service(&ServiceKey::new("", NOBODY)), next).into();
    }

    /// How services are called. What is called by a rule that cannot be read cannot be called.
    fn traffic(&self) -> impl Iterator<Item = Arc<DestinationRule>> {
        let readable = self.resources.values().filter_map(|resource| match resource {
            Resource::DestinationRule(rule) => Some(Arc::new((**rule).clone())),
            _ => None,
        });
        let unreadable = self.unreadable.values().filter(|each| is_about_calls(each));
        readable.chain(unreadable.flat_map(|each| each.targets.iter().map(|target| refusal(each, target))))
    }

    fn targets(&self) -> impl Iterator<Item = Target> {
        let about_requests = |resource: &&Resource| !matches!(resource, Resource::DestinationRule(_));
        let readable = self.resources.values().filter(about_requests).flat_map(Resource::targets);
        let unreadable = self.unreadable.values().filter(|each| !is_about_calls(each));
        readable.chain(unreadable.flat_map(|each| each.targets.iter().cloned()))
    }

    fn named_services(&self) -> BTreeSet<ServiceKey> {
        let service = |target| match target {
            Target::Service(key) => Some(key),
            _ => None,
        };
        self.targets().filter_map(service).collect()
    }

    fn named_namespaces(&self) -> BTreeSet<Text> {
        let namespace = |target| match target {
            Target::Namespace(namespace) => Some(namespace),
            _ => None,
        };
        self.targets().filter_map(namespace).collect()
    }

    /// The listeners of this proxy's own Gateway.
    fn listeners(&mut self, next: &InForce) -> Listeners {
        let Some(gateway) = self.own_gateway() else { return Listeners::default() };
        let written = gateway.listeners.clone();
        let listener = |written: &WrittenListener| {
            let listener = Listener {
                name: written.name.clone(),
                protocol: written.protocol,
                hostname: written.hostname.clone(),
                rules: self.rules(Subject::Listener(written), next).into(),
                certificate: next.listeners.present(&written.name, &written.certificates),
            };
            (written.port, listener)
        };
        // Of what else a Gateway may listen for nothing is served here.
        let served =
            written.iter().filter(|written| matches!(written.protocol, Protocol::Http | Protocol::Https));
        Listeners::new(served.map(listener))
    }

    /// What applies to a subject.
    fn rules(&mut self, subject: Subject<'_>, next: &InForce) -> ServiceRules {
        let class = self.class();
        let Self { resources, unreadable, patterns, gateway, .. } = self;
        let service = match subject {
            Subject::Service(key) => Some(key),
            Subject::Workloads | Subject::Listener(_) => None,
        };
        let place = |port: u16| match subject {
            Subject::Service(key) => Some(Place::service(key, port)),
            Subject::Workloads => None,
            Subject::Listener(one) => Some(Place::listener(&gateway.0, &gateway.1, &one.name, one.port)),
        };
        let scope = Scope { service, gateway: (&gateway.0, &gateway.1), class: &class };
        let applies = |resource: &&Resource| scope.is_targeted(&resource.targets());
        let unreadable: Vec<&Unreadable> =
            unreadable.values().filter(|each| scope.is_targeted(&each.targets)).collect();
        let unreadable = || unreadable.iter().copied();
        let policies = || {
            resources.values().filter(applies).filter_map(|resource| match resource {
                Resource::Policy(policy) => Some(policy),
                _ => None,
            })
        };
        let authentications = resources.values().filter(applies).filter_map(|resource| match resource {
            Resource::Authentication(authentication) => Some(authentication),
            _ => None,
        });
        let routes: Vec<Arc<Route>> = resources
            .values()
            .filter(applies)
            .filter_map(|resource| match resource {
                Resource::Route(route) => Some(Arc::new(route.clone())),
                _ => None,
            })
            .collect();
        let ports: BTreeSet<u16> = match subject {
            // It has one, which is in its place.
            Subject::Listener(_) => BTreeSet::new(),
            Subject::Service(_) | Subject::Workloads => {
                let parents = routes.iter().flat_map(|route| &route.parents);
                parents.filter_map(|parent| parent.port).collect()
            }
        };
        let mut table = |port| match place(port) {
            Some(place) => RouteTable::compile(&place, &routes, unreadable(), patterns),
            None => RouteTable::default(),
        };
        // No parent names port 0: what is left are the routes for every port, or those of the listener.
        let (for_ports, for_all) = (ports.iter().map(|port| (*port, table(*port))).collect(), table(0));
        let mut streams = |port| match place(port) {
            Some(place) => StreamTable::compile(&place, &routes, unreadable(), patterns),
            None => StreamTable::default(),
        };
        let (stream_ports, all_streams) =
            (ports.iter().map(|port| (*port, streams(*port))).collect(), streams(0));
        let telemetry = resources.values().filter(applies).filter_map(|resource| match resource {
            Resource::Telemetry(telemetry) => Some(telemetry),
            _ => None,
        });
        ServiceRules {
            log_from: log_from(telemetry, &scope),
            policies: PolicySet::compile(policies(), unreadable(), &next.mesh),
            stream_policies: PolicySet::compile_streams(policies(), unreadable(), &next.mesh),
            authenticator: Authenticator::compile(authentications, unreadable(), &DEFAULT_PROVIDER),
            ports: for_ports,
            routes: for_all,
            stream_ports,
            streams: all_streams,
        }
    }
}

/// Whether an object that cannot be read says how services are called.
pub(super) fn is_about_calls(unreadable: &Unreadable) -> bool {
    let kind = unreadable.name.split('/').next().unwrap_or_default();
    matches!(kind, "DestinationRule" | "BackendTLSPolicy" | "XBackendTrafficPolicy")
}

/// A rule that refuses what one that cannot be read is about.
fn refusal(unreadable: &Unreadable, target: &Target) -> Arc<DestinationRule> {
    let (namespace, host): (Text, Text) = match target {
        Target::Service(key) => (key.namespace.clone(), key.hostname.clone()),
        _ => ("".into(), "*".into()),
    };
    let name = unreadable.name.rsplit('/').next().unwrap_or_default();
    Arc::new(DestinationRule {
        key: ObjectKey::new(ObjectKind::DestinationRule, &namespace, name),
        created: 0,
        host,
        visible_to: Vec::new(),
        policy: TrafficPolicy::default(),
        ports: Vec::new(),
        subsets: Vec::new(),
        invalid: Some(unreadable.reason.clone()),
    })
}
