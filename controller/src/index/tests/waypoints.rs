//! Waypoints: what is bound to them, who serves them, and what is refused (facts: section 1.5).

use ambit_model::service::ServiceKey;
use ambit_model::workload::{Gateway, GatewayDestination, Tunnel};

use super::{Index, index};

/// A waypoint with its pod, in `shop`.
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec:
  gatewayClassName: ambit-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: v1
kind: Pod
metadata:
  name: way-1
  namespace: shop
  labels: {gateway.networking.k8s.io/gateway-name: way, istio.io/dataplane-mode: none}
spec: {nodeName: one, serviceAccountName: way}
status: {podIP: 10.0.0.9}
";

/// A Namespace, a Service and a pod with these labels.
fn shop(namespace: &str, service: &str, pod: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{{namespace}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: shop, labels: {{{service}}}}}
spec: {{clusterIP: 10.96.0.1, selector: {{app: cart}}, ports: [{{port: 80}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: cart-1, namespace: shop, labels: {{app: cart, {pod}}}}}
spec: {{nodeName: one, serviceAccountName: cart}}
status: {{podIP: 10.0.0.1}}
"
    )
}

fn with(documents: &[&str]) -> Index {
    index(&documents.join("---\n"))
}

/// The host names of the waypoints of the service and of the pod.
fn bound(index: &Index) -> (Option<String>, Option<String>) {
    let host = |gateway: &Gateway| match &gateway.destination {
        GatewayDestination::Service(key) if gateway.hbone_port == 15008 => key.hostname.to_string(),
        other => panic!("{other:?}"),
    };
    let service = index.service("cart").waypoints.first().map(|(gateway, weight)| {
        assert_eq!(*weight, 100);
        host(gateway)
    });
    (service, index.workload("cart-1").waypoint.as_deref().map(host))
}

const WAY: &str = "way.shop.svc.cluster.local";

#[test]
fn labels_bind_the_objects_own_before_its_namespaces() {
    let used = "istio.io/use-waypoint: way";
    let opted_out = "istio.io/use-waypoint: none";
    for (namespace, service, expected) in [
        ("", "", None),
        ("", used, Some(WAY)),
        (used, "", Some(WAY)),
        (used, opted_out, None),
        (opted_out, used, Some(WAY)),
        ("istio.io/use-waypoint: other", used, Some(WAY)),
        (used, "istio.io/use-waypoint: ''", Some(WAY)),
    ] {
        let index = with(&[GATEWAY, &shop(namespace, service, "")]);
        assert_eq!(bound(&index).0.as_deref(), expected, "{namespace} {service}");
        assert_eq!(index.told(), [""; 0], "{namespace} {service}");
    }
}

#[test]
fn a_waypoint_says_what_traffic_it_is_for() {
    let used = "istio.io/use-waypoint: way";
    for (label, service, pod) in
        [("service", true, false), ("workload", false, true), ("all", true, true), ("none", false, false)]
    {
        let gateway = GATEWAY.replacen(
            "{name: way, namespace: shop}",
            &format!("{{name: way, namespace: shop, labels: {{istio.io/waypoint-for: {label}}}}}"),
            1,
        );
        let found = bound(&with(&[&gateway, &shop(used, "", "")]));
        assert_eq!(found, (service.then(|| WAY.into()), pod.then(|| WAY.into())), "{label}");
        // A class says so for its Gateways.
        let class = format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: ambit-waypoint, labels: {{istio.io/waypoint-for: {label}}}}}, spec: {{controllerName: ambit.mesh/waypoint}}}}\n"
        );
        assert_eq!(bound(&with(&[GATEWAY, &class, &shop(used, "", "")])), found, "{label}");
    }
    let index = with(&[GATEWAY, &shop("", "", used)]);
    assert_eq!(bound(&index), (None, None));
    assert_eq!(
        index.told(),
        [
            "Pod shop/cart-1: istio.io/WaypointBound=False (UnsupportedTrafficType): waypoint shop/way is not for this kind of traffic, which goes without; set its label istio.io/waypoint-for"
        ]
    );
}

#[test]
fn what_names_a_waypoint_that_is_not_there_is_bound_to_nobody() {
    let missing = "there is no waypoint shop/way with a listener HBONE on 15008, so the traffic is refused; create it, or remove the label";
    let used = "istio.io/use-waypoint: way";
    for (namespace, service, pod, object) in [
        ("", used, "", "Service shop/cart"),
        (used, "", "", "Namespace shop"),
        ("", "", used, "Pod shop/cart-1"),
    ] {
        let index = with(&[&shop(namespace, service, pod)]);
        let (of_service, of_pod) = bound(&index);
        let refused = Some("way.shop.missing.invalid".to_owned());
        match pod {
            "" => assert_eq!((of_service, of_pod), (refused, None), "{object}"),
            _ => assert_eq!((of_service, of_pod), (None, refused), "{object}"),
        }
        let note = format!("{object}: istio.io/WaypointBound=False (WaypointIsNotReady): {missing}");
        assert_eq!(index.told(), [note]);
    }
    // A Service of that name is no waypoint, nor is a Gateway of another class or without the listener.
    let service = shop("", used, "");
    let other = "{apiVersion: v1, kind: Service, metadata: {name: way, namespace: shop}, spec: {clusterIP: 10.96.0.7, ports: [{port: 15008}]}}\n";
    for gateway in [
        other.to_owned(),
        GATEWAY.replace("ambit-waypoint", "ingress"),
        GATEWAY.replace("port: 15008", "port: 15009"),
        GATEWAY.replace("protocol: HBONE", "protocol: TCP"),
    ] {
        let index = with(&[&gateway, &service]);
        assert_eq!(bound(&index).0.as_deref(), Some("way.shop.missing.invalid"), "{gateway}");
    }
}

