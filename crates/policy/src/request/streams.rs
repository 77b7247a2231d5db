//! Which rule of the TLS and TCP routes attached to one port does a connection match? (Gateway API TLSRoute and TCPRoute,
//! the `tls` and `tcp` lists of VirtualService)
//!
//! As for requests: consumer routes before producer routes, Gateway API before VirtualService. TLS rules, which name a
//! server, go before TCP rules. Of a TLSRoute's hosts the longest counts; of rules that are equal, those of the oldest
//! route, by name, in their order.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::Unreadable;
use ambit_model::l7::route::{Layer, Match, Order, Route};
use ambit_model::policy::block_contains;

use super::client::{Client, Destination};
use super::expression::Patterns;
use super::routes::Place;
use super::routes::names::covers;
use super::rule::CompiledRule;
use super::scope::is_about_routes;

/// What a table says about a connection.
#[derive(Debug, Clone, Copy)]
pub enum StreamOutcome<'t> {
    /// No route is attached for this client: the connection goes to the service itself.
    NoRoutes,
    /// Routes are attached and none matches: the connection is closed.
    NoMatch,
    /// A route that is attached cannot be read, for this reason: the connection is closed.
    Unreadable(&'t Text),
    /// This rule.
    Rule(&'t Arc<CompiledRule>),
}

/// The TLS and TCP routes of one place, compiled.
#[derive(Debug, Default)]
pub struct StreamTable {
    unreadable: Option<Text>,
    producers: Vec<Entry>,
    consumers: HashMap<Text, Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// A server name (`*.` allowed in front) that the connection must ask for.
    hostname: Option<Text>,
    each: Match,
    rule: Arc<CompiledRule>,
}

impl StreamTable {
    /// Compiles those of `routes` that are attached to `place` and are about connections.
    pub fn compile<'a>(
        place: &Place,
        routes: impl IntoIterator<Item = &'a Arc<Route>>,
        unreadable: impl IntoIterator<Item = &'a Unreadable>,
        patterns: &mut Patterns,
    ) -> Self {
        let refuses = |each: &&Unreadable| is_about_routes(each) && place.is_targeted(&each.targets);
        let unreadable = unreadable.into_iter().find(refuses).map(|each| each.reason.clone());
        let mut producers = Vec::new();
        let mut consumers: HashMap<Text, Vec<Arc<Route>>> = HashMap::new();
        for route in routes {
            let connections = matches!(route.layer, Layer::Tls | Layer::Tcp);
            if !connections || !route.parents.iter().any(|parent| place.is_in(parent)) {
                continue;
            }
            match place.is_consumed_by(route) {
                true => consumers.entry(route.key.namespace.clone()).or_default().push(route.clone()),
                false => producers.push(route.clone()),
            }
        }
        let consumers =
            consumers.into_iter().map(|(namespace, routes)| (namespace, entries(routes, patterns)));
        Self { unreadable, consumers: consumers.collect(), producers: entries(producers, patterns) }
    }

    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        self.unreadable.is_none() && self.producers.is_empty() && self.consumers.is_empty()
    }

    /// The rule for a connection. Its server name is [`Destination::server_name`].
    pub fn route(&self, client: &Client, destination: &Destination) -> StreamOutcome<'_> {
        if let Some(reason) = &self.unreadable {
            return StreamOutcome::Unreadable(reason);
        }
        let own = client.namespace().and_then(|namespace| self.consumers.get(namespace));
        let entries = own.unwrap_or(&self.producers);
        if entries.is_empty() {
            return StreamOutcome::NoRoutes;
        }
        match entries.iter().find(|entry| entry.holds(client, destination)) {
            Some(entry) => StreamOutcome::Rule(&entry.rule),
            None => StreamOutcome::NoMatch,
        }
    }
}

