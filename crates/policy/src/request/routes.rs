//! Which rule of the routes attached to one port of a service (or one listener of a gateway) does a request match?
//!
//! A table is compiled once from the routes and never changes. It answers by an index over exact paths and path prefixes;
//! what no index covers is compared one by one, and only while it would go before what has been found.
//!
//! - Clients of a namespace that has consumer routes for the service see these, all others its producer routes.
//! - Gateway API routes go before VirtualServices, which are not used beside them.
//! - gRPC rules go before HTTP rules.
//! - Of Gateway API routes the most specific match over all of them counts, of VirtualServices the first in the list.
//! - A rule that cannot be obeyed matches where it is written, and is answered 500. A condition of it that cannot be
//!   read is taken to hold.

mod condition;
mod index;
pub(super) mod names;
mod path;
mod precedence;
mod set;

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::route::{Layer, Parent, Route};
use ambit_model::l7::{Target, Unreadable};
use ambit_model::service::ServiceKey;

use super::canonical::Request;
use super::expression::Patterns;
use super::rule::CompiledRule;
use super::scope::is_about_routes;
use set::Set;

/// What routes are attached to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    target: Target,
    port: u16,
    listener: Option<Text>,
}

impl Place {
    /// A port of a service.
    pub fn service(key: &ServiceKey, port: u16) -> Self {
        Self { target: Target::Service(key.clone()), port, listener: None }
    }

    /// A listener of a gateway.
    pub fn listener(namespace: &Text, gateway: &Text, listener: &Text, port: u16) -> Self {
        let target = Target::Gateway { namespace: namespace.clone(), name: gateway.clone() };
        Self { target, port, listener: Some(listener.clone()) }
    }

    /// Hosts that are no service of the mesh, on a port.
    pub fn mesh(port: u16) -> Self {
        Self { target: Target::Mesh, port, listener: None }
    }

    /// Whether this is (a part of) what a parent names. A parent that names a listener does not mean a service.
    pub fn is_in(&self, parent: &Parent) -> bool {
        self.target == parent.target
            && parent.port.is_none_or(|port| port == self.port)
            && parent.section.as_ref().is_none_or(|section| self.listener.as_ref() == Some(section))
    }

    /// Whether one of an object's targets is this, on any port.
    pub fn is_targeted(&self, targets: &[Target]) -> bool {
        targets.contains(&self.target)
    }

    /// Whether only clients of the route's own namespace see it here.
    pub(super) fn is_consumed_by(&self, route: &Route) -> bool {
        route.is_consumer_of(&self.target)
    }

    /// Host names of routes are conditions at gateways, and for hosts that are no service.
    fn by_hostname(&self) -> bool {
        !matches!(self.target, Target::Service(_))
    }
}

/// What a table says about a request.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'t> {
    /// No route is attached for this client: the request goes to the service itself.
    NoRoutes,
    /// Routes are attached and none matches: 404.
    NoMatch,
    /// A route that is attached cannot be read, for this reason: 500.
    Unreadable(&'t Text),
    /// This rule.
    Rule {
        /// The rule.
        rule: &'t Arc<CompiledRule>,
        /// How many bytes of the path its path match took, for rewrites of the prefix.
        taken: usize,
    },
}

/// The routes of one place, compiled.
#[derive(Debug, Default)]
pub struct RouteTable {
    unreadable: Option<Text>,
    producers: Set,
    consumers: HashMap<Text, Set>,
}

impl RouteTable {
    /// Compiles those of `routes` that are attached to `place` and are about requests. `patterns` may be shared by
    /// tables, so that equal expressions are compiled once.
    pub fn compile<'a>(
        place: &Place,
        routes: impl IntoIterator<Item = &'a Arc<Route>>,
        unreadable: impl IntoIterator<Item = &'a Unreadable>,
        patterns: &mut Patterns,
    ) -> Self {
        let refuses = |each: &&Unreadable| is_about_routes(each) && place.is_targeted(&each.targets);
        let unreadable = unreadable.into_iter().find(refuses);
        let mut producers = Vec::new();
        let mut consumers: HashMap<Text, Vec<Arc<Route>>> = HashMap::new();
        for route in routes {
            let requests = matches!(route.layer, Layer::Http | Layer::Grpc);
            if !requests || !route.parents.iter().any(|parent| place.is_in(parent)) {
                continue;
            }
            let set = match route.is_consumer_of(&place.target) {
                true => consumers.entry(route.key.namespace.clone()).or_default(),
                false => &mut producers,
            };
            set.push(route.clone());
        }
        let by_hostname = place.by_hostname();
        let consumers = consumers.into_iter();
        Self {
            unreadable: unreadable.map(|each| each.reason.clone()),
            producers: Set::compile(producers, by_hostname, patterns),
            consumers: consumers
                .map(|(namespace, set)| (namespace, Set::compile(set, by_hostname, patterns)))
                .collect(),
        }
    }

    /// The rule for a request.
    pub fn route(&self, request: &Request) -> Outcome<'_> {
        if let Some(reason) = &self.unreadable {
            return Outcome::Unreadable(reason);
        }
        let namespace = request.client.namespace();
        let own = namespace.and_then(|namespace| self.consumers.get(namespace));
        let set = own.unwrap_or(&self.producers);
        if set.is_empty() {
            return Outcome::NoRoutes;
        }
        match set.find(request) {
            Some((rule, taken)) => Outcome::Rule { rule, taken },
            None => Outcome::NoMatch,
        }
    }
}

#[cfg(test)]
mod tests;
