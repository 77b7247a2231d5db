//! Agents report what they captured; what was announced once as HBONE is never announced as plaintext by a restart.

use ambit_identity::ControlChannel;
use http_body_util::{BodyExt, Full};
use tower_service::Service;

use crate::fixture::{CART, Mesh, SHOP, WEB, within};

/// Sends a report about `node`: status and body.
pub(crate) async fn put(channel: &ControlChannel, node: &str, body: &str) -> (u16, String) {
    let request = http::Request::put(format!("/ambit/v1/nodes/{node}/captured"))
        .body(tonic::body::Body::new(Full::from(body.to_owned())))
        .unwrap();
    let response = within(channel.clone().call(request)).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

const REPORT: &str = r#"{"pods":[{"namespace":"shop","name":"web"}]}"#;
const NOTHING: &str = r#"{"pods":[]}"#;
const RELEASED: &str = r#"{"pods":[],"released":true}"#;

#[tokio::test]
async fn a_captured_pod_is_reached_over_hbone_also_after_a_restart() {
    let mut mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let mut node = mesh.discover("two");
    assert_eq!(node.synced().await.hbone(WEB), Some(false));
    let channel = mesh.channel(&mesh.token("one"));
    assert_eq!(put(&channel, "one", REPORT).await, (204, String::new()));
    node.until("web is captured", |view| view.hbone(WEB) == Some(true)).await;
    assert_eq!(node.now().hbone(CART), Some(false));
    drop(node);

    let root = std::fs::read(mesh.state().join("root-cert.pem")).unwrap();
    mesh.restart().await.unwrap();
    assert_eq!(std::fs::read(mesh.state().join("root-cert.pem")).unwrap(), root);
    // The very first state after the restart says so, before any agent has come back.
    let mut node = mesh.discover("two");
    assert_eq!(node.synced().await.hbone(WEB), Some(true));

    let channel = mesh.channel(&mesh.token("one"));
    // An agent that starts again may not know yet; who cleans up says so.
    assert_eq!(put(&channel, "one", NOTHING).await.0, 204);
    assert_eq!(mesh.discover("two").synced().await.hbone(WEB), Some(true));
    assert_eq!(put(&channel, "one", RELEASED).await.0, 204);
    node.until("web is released", |view| view.hbone(WEB) == Some(false)).await;
}

#[tokio::test]
async fn a_pod_that_vanishes_for_a_moment_stays_captured() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let channel = mesh.channel(&mesh.token("one"));
    assert_eq!(put(&channel, "one", REPORT).await.0, 204);
    let mut node = mesh.discover("two");
    assert_eq!(node.synced().await.hbone(WEB), Some(true));
    mesh.remove("shop.yaml");
    node.until("web is gone", |view| view.hbone(WEB).is_none()).await;
    mesh.write("shop.yaml", SHOP);
    let view = node.until("web is back", |view| view.hbone(WEB).is_some()).await;
    assert_eq!(view.hbone(WEB), Some(true));
}

#[tokio::test]
async fn a_report_may_come_before_its_pod() {
    let mesh = Mesh::start(&[]).await;
    let channel = mesh.channel(&mesh.token("one"));
    assert_eq!(put(&channel, "one", REPORT).await.0, 204);
    let mut node = mesh.discover("two");
    node.synced().await;
    mesh.write("shop.yaml", SHOP);
    let view = node.until("web is there", |view| view.hbone(WEB).is_some()).await;
    assert_eq!(view.hbone(WEB), Some(true));
}

#[tokio::test]
async fn only_enrolled_pods_of_the_reporting_node_count() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    // Node two says that it captured a pod of node one.
    let two = mesh.channel(&mesh.token("two"));
    assert_eq!(put(&two, "two", REPORT).await.0, 204);
    let mut node = mesh.discover("two");
    assert_eq!(node.synced().await.hbone(WEB), Some(false));
    // Its token does not speak for node one.
    let (status, body) = put(&two, "one", REPORT).await;
    assert_eq!((status, body.trim()), (403, "the token is for node two, but the report is about one"));

    assert_eq!(put(&mesh.channel(&mesh.token("one")), "one", REPORT).await.0, 204);
    node.until("web is captured", |view| view.hbone(WEB) == Some(true)).await;
    mesh.write("shop.yaml", &SHOP.replace("istio.io/dataplane-mode: ambient", "a: b"));
    node.until("web is not enrolled", |view| view.hbone(WEB) == Some(false)).await;
}

#[tokio::test]
async fn malformed_reports_change_nothing_and_say_why() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let channel = mesh.channel(&mesh.token("one"));
    assert_eq!(put(&channel, "one", REPORT).await.0, 204);
    let long = format!(r#"{{"pods":[{}]}}"#, vec![r#"{"namespace":"a","name":"b"}"#; 10_001].join(","));
    let huge = "x".repeat(5 << 20);
    for (body, status, said) in [
        ("", 400, "cannot be read"),
        ("{}", 400, "missing field `pods`"),
        (r#"{"pods":[{"namespace":"shop"}]}"#, 400, "missing field `name`"),
        (r#"{"pods":[],"more":1}"#, 400, "unknown field `more`"),
        (long.as_str(), 400, "at most 10000 pods"),
        (huge.as_str(), 413, "at most"),
    ] {
        let (answered, text) = put(&channel, "one", body).await;
        assert_eq!(answered, status, "{text}");
        assert!(text.contains(said) && text.lines().count() == 1, "{text}");
    }
    for (path, status) in [("one/captured/x", 404), ("o_ne/captured", 400), ("one", 404)] {
        let request =
            http::Request::put(format!("/ambit/v1/nodes/{path}")).body(tonic::body::Body::empty()).unwrap();
        assert_eq!(channel.clone().call(request).await.unwrap().status(), status, "{path}");
    }
    let mut node = mesh.discover("two");
    assert_eq!(node.synced().await.hbone(WEB), Some(true));
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_announced() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let token = mesh.token("one");
    let channel = mesh.channel(&token);
    channel.connect().await.unwrap();
    // The state directory is gone, as a broken disk is.
    std::fs::rename(mesh.state(), mesh.path("elsewhere")).unwrap();
    let (status, body) = put(&channel, "one", REPORT).await;
    assert_eq!((status, body.trim()), (507, "the controller cannot write its state directory"));
    std::fs::rename(mesh.path("elsewhere"), mesh.state()).unwrap();
    let mut node = mesh.discover("two");
    assert_eq!(node.synced().await.hbone(WEB), Some(false));
    assert_eq!(put(&channel, "one", REPORT).await.0, 204);
    node.until("web is captured", |view| view.hbone(WEB) == Some(true)).await;
}
