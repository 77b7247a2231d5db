//! Guarantee 6: past a waypoint with policies there is no way.

use ambit_model::traffic::Connection;
use ambit_model::{Change, Snapshot};

use super::{Index, index};

const MESH: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: way}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Pod
metadata: {name: way-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: way, istio.io/dataplane-mode: none}}
spec: {serviceAccountName: way}
status: {podIP: 10.0.0.9}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: cart}, ports: [{name: web, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: shop, labels: {app: cart}}
spec: {serviceAccountName: cart}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: shop, labels: {app: other}}
status: {podIP: 10.0.0.2}
";

fn policy(target: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop{rest}}}\nspec: {{targetRefs: [{target}], rules: [{{to: [{{operation: {{methods: [GET]}}}}]}}]}}\n"
    )
}

const SERVICE: &str = "{kind: Service, name: cart}";
const GATEWAY: &str = "{group: gateway.networking.k8s.io, kind: Gateway, name: way}";

/// Whether `from` (a service account of `shop`, or nobody) may reach a port of the pod.
fn passes(index: &Index, pod: &str, from: Option<&str>, port: u16) -> bool {
    let mut snapshot = Snapshot::new("");
    snapshot.apply(
        index.workloads().into_iter().map(|workload| Change::Workload(Box::new((**workload).clone()))),
    );
    snapshot.apply(index.policies().into_iter().map(|policy| Change::Policy(Box::new((**policy).clone()))));
    let workload = index.workload(pod);
    let connection = Connection {
        source_ip: "10.0.0.77".parse().unwrap(),
        network: "".into(),
        source_identity: from
            .map(|account| format!("spiffe://cluster.local/ns/shop/sa/{account}").parse().unwrap()),
        destination: (workload.addresses[0], port).into(),
    };
    ambit_policy::authorize(&snapshot, workload, &connection).verdict.is_allowed()
}

#[test]
fn only_the_waypoint_reaches_a_service_with_a_policy() {
    for target in [SERVICE, GATEWAY] {
        let index = index(&format!("{MESH}{}", policy(target, "")));
        assert!(passes(&index, "cart-1", Some("way"), 8080), "{target}");
        for from in [Some("cart"), Some("web"), Some("ways"), None] {
            assert!(!passes(&index, "cart-1", from, 8080), "{target} {from:?}");
        }
        // The service's port alone: what else the pod does is not behind the waypoint.
        assert!(passes(&index, "cart-1", Some("web"), 9090), "{target}");
        assert!(passes(&index, "other", Some("web"), 8080), "{target}");
        assert_eq!(index.workload("cart-1").policies, ["shop/ambit_through_waypoint_cart".into()]);
    }
}

#[test]
fn without_a_policy_that_can_refuse_nobody_is_held_up() {
    let dry = policy(SERVICE, ", annotations: {istio.io/dry-run: 'true'}");
    let audit = policy(SERVICE, "").replace("rules:", "action: AUDIT, rules:");
    let other = policy("{kind: Service, name: other}", "");
    for policy in ["", &dry, &audit, &other] {
        let index = index(&format!("{MESH}{policy}"));
        assert!(passes(&index, "cart-1", Some("web"), 8080), "{policy}");
        assert!(index.workload("cart-1").policies.is_empty(), "{policy}");
    }
    // Where no waypoint is asked for, no policy of a waypoint applies.
    let unbound = MESH.replace("istio.io/use-waypoint: way", "a: b");
    assert!(passes(&index(&format!("{unbound}{}", policy(SERVICE, ""))), "cart-1", Some("web"), 8080));
}

#[test]
fn a_waypoint_without_pods_lets_nobody_through() {
    let without = MESH.replace("gateway.networking.k8s.io/gateway-name: way,", "");
    let index = index(&format!("{without}{}", policy(SERVICE, "")));
    for from in [Some("way"), Some("web"), None] {
        assert!(!passes(&index, "cart-1", from, 8080), "{from:?}");
    }
}

#[test]
fn a_pod_behind_two_guarded_services_is_reached_through_either_waypoint() {
    let second = "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: path, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Pod
metadata: {name: path-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: path, istio.io/dataplane-mode: none}}
spec: {serviceAccountName: path}
status: {podIP: 10.0.0.10}
---
apiVersion: v1
kind: Service
metadata: {name: basket, namespace: shop, labels: {istio.io/use-waypoint: path}}
spec: {clusterIP: 10.96.0.2, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
";
    let both = "{kind: Service, name: cart}, {kind: Service, name: basket}";
    let found = index(&format!("{MESH}{second}{}", policy(both, "")));
    for (from, expected) in [("way", true), ("path", true), ("web", false)] {
        assert_eq!(passes(&found, "cart-1", Some(from), 8080), expected, "{from}");
    }
    // One without a policy is no way around that of the other.
    let found = index(&format!("{MESH}{second}{}", policy(SERVICE, "")));
    assert!(!passes(&found, "cart-1", Some("path"), 8080));
}

#[test]
fn pods_that_are_bound_themselves_are_guarded_on_all_ports() {
    let all = MESH.replacen(
        "{name: way, namespace: shop}",
        "{name: way, namespace: shop, labels: {istio.io/waypoint-for: workload}}",
        1,
    );
    let index = index(&format!("{all}{}", policy(GATEWAY, "")));
    for port in [8080, 9090] {
        assert!(passes(&index, "cart-1", Some("way"), port));
        assert!(!passes(&index, "cart-1", Some("web"), port));
    }
    assert!(index.workload("way-1").policies.is_empty());
}
