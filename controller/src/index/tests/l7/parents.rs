//! What routes are attached to, and what does not accept them.

use ambit_model::l7::Target;
use ambit_model::l7::route::Parent;
use ambit_model::service::ServiceKey;

use super::{Index, mesh, object};

fn route(kind: &str, name: &str, parents: &str) -> String {
    object(kind, name, &format!("parentRefs: [{parents}]"))
}

fn cart(port: Option<u16>) -> Parent {
    service("shop", "cart", port)
}

fn service(namespace: &str, name: &str, port: Option<u16>) -> Parent {
    let key = ServiceKey::new(namespace, &format!("{name}.{namespace}.svc.cluster.local"));
    Parent { target: Target::Service(key), port, section: None }
}

#[track_caller]
fn left_out(index: &Index, note: &str) {
    assert_eq!(index.routes().count(), 0);
    assert_eq!(index.told(), [note]);
}

#[test]
fn services_by_name_port_and_name_of_a_port() {
    for (reference, port) in [
        ("", None),
        (", port: 7070", Some(7070)),
        (", sectionName: grpc", Some(7070)),
        (", sectionName: grpc, port: 7070", Some(7070)),
    ] {
        let index =
            mesh(&route("HTTPRoute", "r", &format!("{{group: '', kind: Service, name: cart{reference}}}")));
        assert_eq!(index.route("r").parents, [cart(port)], "{reference}");
        assert_eq!(index.told(), [""; 0]);
    }
    for (reference, reason) in [
        ("name: car", "Service shop/car: there is no such Service that is published"),
        ("name: cart, port: 81", "Service shop/cart: it has no port 81"),
        ("name: cart, sectionName: web", "Service shop/cart: it has no port named \"web\""),
        (
            "name: cart, sectionName: http, port: 7070",
            "Service shop/cart: its sectionName and port are two ports",
        ),
    ] {
        let index = mesh(&route("HTTPRoute", "r", &format!("{{group: '', kind: Service, {reference}}}")));
        left_out(&index, &format!("HTTPRoute shop/r: Accepted=False (NoMatchingParent): parent {reason}"));
    }
    let index = mesh(&route("HTTPRoute", "r", "{group: apps, kind: Deployment, name: cart}"));
    left_out(
        &index,
        "HTTPRoute shop/r: Accepted=False (InvalidKind): parent Deployment shop/cart: Deployment of group \"apps\" is no parent here; use a Gateway or Service",
    );
}

#[test]
fn a_route_of_a_service_without_waypoint_has_no_effect_and_says_so() {
    let more = "{apiVersion: v1, kind: Service, metadata: {name: bare, namespace: shop, labels: {istio.io/use-waypoint: none}}, spec: {ports: [{port: 80}]}}\n---\n";
    let index = mesh(&format!("{more}{}", route("HTTPRoute", "r", "{group: '', kind: Service, name: bare}")));
    assert_eq!(index.route("r").parents, [service("shop", "bare", None)]);
    assert_eq!(
        index.told(),
        [
            "HTTPRoute shop/r: ResolvedWaypoints=False (MissingUseWaypointLabel): Service shop/bare is bound to no waypoint, so the route has no effect; label it istio.io/use-waypoint"
        ]
    );
}

#[test]
fn a_route_of_another_namespaces_service_is_its_own_clients() {
    let both =
        "{group: '', kind: Service, name: cart}, {group: '', kind: Service, name: stock, namespace: store}";
    let index = mesh(&route("HTTPRoute", "r", both));
    let found = index.route("r");
    assert!(found.consumer);
    assert!(!found.is_consumer_of(&found.parents[0].target));
    assert!(found.is_consumer_of(&found.parents[1].target));
    let index = mesh(&route("HTTPRoute", "r", "{group: '', kind: Service, name: cart}"));
    assert!(!index.route("r").consumer);
}

