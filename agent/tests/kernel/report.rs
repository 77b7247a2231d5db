//! What the controller is told, and in which order.

use http::StatusCode;

use crate::Test;
use crate::agent::{Agent, poll, run};
use crate::control::Control;
use crate::node::{Node, redirects};
use crate::proxy::{Proxy, Told};

pub(crate) const TESTS: &[Test] = &[
    ("the_controller_hears_of_captured_pods_only", the_controller_hears_of_captured_pods_only),
    ("the_controller_hears_first_that_a_pod_leaves", the_controller_hears_first_that_a_pod_leaves),
    ("a_controller_that_is_away_holds_nobody_for_long", a_controller_that_is_away_holds_nobody_for_long),
    ("an_agent_that_starts_again_takes_nothing_back", an_agent_that_starts_again_takes_nothing_back),
    ("a_refused_token_is_said_once", a_refused_token_is_said_once),
    ("cleanup_tells_the_controller_first", cleanup_tells_the_controller_first),
];

fn start(node: &Node, control: &Control) -> Agent {
    let arguments = control.arguments();
    Agent::start_with(node, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn until_captured(control: &Control, pods: &[&str]) {
    let pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
    assert!(
        poll(|| control.captured().as_ref() == Some(&pods)),
        "{pods:?} never told, but {:?}",
        control.reports()
    );
}

fn the_controller_hears_of_captured_pods_only() {
    let node = Node::new();
    let control = Control::start();
    let _namespaces = [node.create("web"), node.create("cart"), node.create("outside")];
    node.pod("web", "");
    node.pod("cart", "");
    node.pod("ghost", "");
    node.pod_labelled("outside", "none");
    let agent = start(&node, &control);
    agent.until_state("shop/web", "waiting");
    until_captured(&control, &[]);
    let _proxy = Proxy::start(&node.zds);
    until_captured(&control, &["shop/cart", "shop/web"]);
    let report = control.reports().pop().unwrap();
    assert_eq!(report.path, format!("PUT /ambit/v1/nodes/{}/captured", node.name));
    assert_eq!(report.authorization, "Bearer the-token");
    assert_eq!(agent.said("must carry the annotation"), 0);
    assert!(!agent.log().contains("the-token"));
}

fn the_controller_hears_first_that_a_pod_leaves() {
    let node = Node::new();
    let control = Control::start();
    let web = node.create("web");
    node.pod("web", "");
    let agent = start(&node, &control);
    let proxy = Proxy::start(&node.zds);
    until_captured(&control, &["shop/web"]);
    control.refuse(Some(StatusCode::SERVICE_UNAVAILABLE));
    node.pod_labelled("web", "none");
    agent.until_state("shop/web", "leaving");
    agent.until_said("it is tried again");
    assert!(redirects(&web), "not before the controller knows");
    control.refuse(None);
    proxy.until_told(&Told::Remove("shop/web".to_owned()));
    assert_eq!(control.captured(), Some(Vec::new()));
    assert!(!redirects(&web));
}

fn a_controller_that_is_away_holds_nobody_for_long() {
    let node = Node::new();
    let mut control = Control::start();
    let web = node.create("web");
    let _cart = node.create("cart");
    node.pod("web", "");
    let agent = start(&node, &control);
    let proxy = Proxy::start(&node.zds);
    until_captured(&control, &["shop/web"]);
    control.kill();
    node.pod_labelled("web", "none");
    node.pod("cart", "");
    proxy.until_told(&Told::Remove("shop/web".to_owned()));
    assert!(!redirects(&web));
    agent.until_captured(&["shop/cart"]);
    control.listen();
    until_captured(&control, &["shop/cart"]);
}

fn an_agent_that_starts_again_takes_nothing_back() {
    let node = Node::new();
    let control = Control::start();
    let _web = node.create("web");
    node.pod("web", "");
    let agent = start(&node, &control);
    let proxy = Proxy::start(&node.zds);
    until_captured(&control, &["shop/web"]);
    agent.stop();
    // ztunnel is away as well; its peers must not be told to talk in plaintext to a pod that is captured.
    drop(proxy);
    let told = control.reports().len();
    let agent = start(&node, &control);
    agent.until("report", || control.reports().len() > told);
    agent.until_state("shop/web", "waiting");
    assert!(
        control.reports()[told..].iter().all(|report| report.pods == ["shop/web"]),
        "{:?}",
        control.reports()
    );
}

fn a_refused_token_is_said_once() {
    let node = Node::new();
    let control = Control::start();
    control.refuse(Some(StatusCode::FORBIDDEN));
    let _web = node.create("web");
    node.pod("web", "");
    let agent = start(&node, &control);
    let _proxy = Proxy::start(&node.zds);
    agent.until_said("the token is for node other");
    agent.until_said("controller token --node");
    agent.until_captured(&["shop/web"]);
    control.refuse(None);
    until_captured(&control, &["shop/web"]);
    agent.until_said("knows which pods are captured");
    assert_eq!(agent.said("the token is for node other"), 1, "{}", agent.log());
}

fn cleanup_tells_the_controller_first() {
    let node = Node::new();
    let mut control = Control::start();
    let web = node.create("web");
    node.pod("web", "");
    let agent = start(&node, &control);
    let _proxy = Proxy::start(&node.zds);
    until_captured(&control, &["shop/web"]);
    agent.stop();
    let arguments = control.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    control.kill();
    let output = run(&node, "cleanup", &arguments);
    assert_eq!(output.status.code(), Some(1), "nothing is opened that the mesh believes closed");
    assert!(redirects(&web));
    control.listen();
    let output = run(&node, "cleanup", &arguments);
    assert!(output.status.success(), "{output:?}");
    let reports = control.reports();
    let last = reports.last().unwrap();
    assert!(last.released && last.pods.is_empty(), "{last:?}");
    assert_eq!(reports.iter().filter(|report| report.released).count(), 1, "an agent releases nobody");
    assert!(!redirects(&web));
}
