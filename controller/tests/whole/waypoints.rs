//! Who sees what waypoints are told, and what a token for one identity opens: itself, and nothing else.

use std::time::Duration;

use ambit_identity::AuthorityClient;

use crate::captured::put;
use crate::fixture::{Discovered, Mesh, SHOP, ask, until};

const WAY: &str = "spiffe://cluster.local/ns/shop/sa/way";
const HOUR: Duration = Duration::from_secs(3600);

const WAYPOINT: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Pod
metadata: {name: way-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: way, istio.io/dataplane-mode: none}}
spec: {nodeName: two, serviceAccountName: way}
status: {podIP: 10.0.0.9}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
";

const ROUTE: &str = "HTTPRoute/shop/cart";

/// The mesh, with `cart` behind the waypoint.
async fn mesh() -> Mesh {
    let bound = SHOP.replacen(
        "{name: cart, namespace: shop}\nspec: {clusterIP",
        "{name: cart, namespace: shop, labels: {istio.io/use-waypoint: way}}\nspec: {clusterIP",
        1,
    );
    assert_ne!(bound, SHOP);
    Mesh::start(&[("shop.yaml", &bound), ("way.yaml", WAYPOINT)]).await
}

fn client(mesh: &Mesh, workload: &str, node: Option<&str>) -> AuthorityClient {
    AuthorityClient::new(mesh.channel(&mesh.workload_token(workload, node)))
}

#[tokio::test]
async fn a_waypoint_sees_routes_and_a_node_does_not() {
    let mesh = mesh().await;
    let mut waypoint = Discovered::start(mesh.channel(&mesh.workload_token("shop/way", None)), "two");
    let view = waypoint.synced().await;
    assert_eq!((view.workloads.len(), view.services.len()), (3, 2));
    assert!(view.l7.contains_key(ROUTE) && view.l7.contains_key("MeshConfig"), "{:?}", view.l7.keys());
    let cart = &view.services["shop/cart.shop.svc.cluster.local"];
    assert_eq!(cart.waypoints.len(), 1);

    let mut node = mesh.discover("one");
    let view = node.synced().await;
    assert_eq!((view.workloads.len(), view.services.len(), view.l7.len()), (3, 2, 0));

    mesh.write("way.yaml", &WAYPOINT.replace("name: cart, port: 80", "name: cart, port: 80, weight: 7"));
    waypoint
        .until("the route changed", |view| format!("{:?}", view.l7.get(ROUTE)).contains("weight: 7"))
        .await;
    mesh.write(
        "way.yaml",
        WAYPOINT.split("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute").next().unwrap(),
    );
    waypoint.until("the route is gone", |view| !view.l7.contains_key(ROUTE)).await;
    assert!(node.now().l7.is_empty());
}

#[tokio::test]
async fn a_gateway_with_its_keys_is_told_to_its_own_pods_alone() {
    const FRONT: &str = "Gateway/shop/front";
    let pod = |name: &str, address: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\n\
             metadata: {{name: {name}, namespace: shop, labels: {{gateway.networking.k8s.io/gateway-name: front, istio.io/dataplane-mode: none}}}}\n\
             spec: {{nodeName: two, serviceAccountName: {name}}}\nstatus: {{podIP: {address}}}\n"
        )
    };
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: front, namespace: shop}\n\
                   spec: {gatewayClassName: ambit, listeners: [{name: web, port: 80, protocol: HTTP}]}\n";
    let mesh = mesh().await;
    mesh.write("front.yaml", &format!("{gateway}{}", pod("front", "10.0.0.10")));
    let discover =
        |workload: &str| Discovered::start(mesh.channel(&mesh.workload_token(workload, None)), "two");
    let mut front = discover("shop/front");
    front.until("it sees itself", |view| view.l7.contains_key(FRONT)).await;
    let (mut way, mut later) = (discover("shop/way"), discover("shop/later"));
    for other in [&mut way, &mut later] {
        let view = other.synced().await;
        assert!(view.l7.contains_key(ROUTE) && !view.l7.contains_key(FRONT), "{:?}", view.l7.keys());
    }
    mesh.write("later.yaml", &pod("later", "10.0.0.11"));
    later.until("a pod of its account serves the Gateway", |view| view.l7.contains_key(FRONT)).await;
    assert!(!way.now().l7.contains_key(FRONT));
}

#[tokio::test]
async fn a_workload_gets_certificates_for_itself_only() {
    let mesh = mesh().await;
    assert_eq!(ask(&client(&mesh, "shop/way", None), WAY, WAY, HOUR).await.unwrap().len(), 2);
    for identity in [
        "spiffe://cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop/sa/wa",
        "spiffe://cluster.local/ns/sho/sa/way",
        "spiffe://evil.example/ns/shop/sa/way",
    ] {
        let refusal = ask(&client(&mesh, "shop/way", None), identity, identity, HOUR).await.unwrap_err();
        assert!(refusal.message.contains("PermissionDenied"), "{}", refusal.message);
        assert!(refusal.message.contains("for itself only"), "{}", refusal.message);
    }
    // The request's own name counts, too.
    let refusal = ask(&client(&mesh, "shop/way", None), WAY, "spiffe://cluster.local/ns/shop/sa/web", HOUR)
        .await
        .unwrap_err();
    assert!(refusal.message.contains("the certificate request is for"), "{}", refusal.message);
    let refused = r#"ambit_controller_certificates_refused_total{reason="not_itself"}"#;
    assert_eq!(mesh.metric(refused).await, Some(4));
}

#[tokio::test]
async fn only_while_a_pod_of_it_lives_and_only_where_the_token_says() {
    let mesh = mesh().await;
    assert!(ask(&client(&mesh, "shop/way", Some("two")), WAY, WAY, HOUR).await.is_ok());
    let refusal = ask(&client(&mesh, "shop/way", Some("one")), WAY, WAY, HOUR).await.unwrap_err();
    assert!(
        refusal.message.contains("no live pod with the identity") && refusal.message.contains("on node one"),
        "{}",
        refusal.message
    );
    let nobody = "spiffe://cluster.local/ns/shop/sa/nobody";
    let refusal = ask(&client(&mesh, "shop/nobody", None), nobody, nobody, HOUR).await.unwrap_err();
    assert!(refusal.message.contains("is on any node"), "{}", refusal.message);

    mesh.write(
        "way.yaml",
        &WAYPOINT.replace("status: {podIP: 10.0.0.9}", "status: {podIP: 10.0.0.9, phase: Failed}"),
    );
    let ended = || async { mesh.metric(r#"ambit_controller_published{type="workload"}"#).await };
    until("the pod is gone", ended, |workloads| *workloads == Some(2)).await;
    let refusal = ask(&client(&mesh, "shop/way", None), WAY, WAY, HOUR).await.unwrap_err();
    assert!(refusal.message.contains("no live pod with the identity"), "{}", refusal.message);
}

#[tokio::test]
async fn a_workload_reports_no_pods_and_is_no_node() {
    let mesh = mesh().await;
    for node in [None, Some("one")] {
        let channel = mesh.channel(&mesh.workload_token("shop/way", node));
        let (status, body) = put(&channel, "one", r#"{"pods":[]}"#).await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("only a node's agent"), "{body}");
    }
    let elsewhere = Discovered::start(mesh.channel(&mesh.workload_token("shop/way", Some("two"))), "one");
    let mut at_home = Discovered::start(mesh.channel(&mesh.workload_token("shop/way", Some("two"))), "two");
    at_home.synced().await;
    assert!(!elsewhere.is_synced(), "the token is for another node");
}