#[test]
fn of_two_kinds_on_one_port_one_is_used() {
    let http = route("HTTPRoute", "h", "{group: '', kind: Service, name: cart}");
    let conflict = |kind: &str, name: &str, port: u16| {
        format!(
            "{kind} shop/{name}: Accepted=False (Conflicted): port {port} of shop/cart.shop.svc.cluster.local has routes of a kind that goes before it"
        )
    };
    // On one port: the other keeps the rest.
    let grpc = route("GRPCRoute", "g", "{group: '', kind: Service, name: cart, port: 7070}");
    let index = mesh(&format!("{http}{grpc}"));
    assert_eq!(index.route("g").parents, [cart(Some(7070))]);
    assert_eq!(index.route("h").parents, [cart(Some(80))]);
    assert_eq!(index.told(), [conflict("HTTPRoute", "h", 7070)]);
    // On all: it has none left.
    let index = mesh(&format!("{http}{}", route("GRPCRoute", "g", "{group: '', kind: Service, name: cart}")));
    assert_eq!(index.routes().count(), 1);
    assert_eq!(index.told(), [conflict("HTTPRoute", "h", 7070), conflict("HTTPRoute", "h", 80)]);
    // Neither of two of one kind is in the way of the other.
    let index = mesh(&format!("{http}{}", route("HTTPRoute", "i", "{group: '', kind: Service, name: cart}")));
    assert_eq!((index.routes().count(), index.told().len()), (2, 0));
    // TCP is last.
    let tcp = object(
        "TCPRoute",
        "t",
        "parentRefs: [{group: '', kind: Service, name: cart, port: 80}]\nrules: [{backendRefs: [{name: cart, port: 80}]}]",
    );
    let index = mesh(&format!("{tcp}{http}"));
    assert_eq!(index.told(), [conflict("TCPRoute", "t", 80)]);
    assert_eq!(index.routes().count(), 1);
    // What one namespace's clients see is no conflict with what all others see.
    let consumer = route("GRPCRoute", "g", "{group: '', kind: Service, name: cart}")
        .replace("namespace: shop", "namespace: store")
        .replace("name: cart}", "name: cart, namespace: shop}");
    let index = mesh(&format!("{http}{consumer}"));
    assert_eq!((index.routes().count(), index.told().len()), (2, 0), "{:?}", index.told());
}

fn gateway(listeners: &str) -> String {
    object("Gateway", "gate", &format!("gatewayClassName: ambit\nlisteners: [{listeners}]"))
}

fn listener(name: &str, port: u16) -> Parent {
    let target = Target::Gateway { namespace: "shop".into(), name: "gate".into() };
    Parent { target, port: Some(port), section: Some(name.into()) }
}

#[test]
fn gateways_by_listener_namespace_kind_and_host_name() {
    let two = "{name: a, port: 80, protocol: HTTP, hostname: '*.a.com'}, {name: b, port: 81, protocol: HTTP}";
    let with = |listeners: &str, reference: &str, hostnames: &str| {
        let spec = format!("parentRefs: [{{name: gate{reference}}}]{hostnames}");
        mesh(&format!("{}{}", gateway(listeners), object("HTTPRoute", "r", &spec)))
    };
    assert_eq!(with(two, "", "").route("r").parents, [listener("a", 80), listener("b", 81)]);
    assert_eq!(with(two, ", sectionName: b", "").route("r").parents, [listener("b", 81)]);
    assert_eq!(with(two, ", port: 80", "").route("r").parents, [listener("a", 80)]);
    assert_eq!(with(two, "", "\nhostnames: [x.b.com]").route("r").parents, [listener("b", 81)]);
    let refused = |reason: &str, text: &str| {
        format!("HTTPRoute shop/r: Accepted=False ({reason}): parent Gateway shop/gate: {text}")
    };
    left_out(&with(two, ", sectionName: c", ""), &refused("NoMatchingParent", "it has no such listener"));
    left_out(
        &with(two, ", sectionName: a", "\nhostnames: [x.b.com]"),
        &refused("NoMatchingListenerHostname", "no listener has one of the route's host names"),
    );
    let kinds = "{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}";
    let disallowed =
        refused("NotAllowedByListeners", "none of its listeners admits routes of this kind and namespace");
    left_out(&with(kinds, "", ""), &disallowed);
    let other = with("{name: a, port: 80, protocol: TCP}", "", "");
    assert_eq!((other.routes().count(), other.told().last()), (0, Some(&disallowed)));

    let foreign = |allowed: &str| {
        let listeners = format!("{{name: a, port: 80, protocol: HTTP{allowed}}}");
        let route = object("HTTPRoute", "r", "parentRefs: [{name: gate, namespace: shop}]")
            .replace("name: r, namespace: shop", "name: r, namespace: store");
        mesh(&format!("{}{route}", gateway(&listeners)))
    };
    assert_eq!(foreign(", allowedRoutes: {namespaces: {from: All}}").route("r").parents, [listener("a", 80)]);
    left_out(&foreign(""), &disallowed.replace("HTTPRoute shop/r", "HTTPRoute store/r"));
}

#[test]
fn a_waypoint_is_no_parent() {
    left_out(
        &mesh(&route("HTTPRoute", "r", "{name: way}")),
        "HTTPRoute shop/r: Accepted=False (NotAllowedByListeners): parent Gateway shop/way: it is a waypoint, to which routes are not attached; name the Services behind it",
    );
    left_out(
        &mesh(&route("HTTPRoute", "r", "{name: none}")),
        "HTTPRoute shop/r: Accepted=False (NoMatchingParent): parent Gateway shop/none: there is no such Gateway",
    );
}
