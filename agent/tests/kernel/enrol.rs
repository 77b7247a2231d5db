//! Pods that are to be captured, and are.

use std::fs;

use crate::Test;
use crate::agent::Agent;
use crate::node::{Node, dump, inode, iptables, redirects};
use crate::proxy::{Proxy, Told};

pub(crate) const TESTS: &[Test] = &[
    ("pods_are_captured_and_ready", pods_are_captured_and_ready),
    ("a_pod_that_comes_later", a_pod_that_comes_later),
    ("iptables_captures_as_well", iptables_captures_as_well),
    ("annotations_change_the_rules", annotations_change_the_rules),
    ("an_agent_starts_again_under_a_running_ztunnel", an_agent_starts_again_under_a_running_ztunnel),
    ("rules_move_to_another_renderer", rules_move_to_another_renderer),
    ("no_pods_are_ready_pods", no_pods_are_ready_pods),
    ("pods_of_other_nodes_are_left_alone", pods_of_other_nodes_are_left_alone),
];

fn pods_are_captured_and_ready() {
    let node = Node::new();
    let (web, cart, outside) = (node.create("web"), node.create("cart"), node.create("outside"));
    node.pod("web", "");
    node.pod("cart", "");
    node.pod_labelled("outside", "none");
    let agent = Agent::start(&node);
    agent.until_state("shop/web", "waiting");
    assert!(!agent.ready(), "no ztunnel has answered");

    let proxy = Proxy::start(&node.zds);
    proxy.until_added("shop/web", inode(&web));
    proxy.until_added("shop/cart", inode(&cart));
    agent.until_captured(&["shop/web", "shop/cart"]);
    agent.until("readiness", || agent.ready());
    assert!(redirects(&web) && redirects(&cart) && !redirects(&outside));
    assert_eq!(agent.state("shop/outside"), "outside");
    assert!(!proxy.told().iter().any(|told| matches!(told, Told::Add { uid, .. } if uid == "shop/outside")));
    let pod = agent.pod("shop/web").unwrap();
    assert_eq!(pod["rules"], "in place");
    assert_eq!(pod["ztunnel"], "accepted");
    assert!(agent.metrics().contains("ambit_agent_pods{state=\"captured\"} 2"));
    assert_eq!(agent.said("must carry the annotation ambient.istio.io/redirection"), 1);
}

fn a_pod_that_comes_later() {
    let node = Node::new();
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    proxy.until_told(&Told::Snapshot { stale: Vec::new() });
    node.pod("late", "");
    agent.until_state("shop/late", "blocked");
    let reason = agent.pod("shop/late").unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("does not exist") && reason.contains("ip netns add"), "{reason}");

    let late = node.create("late");
    proxy.until_added("shop/late", inode(&late));
    agent.until_captured(&["shop/late"]);
    assert!(redirects(&late));
    assert_eq!(agent.said("pod shop/late: network namespace"), 1, "{}", agent.log());
}

fn iptables_captures_as_well() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    let agent = Agent::start_with(&node, &["--rules", "iptables"]);
    let _proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    let rules = iptables(&web);
    assert!(rules.contains("AMBIT_OUTPUT") && rules.contains("--to-ports 15001"), "{rules}");
    assert!(!dump(&web).contains("table inet ambit"));
}

fn annotations_change_the_rules() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    let agent = Agent::start(&node);
    let _proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    assert!(dump(&web).contains("redirect to :15006") && !dump(&web).contains("15053"));

    node.pod(
        "web",
        "    ambient.istio.io/bypass-inbound-capture: \"true\"\n    ambient.istio.io/dns-capture: \"true\"\n    istio.io/reroute-virtual-interfaces: tap0, bad name\n",
    );
    agent.until("other rules", || dump(&web).contains("15053"));
    let rules = dump(&web);
    assert!(!rules.contains("redirect to :15006") && rules.contains("iifname \"tap0\""), "{rules}");
    agent.until_said("DNS goes to port 15053");
    agent.until_said("\"bad name\" is not an interface name");
}

fn an_agent_starts_again_under_a_running_ztunnel() {
    let node = Node::new();
    let (web, gone) = (node.create("web"), node.create("gone"));
    node.pod("web", "");
    node.pod("gone", "");
    let first = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    first.until_captured(&["shop/web", "shop/gone"]);
    let before = dump(&web);
    let (code, log) = first.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("rules stay in place") && log.contains("ambit-agent cleanup"), "{log}");
    assert_eq!(dump(&web), before, "an agent that ends opens no pod");
    assert!(!node.zds.exists());

    // Meanwhile one pod is taken out of the mesh.
    node.pod_labelled("gone", "none");
    let second = Agent::start(&node);
    second.until_captured(&["shop/web"]);
    proxy.until_told(&Told::Snapshot { stale: vec!["shop/gone".to_owned()] });
    second.until("rules of the pod that left gone", || !redirects(&gone));
    assert_eq!(second.said("shop/web: rules in place (nftables)"), 0, "they were whole already");
    assert_eq!(dump(&web), before);
}

fn rules_move_to_another_renderer() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    let first = Agent::start_with(&node, &["--rules", "iptables"]);
    let _proxy = Proxy::start(&node.zds);
    first.until_captured(&["shop/web"]);
    first.stop();
    let second = Agent::start(&node);
    second.until_captured(&["shop/web"]);
    second.until("nftables alone", || redirects(&web) && iptables(&web).is_empty());
    assert!(fs::read_to_string(node.zds.with_extension("sock.rules")).unwrap().contains("iptables"));
}

fn no_pods_are_ready_pods() {
    let node = Node::new();
    let agent = Agent::start(&node);
    agent.until("readiness", || agent.ready());
    assert_eq!(agent.said("is --node right?"), 0);
}

fn pods_of_other_nodes_are_left_alone() {
    let node = Node::new();
    let far = node.create("far");
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: far\n  namespace: shop\n  annotations: {ambit.mesh/netns: PATH}\nspec: {nodeName: there}\n";
    node.write("far", &text.replace("PATH", &node.path("far").display().to_string()));
    let agent = Agent::start_with(&node, &["--admin", "0.0.0.0:0"]);
    agent.until_said("the pods' spec.nodeName are there; is --node right?");
    agent.until_said("is not on localhost: only readiness and metrics are served");
    assert!(!redirects(&far));
}
