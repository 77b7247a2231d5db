//! From objects to tables.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::route::Route;
use ambit_model::l7::{Resource, Target, Unreadable};
use ambit_model::service::ServiceKey;
use ambit_policy::request::{Authenticator, Place, PolicySet, RouteTable, Scope};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use super::book::{Affected, Book};
use super::obeyable::{asks_for_tls, obeyable};
use super::{InForce, ServiceRules};

/// A host that no service has: what applies to it applies to every service that is not named.
const NOBODY: &str = "";

impl Book {
    /// What is in force after a change, with the tables that it does not affect as they were.
    pub(super) fn compile(&mut self, before: &InForce, affected: &Affected) -> InForce {
        let mut next = before.clone();
        if affected.everything {
            next.mesh = self.mesh().into();
            next.tls = self.hosts_with_tls();
            self.compile_all(&mut next);
        } else {
            let named = self.named_services();
            for key in &affected.services {
                if named.contains(key) {
                    let rules = self.rules(Some(key), &next);
                    next.services.insert(key.clone(), rules.into());
                } else {
                    next.services.remove(key);
                }
            }
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
            let rules = self.rules(Some(&key), next);
            next.services.insert(key, rules.into());
        }
        for namespace in self.named_namespaces() {
            let rules = self.rules(Some(&ServiceKey::new(&namespace, NOBODY)), next);
            next.namespaces.insert(namespace, rules.into());
        }
        next.rest = self.rules(Some(&ServiceKey::new("", NOBODY)), next).into();
        next.workloads = self.rules(None, next).into();
    }

    fn hosts_with_tls(&self) -> Arc<[Text]> {
        let host = |resource: &Resource| match resource {
            Resource::DestinationRule(rule) if asks_for_tls(rule) => Some(rule.host.clone()),
            _ => None,
        };
        self.resources.values().filter_map(host).collect()
    }

    fn targets(&self) -> impl Iterator<Item = Target> {
        let readable = self.resources.values().flat_map(Resource::targets);
        readable.chain(self.unreadable.values().flat_map(|each| each.targets.iter().cloned()))
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

    /// What applies to a service; without one, to workloads that are asked for by their address.
    fn rules(&mut self, service: Option<&ServiceKey>, next: &InForce) -> ServiceRules {
        let Self { resources, unreadable, patterns, gateway, class, .. } = self;
        let scope = Scope { service, gateway: (&gateway.0, &gateway.1), class };
        let applies = |resource: &&Resource| scope.is_targeted(&resource.targets());
        let unreadable: Vec<&Unreadable> =
            unreadable.values().filter(|each| scope.is_targeted(&each.targets)).collect();
        let unreadable = || unreadable.iter().copied();
        let policies = resources.values().filter(applies).filter_map(|resource| match resource {
            Resource::Policy(policy) => Some(policy),
            _ => None,
        });
        let authentications = resources.values().filter(applies).filter_map(|resource| match resource {
            Resource::Authentication(authentication) => Some(authentication),
            _ => None,
        });
        let routes: Vec<Arc<Route>> = resources
            .values()
            .filter(applies)
            .filter_map(|resource| match resource {
                Resource::Route(route) => Some(Arc::new(obeyable(route))),
                _ => None,
            })
            .collect();
        let ports: BTreeSet<u16> =
            routes.iter().flat_map(|route| route.parents.iter().filter_map(|parent| parent.port)).collect();
        let mut table = |port| match service {
            Some(key) => RouteTable::compile(&Place::service(key, port), &routes, unreadable(), patterns),
            None => RouteTable::default(),
        };
        let ports: HashMap<u16, RouteTable> = ports.into_iter().map(|port| (port, table(port))).collect();
        // No parent names port 0: what is left are the routes for every port.
        let routes = table(0);
        ServiceRules {
            policies: PolicySet::compile(policies, unreadable(), &next.mesh),
            authenticator: Authenticator::compile(authentications, unreadable(), &DEFAULT_PROVIDER),
            ports,
            routes,
        }
    }
}
