//! Routes of different kinds on one port of a service: one kind alone is used (GEP-1294).

use std::collections::HashMap;

use ambit_model::Text;
use ambit_model::l7::Target;
use ambit_model::l7::route::{Layer, Parent, Route};
use ambit_model::service::ServiceKey;

use super::View;
use crate::index::condition::unmet;

/// A port of a service as clients see it: all of them, or those of one namespace, for which consumer routes are.
type Place = (ServiceKey, u16, Option<Text>);

/// Takes away the ports on which a kind that goes before is attached: GRPCRoute, HTTPRoute, TLSRoute, TCPRoute. A route
/// that has no port left is taken out.
pub(super) fn settle(routes: &mut Vec<Route>, view: &View<'_>, notes: &mut Vec<String>) {
    let mut first: HashMap<Place, Layer> = HashMap::new();
    for route in routes.iter() {
        for parent in &route.parents {
            for place in places(route, parent, view) {
                let winner = first.entry(place).or_insert(route.layer);
                if rank(route.layer) < rank(*winner) {
                    *winner = route.layer;
                }
            }
        }
    }
    for route in routes.iter_mut() {
        let mut kept = Vec::with_capacity(route.parents.len());
        for parent in &route.parents {
            let (free, taken): (Vec<Place>, Vec<Place>) = places(route, parent, view)
                .partition(|place| first.get(place).is_none_or(|winner| *winner == route.layer));
            if taken.is_empty() {
                kept.push(parent.clone());
                continue;
            }
            for (service, port, _) in &taken {
                let author = format!("{:?} {}/{}", route.key.kind, route.key.namespace, route.key.name);
                let text = format!("port {port} of {service} has routes of a kind that goes before it");
                notes.push(unmet(author, "Accepted", "Conflicted", text));
            }
            kept.extend(free.into_iter().map(|(_, port, _)| Parent { port: Some(port), ..parent.clone() }));
        }
        route.parents = kept;
    }
    routes.retain(|route| !route.parents.is_empty());
}

fn rank(layer: Layer) -> u8 {
    match layer {
        Layer::Grpc => 0,
        Layer::Http => 1,
        Layer::Tls => 2,
        Layer::Tcp => 3,
    }
}

/// The ports of a service that a route is attached to by a parent.
fn places<'r>(route: &'r Route, parent: &'r Parent, view: &'r View<'_>) -> impl Iterator<Item = Place> + 'r {
    let service = match &parent.target {
        Target::Service(key) => view.service(key),
        _ => None,
    };
    let audience = route.is_consumer_of(&parent.target).then(|| route.key.namespace.clone());
    service.into_iter().flat_map(move |service| {
        let audience = audience.clone();
        let ports = service.ports.iter().map(|port| port.service_port);
        let attached = ports.filter(|port| parent.port.is_none_or(|only| only == *port));
        attached.map(move |port| (service.key.clone(), port, audience.clone()))
    })
}