/// All matches, in the order in which they count.
fn entries(mut routes: Vec<Arc<Route>>, patterns: &mut Patterns) -> Vec<Entry> {
    if routes.iter().any(|route| route.order == Order::Specificity) {
        routes.retain(|route| route.order == Order::Specificity);
    }
    let name = |route: &Route| format!("{}/{}", route.key.namespace, route.key.name);
    routes.sort_by_cached_key(|route| (route.layer == Layer::Tcp, route.created, name(route)));
    let mut entries = Vec::new();
    for route in &routes {
        let hostnames = match route.layer {
            Layer::Tls if route.order == Order::Specificity && !route.hostnames.is_empty() => {
                route.hostnames.iter().cloned().map(Some).collect()
            }
            _ => vec![None],
        };
        for index in 0..route.rules.len() {
            let rule = Arc::new(CompiledRule::compile(route.clone(), index, None, patterns));
            let everything = [Match::default()];
            let matches = &rule.rule().matches;
            let matches = if matches.is_empty() { &everything[..] } else { matches };
            for (each, hostname) in
                matches.iter().flat_map(|each| hostnames.iter().map(move |name| (each, name)))
            {
                entries.push(Entry { hostname: hostname.clone(), each: each.clone(), rule: rule.clone() });
            }
        }
    }
    // Stable: where no host is named, or hosts are alike, the order of routes and rules stays.
    let host = |entry: &Entry| {
        entry.hostname.as_ref().map_or((false, 0), |name| (!name.starts_with('*'), name.len()))
    };
    entries.sort_by_key(|entry| (entry.rule.route().layer == Layer::Tcp, Reverse(host(entry))));
    entries
}

impl Entry {
    fn holds(&self, client: &Client, destination: &Destination) -> bool {
        let each = &self.each;
        let asks_for =
            |name: &Text| destination.server_name.as_ref().is_some_and(|asked| covers(name, asked));
        let gateway = destination.gateway.as_deref().unwrap_or("mesh");
        let in_block = |block| destination.ip.is_some_and(|ip| block_contains(block, ip));
        self.hostname.as_ref().is_none_or(asks_for)
            && (each.server_names.is_empty() || each.server_names.iter().any(asks_for))
            && each.port.is_none_or(|port| port == destination.port)
            && each.source_namespace.as_ref().is_none_or(|namespace| client.namespace() == Some(namespace))
            && each.source_labels.iter().all(|label| client.labels.contains(label))
            && (each.gateways.is_empty() || each.gateways.iter().any(|each| **each == *gateway))
            && (each.destination_blocks.is_empty() || each.destination_blocks.iter().any(in_block))
    }
}

#[cfg(test)]
mod tests {
    use ambit_model::l7::route::{Action, Parent, Rule};
    use ambit_model::l7::{ObjectKey, ObjectKind, Target};
    use ambit_model::service::ServiceKey;

    use super::*;
    use crate::request::sample::{client, destination};

    fn key() -> ServiceKey {
        ServiceKey::new("shop", "db.shop.svc.cluster.local")
    }

    fn route(name: &str, layer: Layer, order: Order, hostnames: &[&str], rules: &[Match]) -> Route {
        let rules = rules.iter().enumerate().map(|(at, each)| Rule {
            name: Some(format!("{name}-{at}").into()),
            matches: vec![each.clone()],
            ..Rule::new(Action::Forward(Vec::new()))
        });
        Route {
            key: ObjectKey::new(ObjectKind::TCPRoute, "shop", name),
            created: 0,
            parents: vec![Parent { target: Target::Service(key()), port: None, section: None }],
            hostnames: hostnames.iter().map(|name| (*name).into()).collect(),
            layer,
            order,
            consumer: false,
            rules: rules.collect(),
        }
    }

    fn answer(routes: &[Route], server_name: Option<&str>, client: &Client) -> String {
        let routes: Vec<_> = routes.iter().cloned().map(Arc::new).collect();
        let place = Place::service(&key(), 80);
        let table = StreamTable::compile(&place, &routes, [], &mut Patterns::default());
        let destination = Destination { server_name: server_name.map(Into::into), ..destination() };
        match table.route(client, &destination) {
            StreamOutcome::NoRoutes => "none".to_owned(),
            StreamOutcome::NoMatch => "closed".to_owned(),
            StreamOutcome::Unreadable(reason) => reason.to_string(),
            StreamOutcome::Rule(rule) => rule.rule().name.as_deref().unwrap_or_default().to_owned(),
        }
    }