#[test]
fn another_namespace_must_be_admitted() {
    let used = "istio.io/use-waypoint: way, istio.io/use-waypoint-namespace: edge";
    let gateway = GATEWAY.replace("namespace: shop", "namespace: edge");
    let edge = "{apiVersion: v1, kind: Namespace, metadata: {name: edge}}\n";
    for (allowed, admitted) in [
        ("", false),
        (", allowedRoutes: {namespaces: {from: Same}}", false),
        (", allowedRoutes: {namespaces: {from: All}}", true),
        (", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}", true),
        (", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: b}}}}", false),
    ] {
        let gateway = gateway.replace("protocol: HBONE", &format!("protocol: HBONE{allowed}"));
        let index = with(&[&gateway, edge, &shop(&format!("team: a, {used}"), "", "")]);
        let expected = if admitted { "way.edge.svc.cluster.local" } else { "way.edge.forbidden.invalid" };
        assert_eq!(bound(&index).0.as_deref(), Some(expected), "{allowed}");
        let note = "Namespace shop: istio.io/WaypointBound=False (AttachmentDenied): waypoint edge/way does not admit namespace shop, so the traffic is refused; widen allowedRoutes of its listener";
        assert_eq!(index.told(), if admitted { vec![] } else { vec![note] }, "{allowed}");
    }
}

#[test]
fn its_pods_are_behind_a_service_of_its_name_that_nobody_wrote() {
    let index =
        with(&[GATEWAY, &shop("istio.io/use-waypoint: way, istio.io/dataplane-mode: ambient", "", "")]);
    let service = index.service("way");
    assert_eq!(service.key, ServiceKey::new("shop", WAY));
    assert!(service.addresses.is_empty() && service.waypoints.is_empty() && !service.canonical);
    let pod = index.workload("way-1");
    assert_eq!((pod.tunnel, pod.native_tunnel), (Tunnel::Hbone, true));
    assert!(pod.waypoint.is_none());
    assert_eq!(super::ports(pod, "way"), [(15008, 15008)]);
    assert_eq!(index.told(), [""; 0]);
}

#[test]
fn a_service_that_was_written_for_it_is_used_and_goes_without_a_waypoint() {
    let written = "{apiVersion: v1, kind: Service, metadata: {name: way, namespace: shop}, spec: {clusterIP: 10.96.0.7, selector: {gateway.networking.k8s.io/gateway-name: way}, ports: [{port: 15008, targetPort: 15008}]}}\n";
    let gateway = GATEWAY.replacen(
        "{name: way, namespace: shop}",
        "{name: way, namespace: shop, labels: {istio.io/waypoint-for: all}}",
        1,
    );
    let index = with(&[&gateway, written, &shop("istio.io/use-waypoint: way", "", "")]);
    assert_eq!(index.services().into_iter().filter(|service| &*service.name == "way").count(), 1);
    let service = index.service("way");
    assert_eq!(service.addresses.len(), 1);
    assert!(service.waypoints.is_empty());
    assert!(index.workload("way-1").waypoint.is_none());
    assert_eq!(super::ports(index.workload("way-1"), "way"), [(15008, 15008)]);
}

#[test]
fn what_is_wrong_with_a_waypoint_is_said() {
    let alone = GATEWAY.split("---").next().unwrap();
    let note = |text: &str| format!("Gateway shop/way: {text}");
    assert_eq!(
        with(&[alone]).told(),
        [note(
            "Programmed=False (AddressNotAssigned): no pod serves it, so what is bound to it is refused; run one with the label gateway.networking.k8s.io/gateway-name"
        )]
    );
    let captured = GATEWAY.replace(", istio.io/dataplane-mode: none", ", istio.io/dataplane-mode: ambient");
    assert_eq!(
        with(&[&captured]).told(),
        [note(
            "Programmed=False (Invalid): its pod way-1 is enrolled in the mesh, whose listeners take its port; label it istio.io/dataplane-mode: none"
        )]
    );
    let more = GATEWAY.replace("protocol: HBONE}", "protocol: HBONE}, {name: web, port: 80, protocol: HTTP}");
    assert_eq!(
        with(&[&more]).told(),
        [note(
            "Accepted=False (UnsupportedProtocol): listener web is not served: a waypoint has HBONE on 15008 only"
        )]
    );
}

#[test]
fn ingress_goes_through_the_waypoint_where_it_is_said() {
    let label = "istio.io/ingress-use-waypoint";
    for (namespace, service, expected) in
        [("", "", false), ("'true'", "", true), ("'true'", "'false'", false), ("", "'true'", true)]
    {
        let label = |value: &str| if value.is_empty() { String::new() } else { format!("{label}: {value}") };
        let index = with(&[&shop(&label(namespace), &label(service), "")]);
        assert_eq!(index.service("cart").ingress_use_waypoint, expected, "{namespace} {service}");
    }
}
