//! The writer without sockets: time moves by hand.

use std::path::Path;

use ambit_telemetry::Registry;
use ambit_xds::Kind;

use super::*;

const POD: &str = "\
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {nodeName: one}, status: {podIP: 10.0.0.1}}
";

fn reading(yaml: &str) -> Reading {
    let resources = ambit_kubernetes::read_text(Path::new("test.yaml"), yaml).unwrap();
    Reading::Valid(Arc::new(Configuration { files: vec![Arc::new(resources)] }))
}

fn publisher(directory: &Path) -> (Publisher, StateDirectory, Store) {
    let state = StateDirectory::open(directory).unwrap();
    let captured = Captured::load(&state).unwrap();
    let metrics = Metrics::new(&Registry::new("controller", "test"));
    let store = Store::default();
    let clock = Clock::system();
    let writer =
        Publisher::new(MeshSettings::default(), state.clone(), store.clone(), captured, metrics, clock);
    (writer, state, store)
}

fn web() -> NodeReport {
    of_web(None)
}

fn of_web(uid: Option<&str>) -> NodeReport {
    let uid = uid.map(str::to_owned);
    let pods = vec![CapturedPod { namespace: "shop".to_owned(), name: "web".to_owned(), uid }];
    NodeReport { pods, released: false }
}

fn nothing() -> NodeReport {
    NodeReport { pods: Vec::new(), released: false }
}

fn private() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_captured_pod_is_forgotten_when_it_has_been_gone_for_a_minute() {
    let directory = private();
    let (mut writer, state, _) = publisher(directory.path());
    writer.take(reading(POD)).await;
    let node: NodeName = "one".parse().unwrap();
    writer.report(&node, web()).await.unwrap();
    writer.take(reading("")).await;
    tokio::time::advance(GONE - Duration::from_secs(1)).await;
    writer.forget_absent().await;
    assert_eq!(Captured::load(&state).unwrap().pods().count(), 1);
    // Its agent still names it: the time begins anew.
    writer.report(&node, web()).await.unwrap();
    tokio::time::advance(GONE - Duration::from_secs(1)).await;
    writer.forget_absent().await;
    assert_eq!(Captured::load(&state).unwrap().pods().count(), 1);
    tokio::time::advance(GONE).await;
    writer.forget_absent().await;
    assert_eq!(Captured::load(&state).unwrap().pods().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_forgotten_while_no_configuration_was_valid() {
    let directory = private();
    let (mut writer, state, store) = publisher(directory.path());
    writer.report(&"one".parse().unwrap(), web()).await.unwrap();
    writer.take(Reading::Invalid(Vec::new())).await;
    tokio::time::advance(GONE * 10).await;
    writer.forget_absent().await;
    assert_eq!(Captured::load(&state).unwrap().pods().count(), 1);
    assert_eq!(store.count(Kind::Address) + store.count(Kind::Authorization), 0);
    assert!(writer.in_force().borrow().is_none());
}

#[tokio::test]
async fn an_unchanged_report_writes_nothing() {
    let directory = private();
    let (mut writer, state, _) = publisher(directory.path());
    writer.take(reading(POD)).await;
    let node: NodeName = "one".parse().unwrap();
    writer.report(&node, web()).await.unwrap();
    std::fs::remove_file(state.file(crate::captured::FILE)).unwrap();
    writer.report(&node, web()).await.unwrap();
    assert!(!state.file(crate::captured::FILE).exists());
}

#[tokio::test]
async fn residents_are_live_pods_with_a_node() {
    let directory = private();
    let (mut writer, _, _) = publisher(directory.path());
    writer.take(reading(POD)).await;
    let in_force = writer.in_force();
    let lives = |node: &str, namespace: &str, account: &str| {
        in_force.borrow().as_ref().unwrap().lives_on(&node.parse().unwrap(), namespace, account)
    };
    assert!(lives("one", "shop", "default"));
    for (node, namespace, account) in
        [("two", "shop", "default"), ("one", "other", "default"), ("one", "shop", "web")]
    {
        assert!(!lives(node, namespace, account));
    }
}

#[tokio::test]
async fn a_report_drops_only_pods_that_are_not_enrolled_there() {
    let with_uid = POD.replace("{name: web,", "{name: web, uid: first,");
    let cases = [
        ("enrolled", POD.to_owned(), None, 1),
        ("of the same uid", with_uid.clone(), Some("first"), 1),
        ("of another uid", with_uid.clone(), Some("older"), 0),
        ("named without a uid", with_uid, None, 1),
        ("written without a uid", POD.to_owned(), Some("shop/web"), 1),
        ("without a label", POD.replace("ambient", "none"), None, 0),
        ("ended", POD.replace("{podIP", "{phase: Failed, podIP"), None, 0),
        ("elsewhere", POD.replace("nodeName: one", "nodeName: two"), None, 0),
        ("absent", String::new(), None, 0),
    ];
    for (what, yaml, uid, kept) in cases {
        let directory = private();
        let (mut writer, state, _) = publisher(directory.path());
        let node: NodeName = "one".parse().unwrap();
        writer.take(reading(&yaml)).await;
        writer.report(&node, of_web(uid)).await.unwrap();
        writer.report(&"two".parse().unwrap(), nothing()).await.unwrap();
        assert_eq!(Captured::load(&state).unwrap().pods().count(), 1, "{what}");
        writer.report(&node, nothing()).await.unwrap();
        assert_eq!(Captured::load(&state).unwrap().pods().count(), kept, "{what}");
        writer.report(&node, NodeReport { released: true, ..nothing() }).await.unwrap();
        assert_eq!(Captured::load(&state).unwrap().pods().count(), 0, "{what}");
    }
}

#[tokio::test]
async fn what_an_agent_calls_a_pod_does_not_pile_up() {
    let directory = private();
    let (mut writer, state, _) = publisher(directory.path());
    let node: NodeName = "one".parse().unwrap();
    writer.take(reading(POD)).await;
    for uid in ["a", "b", "c"] {
        writer.report(&node, of_web(Some(uid))).await.unwrap();
        assert_eq!(Captured::load(&state).unwrap().pods().count(), 1);
    }
}

#[tokio::test]
async fn before_the_first_configuration_a_report_drops_nothing() {
    let directory = private();
    let (mut writer, state, _) = publisher(directory.path());
    let node: NodeName = "one".parse().unwrap();
    writer.report(&node, of_web(Some("first"))).await.unwrap();
    writer.report(&node, nothing()).await.unwrap();
    assert_eq!(Captured::load(&state).unwrap().pods().count(), 1);
    writer.take(reading(&POD.replace("ambient", "none"))).await;
    writer.report(&node, nothing()).await.unwrap();
    assert_eq!(Captured::load(&state).unwrap().pods().count(), 0);
}
