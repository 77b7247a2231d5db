//! What waypoints and gateways do with requests: one resource for each object that a user wrote.
//!
//! Names, permissions and defaults are resolved here. What cannot be resolved travels with its reason, and requests that
//! meet it are answered 500; what no parent accepts does not travel.

mod authentication;
mod authorization;
mod backend_tls;
mod backends;
mod conflicts;
mod delegates;
mod destination_rules;
mod filters;
mod gateways;
mod grpc;
mod hosts;
mod http;
mod layer4;
mod load_balancers;
mod matches;
mod mesh;
mod notes;
mod parents;
mod resilience;
mod shares;
mod targets;
mod telemetry;
mod virtual_destinations;
mod virtual_http;
mod virtual_layer4;
mod virtual_matches;
mod virtual_services;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ambit_kubernetes::Metadata;
use ambit_model::l7::route::{Parent, Route};
use ambit_model::l7::{ObjectKey, ObjectKind, Resource, Target};
use ambit_model::service::ServiceKey;
use ambit_model::table::Table;
use ambit_model::{Service, Text};

use super::objects::Objects;
use super::waypoints::Waypoints;

/// What every waypoint is told but the labels of pods, each under its name; and what is wrong with it, in order.
pub(super) fn resources(view: &View<'_>) -> (BTreeMap<Text, Resource>, Vec<String>) {
    let mut notes = Vec::new();
    let written = &view.objects.gateway_api;
    let mut routes = Vec::new();
    routes.extend(written.grpc.iter().filter_map(|route| grpc::route(route, view, &mut notes)));
    routes.extend(written.http.iter().filter_map(|route| http::route(route, view, &mut notes)));
    routes.extend(written.tls.iter().filter_map(|route| layer4::tls(route, view, &mut notes)));
    routes.extend(written.tcp.iter().filter_map(|route| layer4::tcp(route, view, &mut notes)));
    conflicts::settle(&mut routes, view, &mut notes);
    let taken = routes.iter().flat_map(services_of).cloned().collect();
    routes.extend(virtual_services::routes(view, &taken, &mut notes));
    let mesh = mesh::mesh(view, &mut notes);
    let providers: Vec<Text> = mesh.providers.iter().map(|provider| provider.name.clone()).collect();
    let policies = authorization::policies(view, &providers, &mut notes).into_iter().map(Resource::Policy);
    let gateways = gateways::gateways(view, &mut notes).into_iter().map(Resource::Gateway);
    let mut rules = backend_tls::rules(view, &mut notes);
    rules.extend(destination_rules::rules(view, &mut notes));
    let rules = rules.into_iter();
    let rules = rules.map(|rule| Resource::DestinationRule(Box::new(rule)));
    let resources = routes.into_iter().map(Resource::Route).chain(gateways).chain(rules);
    let authentications = authentication::authentications(view, &mut notes).into_iter();
    let resources = resources.chain(authentications.map(Resource::Authentication));
    let telemetries = telemetry::telemetries(view, &mut notes).into_iter();
    let resources = resources.chain(telemetries.map(Resource::Telemetry));
    let resources = resources.chain(policies).chain([Resource::Mesh(mesh)]);
    notes.sort();
    notes.dedup();
    (resources.map(|resource| (resource.name(), resource)).collect(), notes)
}

/// The services that a route is attached to.
fn services_of(route: &Route) -> impl Iterator<Item = &ServiceKey> {
    route.parents.iter().filter_map(|parent| match &parent.target {
        Target::Service(key) => Some(key),
        _ => None,
    })
}

/// What routes refer to.
pub(super) struct View<'v> {
    pub(super) objects: &'v Objects,
    /// The published services, by key.
    pub(super) services: &'v Table<Text, Arc<Service>>,
    pub(super) waypoints: &'v Waypoints,
    /// The keys of published services, by host.
    hosts: HashMap<Text, Vec<ServiceKey>>,
}

impl<'v> View<'v> {
    pub(super) fn new(
        objects: &'v Objects,
        services: &'v Table<Text, Arc<Service>>,
        waypoints: &'v Waypoints,
    ) -> Self {
        let mut hosts: HashMap<Text, Vec<ServiceKey>> = HashMap::new();
        for (_, service) in services.iter() {
            hosts.entry(service.key.hostname.clone()).or_default().push(service.key.clone());
        }
        Self { objects, services, waypoints, hosts }
    }

    /// The published service of this key.
    fn service(&self, key: &ServiceKey) -> Option<&'v Arc<Service>> {
        self.services.get(&Text::from(key.to_string()))
    }
}

impl View<'_> {
    /// The published Service of this name.
    fn service_of(&self, namespace: &str, name: &str) -> Option<&Arc<Service>> {
        self.service(&self.objects.service_key_of(namespace, name))
    }
}

/// The object that a route is written in.
struct Author<'a> {
    kind: ObjectKind,
    metadata: &'a Metadata,
}

impl Author<'_> {
    fn key(&self) -> ObjectKey {
        ObjectKey::new(self.kind, &self.metadata.namespace, &self.metadata.name)
    }

    /// Its kind, as in `kind:`.
    fn kind(&self) -> String {
        format!("{:?}", self.kind)
    }

    /// When it was made, in seconds since 1970; 0 is not known.
    fn created(&self) -> i64 {
        self.metadata.creation_timestamp.map_or(0, |time| time.as_second())
    }

    /// A route of it, without rules.
    fn route(&self, parents: Vec<Parent>, hostnames: &[String]) -> Route {
        use ambit_model::l7::route::{Layer, Order};
        let foreign = |parent: &Parent| match &parent.target {
            Target::Service(key) => *key.namespace != *self.metadata.namespace,
            _ => false,
        };
        Route {
            key: self.key(),
            created: self.created(),
            consumer: parents.iter().any(foreign),
            parents,
            hostnames: hostnames.iter().map(|name| name.as_str().into()).collect(),
            layer: match self.kind {
                ObjectKind::GRPCRoute => Layer::Grpc,
                ObjectKind::TLSRoute => Layer::Tls,
                ObjectKind::TCPRoute => Layer::Tcp,
                _ => Layer::Http,
            },
            order: Order::Specificity,
            rules: Vec::new(),
        }
    }
}

impl std::fmt::Display for Author<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.metadata.namespace, self.metadata.name)
    }
}