    fn all() -> Match {
        Match::default()
    }

    #[test]
    fn server_names_go_before_bytes() {
        let gateway = Order::Specificity;
        let routes = [
            route("tcp", Layer::Tcp, gateway, &[], &[all()]),
            route("wide", Layer::Tls, gateway, &["*.org"], &[all()]),
            route("exact", Layer::Tls, gateway, &["a.b.org", "x.com"], &[all()]),
            route("narrow", Layer::Tls, gateway, &["*.b.org"], &[all()]),
        ];
        let ask = |name| answer(&routes, name, &client("shop"));
        assert_eq!(ask(Some("a.b.org")), "exact-0");
        assert_eq!(ask(Some("c.b.org")), "narrow-0");
        assert_eq!(ask(Some("b.org")), "wide-0");
        assert_eq!(ask(Some("x.com")), "exact-0");
        assert_eq!(ask(Some("y.com")), "tcp-0");
        assert_eq!(ask(None), "tcp-0");
        assert_eq!(answer(&routes[1..], None, &client("shop")), "closed");
        assert_eq!(answer(&[], None, &client("shop")), "none");
        assert_eq!(
            answer(&[route("http", Layer::Http, gateway, &[], &[all()])], None, &client("shop")),
            "none"
        );
    }

    #[test]
    fn lists_are_read_from_the_top() {
        let listed = |matches: &[Match]| [route("vs", Layer::Tcp, Order::Listed, &[], matches)];
        let label = (Text::from("app"), Text::from("web"));
        let labelled = Client { labels: vec![label.clone()], ..client("shop") };
        let matches = [
            Match { port: Some(81), ..all() },
            Match { source_labels: vec![label], ..all() },
            Match { source_namespace: Some("web".into()), ..all() },
            Match {
                destination_blocks: vec!["10.96.0.0/16".parse().unwrap()],
                gateways: vec!["mesh".into()],
                ..all()
            },
        ];
        assert_eq!(answer(&listed(&matches), None, &labelled), "vs-1");
        assert_eq!(answer(&listed(&matches), None, &client("web")), "vs-2");
        assert_eq!(answer(&listed(&matches), None, &client("shop")), "vs-3");
        assert_eq!(answer(&listed(&matches[..1]), None, &client("shop")), "closed");
        let both = [listed(&[all()])[0].clone(), route("gw", Layer::Tcp, Order::Specificity, &[], &[all()])];
        assert_eq!(answer(&both, None, &client("shop")), "gw-0");
    }

    #[test]
    fn consumers_see_their_own() {
        let mut own = Route { consumer: true, ..route("own", Layer::Tcp, Order::Specificity, &[], &[all()]) };
        own.key.namespace = "web".into();
        let routes = [own, route("producer", Layer::Tcp, Order::Specificity, &[], &[all()])];
        assert_eq!(answer(&routes, None, &client("web")), "own-0");
        assert_eq!(answer(&routes, None, &client("shop")), "producer-0");
    }

    #[test]
    fn the_oldest_goes_first() {
        let dated =
            |name, created| Route { created, ..route(name, Layer::Tcp, Order::Specificity, &[], &[all()]) };
        assert_eq!(answer(&[dated("a", 2), dated("b", 1)], None, &client("shop")), "b-0");
        assert_eq!(answer(&[dated("b", 1), dated("a", 1)], None, &client("shop")), "a-0");
    }

    #[test]
    fn what_cannot_be_read_closes() {
        let unreadable = Unreadable {
            name: "TCPRoute/a/b".into(),
            targets: vec![Target::Service(key())],
            reason: "newer".into(),
        };
        let place = Place::service(&key(), 80);
        let table = StreamTable::compile(&place, [], [&unreadable], &mut Patterns::default());
        assert!(matches!(table.route(&client("a"), &destination()), StreamOutcome::Unreadable(_)));
    }
}
