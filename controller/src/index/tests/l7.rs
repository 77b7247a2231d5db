//! Routes and what else waypoints are told, from YAML to the published value.

mod authentication;
mod authorization;
mod backends;
mod destination_rules;
mod gateways;
mod mesh;
mod parents;
mod rules;
mod telemetry;
mod virtual_services;

use ambit_model::l7::route::{Action, Backend, Route, Rule};
use ambit_model::l7::{MeshConfig, Resource};

use super::{Index, index};

/// Services `cart` (80 `http`, 7070 `grpc`) and `cart-v2` (80) of `shop`, and `stock` (80) of `store`, behind a waypoint; and
/// a pod for the Gateway `gate`.
const MESH: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: way}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: store, labels: {istio.io/use-waypoint: way}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: store}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: way-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: way, istio.io/dataplane-mode: none}}, status: {podIP: 10.0.0.8}}
---
{apiVersion: v1, kind: Pod, metadata: {name: way-2, namespace: store, labels: {gateway.networking.k8s.io/gateway-name: way, istio.io/dataplane-mode: none}}, status: {podIP: 10.0.0.9}}
---
{apiVersion: v1, kind: Pod, metadata: {name: gate-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: gate, istio.io/dataplane-mode: none}}, spec: {serviceAccountName: gate}, status: {podIP: 10.0.0.7}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{name: http, port: 80}, {name: grpc, port: 7070}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart-v2, namespace: shop}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: stock, namespace: store}, spec: {ports: [{name: http, port: 80}]}}
";

/// The mesh with further documents.
fn mesh(more: &str) -> Index {
    index(&format!("{MESH}---\n{more}"))
}

/// An object of a kind in `shop`.
fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop, creationTimestamp: '1970-01-01T00:01:00Z'}}\nspec:\n  {}\n---\n",
        spec.replace('\n', "\n  ")
    )
}

/// An object of Istio's in `shop`, by its group, such as `security`.
fn istio(group: &str, kind: &str, name: &str, spec: &str) -> String {
    object(kind, name, spec).replacen("gateway.networking.k8s.io", &format!("{group}.istio.io"), 1)
}

/// The one rule of an HTTPRoute of `cart`, and the notes.
fn rule(lines: &str) -> (Rule, Vec<String>) {
    let lines: Vec<&str> = lines.lines().collect();
    let spec =
        format!("parentRefs: [{{group: '', kind: Service, name: cart}}]\nrules:\n- {}", lines.join("\n  "));
    let index = mesh(&object("HTTPRoute", "r", &spec));
    let mut route = index.route("r").clone();
    assert_eq!(route.rules.len(), 1);
    (route.rules.remove(0), index.told())
}

impl Index {
    #[track_caller]
    fn route(&self, name: &str) -> &Route {
        self.routes()
            .find(|route| &*route.key.name == name)
            .unwrap_or_else(|| panic!("no route {name}: {:?}", self.told()))
    }

    fn routes(&self) -> impl Iterator<Item = &Route> {
        self.l7().into_iter().filter_map(|resource| match &**resource {
            Resource::Route(route) => Some(route),
            _ => None,
        })
    }
}

/// Where a rule's requests go.
#[track_caller]
fn backends(rule: &Rule) -> &[Backend] {
    match &rule.action {
        Action::Forward(backends) => backends,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_route_is_one_resource_with_the_defaults_of_its_crd() {
    let index = mesh(&object(
        "HTTPRoute",
        "r",
        "parentRefs: [{group: '', kind: Service, name: cart}]\nhostnames: [a.b]\nrules: [{backendRefs: [{name: cart-v2, port: 80}]}]",
    ));
    assert_eq!(index.told(), [""; 0]);
    let json = serde_json::to_value(index.route("r")).unwrap();
    let expected = serde_json::json!({
        "key": {"kind": "HTTPRoute", "namespace": "shop", "name": "r"},
        "created": 60,
        "parents": [{"target": {"Service": {"namespace": "shop", "hostname": "cart.shop.svc.cluster.local"}}, "port": null, "section": null}],
        "hostnames": ["a.b"],
        "layer": "Http",
        "order": "Specificity",
        "consumer": false,
        "rules": [{
            "name": null,
            "matches": [{
                "path": {"Elements": "/"}, "ignore_path_case": false, "method": null, "scheme": null, "authority": null,
                "headers": [], "without_headers": [], "query": [], "claims": [], "port": null, "source_namespace": null,
                "source_labels": [], "gateways": [], "server_names": [], "destination_blocks": []
            }],
            "filters": [],
            "action": {"Forward": [{
                "to": {"service": {"namespace": "shop", "hostname": "cart-v2.shop.svc.cluster.local"}, "port": 80, "subset": null},
                "weight": 1, "filters": [], "invalid": null
            }]},
            "timeouts": {"request": null, "backend_request": null},
            "retry": null, "session": null, "invalid": null
        }]
    });
    assert_eq!(json, expected, "{json:#}");
}

#[test]
fn the_mesh_and_the_labels_of_pods_travel_along() {
    let index = mesh(
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, labels: {version: v1, app: cart}}, status: {podIP: 10.0.0.1}}",
    );
    let names: Vec<String> = index.l7().iter().map(|resource| resource.name().to_string()).collect();
    let expected = [
        "Labels/Kubernetes//Pod/shop/gate-1",
        "Labels/Kubernetes//Pod/shop/p",
        "Labels/Kubernetes//Pod/shop/way-1",
        "Labels/Kubernetes//Pod/store/way-2",
        "MeshConfig",
    ];
    assert_eq!(names, expected);
    let Resource::Labels(labels) = &**index.l7()[1] else { panic!() };
    assert_eq!(labels.labels, [("app".into(), "cart".into()), ("version".into(), "v1".into())]);
    assert_eq!(**index.l7()[4], Resource::Mesh(MeshConfig::default()));
}
