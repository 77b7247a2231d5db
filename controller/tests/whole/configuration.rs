//! Files become configuration, edits become visible, and what is wrong changes nothing.

use crate::fixture::{CART, Mesh, SHOP, WEB, until};

const POLICY: &str = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-web, namespace: shop}
spec: {rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]}
";

#[tokio::test]
async fn a_node_is_told_everything_and_then_every_edit() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let mut node = mesh.discover("one");
    let view = node.synced().await;
    let uids: Vec<&str> = view.workloads.keys().map(|uid| &**uid).collect();
    assert_eq!(uids, [CART, WEB]);
    assert_eq!(view.workloads[CART].addresses.len(), 2);
    assert_eq!(
        view.services.keys().map(|key| &**key).collect::<Vec<_>>(),
        ["shop/cart.shop.svc.cluster.local"]
    );
    assert_eq!(view.hbone(CART), Some(false));

    mesh.write("policy.yaml", POLICY);
    node.until("the policy is there", |view| view.policies.contains_key("shop/only-web")).await;
    mesh.write("shop.yaml", &SHOP.replace("10.96.0.2", "10.96.0.3"));
    let moved = "10.96.0.3".parse::<std::net::IpAddr>().unwrap();
    node.until("the service moved", |view| {
        view.services.values().any(|service| format!("{:?}", service.addresses).contains(&moved.to_string()))
    })
    .await;
    mesh.remove("policy.yaml");
    node.until("the policy is gone", |view| !view.policies.contains_key("shop/only-web")).await;
    assert_eq!(node.now().workloads.len(), 2);
}

#[tokio::test]
async fn an_invalid_file_changes_nothing_until_it_is_repaired() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP), ("policy.yaml", POLICY)]).await;
    let mut node = mesh.discover("one");
    let before = node.synced().await;
    mesh.write("policy.yaml", &POLICY.replace("principals", "principalz"));
    mesh.write("more.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: more}\n");
    let valid = || async { mesh.metric("ambit_controller_configuration_valid").await };
    until("the directory is invalid", valid, |valid| *valid == Some(0)).await;
    assert_eq!(node.now().policies, before.policies);
    assert_eq!(mesh.admin("/healthz/ready").await.0, 200);
    let (_, dump) = mesh.admin("/debug/config").await;
    assert!(dump.contains("shop/only-web") && !dump.contains("Namespace more"), "{dump}");
    assert_eq!(mesh.issue("one", "spiffe://cluster.local/ns/shop/sa/web").await.unwrap().len(), 2);

    mesh.write("policy.yaml", &POLICY.replace("only-web", "still-only-web"));
    node.until("the repair is there", |view| view.policies.contains_key("shop/still-only-web")).await;
    assert_eq!(valid().await, Some(1));
}

#[tokio::test]
async fn a_controller_over_an_invalid_directory_waits_and_answers_nobody() {
    let mesh =
        Mesh::start(&[("shop.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: [1]\n")]).await;
    let (status, body) = mesh.admin("/healthz/ready").await;
    assert_eq!((status, body.trim()), (500, "not ready, pending: configuration"));
    let refusal = mesh.issue("one", "spiffe://cluster.local/ns/shop/sa/web").await.unwrap_err();
    assert!(
        refusal.retryable && refusal.message.contains("no valid configuration yet"),
        "{}",
        refusal.message
    );
    let mut node = mesh.discover("one");
    // An empty answer would make a node forget its mesh.
    assert!(!node.is_synced());
    mesh.write("shop.yaml", SHOP);
    assert_eq!(node.synced().await.workloads.len(), 2);
    until("ready", || mesh.admin("/healthz/ready"), |(status, _)| *status == 200).await;
}

#[tokio::test]
async fn an_empty_directory_is_a_mesh_without_pods() {
    let mesh = Mesh::start(&[]).await;
    assert_eq!(mesh.admin("/healthz/ready").await.0, 200);
    let mut node = mesh.discover("one");
    let view = node.synced().await;
    assert!(view.workloads.is_empty() && view.services.is_empty());
    assert_eq!(view.policies.len(), 1, "the static policy for STRICT is always there");
}

#[tokio::test]
async fn a_swapped_link_is_a_change() {
    let mut mesh = Mesh::new(&[]);
    let (first, second) = (mesh.path("first"), mesh.path("second"));
    for (directory, text) in [(&first, SHOP.to_owned()), (&second, SHOP.replace("10.0.0.1", "10.0.0.7"))] {
        std::fs::create_dir(directory).unwrap();
        std::fs::write(directory.join("shop.yaml"), text).unwrap();
    }
    std::fs::remove_dir(mesh.config()).unwrap();
    std::os::unix::fs::symlink(&first, mesh.config()).unwrap();
    mesh.restart().await.unwrap();
    let mut node = mesh.discover("one");
    node.synced().await;
    let swapped = mesh.path("swapped");
    std::os::unix::fs::symlink(&second, &swapped).unwrap();
    std::fs::rename(&swapped, mesh.config()).unwrap();
    let moved = |view: &crate::fixture::View| {
        view.workloads[WEB].addresses == ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]
    };
    node.until("the pod moved", moved).await;
    // The directory behind the new link is watched, too.
    std::fs::write(second.join("policy.yaml"), POLICY).unwrap();
    node.until("the policy is there", |view| view.policies.contains_key("shop/only-web")).await;
}
