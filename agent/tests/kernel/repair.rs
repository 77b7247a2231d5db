//! Rules that somebody takes away (attack A2), and namespaces that are replaced (attack A28).

use crate::Test;
use crate::agent::{Agent, poll};
use crate::node::{Node, dump, inode, iptables, redirects, tool};
use crate::proxy::{Proxy, Told};

pub(crate) const TESTS: &[Test] = &[
    ("a2_flushed_rules_come_back", a2_flushed_rules_come_back),
    ("a2_flushed_iptables_come_back", a2_flushed_iptables_come_back),
    ("a2_every_part_of_the_routing_comes_back", a2_every_part_of_the_routing_comes_back),
    ("a28_a_replaced_namespace_is_a_new_pod", a28_a_replaced_namespace_is_a_new_pod),
    ("a28_replaced_again_and_again", a28_replaced_again_and_again),
    ("a_pod_that_ztunnel_refuses_is_tried_again", a_pod_that_ztunnel_refuses_is_tried_again),
];

/// A node with one captured pod, verified twice a second.
fn captured(node: &Node, more: &[&str]) -> (Agent, Proxy) {
    node.pod("web", "");
    let agent = Agent::start_with(node, &[&["--repair-interval", "500ms"], more].concat());
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    (agent, proxy)
}

fn a2_flushed_rules_come_back() {
    let node = Node::new();
    let web = node.create("web");
    let (agent, proxy) = captured(&node, &[]);
    let whole = dump(&web);
    tool(&web, "nft flush ruleset");
    agent.until_said("pod shop/web: its rules were not whole and were repaired (missing: table inet ambit");
    assert_eq!(dump(&web), whole);
    tool(&web, "nft delete chain inet ambit nat-output");
    agent.until("second repair", || dump(&web) == whole);
    agent.until("two repairs counted", || agent.metrics().contains("ambit_agent_repairs_total 2"));
    let adds = proxy.told().iter().filter(|told| matches!(told, Told::Add { .. })).count();
    assert_eq!(adds, 1, "ztunnel has nothing to do with it");
    assert_eq!(agent.state("shop/web"), "captured");
}

fn a2_flushed_iptables_come_back() {
    let node = Node::new();
    let web = node.create("web");
    let (agent, _proxy) = captured(&node, &["--rules", "iptables"]);
    let whole = iptables(&web);
    tool(&web, "iptables -t nat -F");
    agent.until_said("its rules were not whole and were repaired");
    agent.until("whole rules", || iptables(&web) == whole);
}

fn a2_every_part_of_the_routing_comes_back() {
    let node = Node::new();
    let web = node.create("web");
    let (agent, _proxy) = captured(&node, &[]);
    let whole = dump(&web);
    for line in [
        "ip -4 rule del pref 32764",
        "ip -6 rule del pref 32764",
        "ip -4 route flush table 100",
        "ip -6 route flush table 100",
    ] {
        tool(&web, line);
        agent.until(line, || dump(&web) == whole);
    }
}

fn a28_a_replaced_namespace_is_a_new_pod() {
    let node = Node::new();
    let old = node.create("web");
    let (agent, proxy) = captured(&node, &[]);
    node.vanish("web");
    let new = node.create("web");
    proxy.until_added("shop/web", inode(&new));
    agent.until_captured(&["shop/web"]);
    assert!(redirects(&new), "the new one is captured");
    assert!(redirects(&old), "whoever is left in the old one gets no way around the proxy");
}

fn a28_replaced_again_and_again() {
    let node = Node::new();
    drop(node.create("web"));
    let (agent, proxy) = captured(&node, &[]);
    for _ in 0..50 {
        node.vanish("web");
        drop(node.create("web"));
    }
    let last = ambit_netns::Namespace::open(node.path("web")).unwrap();
    proxy.until_added("shop/web", inode(&last));
    agent.until_captured(&["shop/web"]);
    assert!(redirects(&last));
    // What ztunnel was told last is what is there.
    let adds =
        || proxy.told().into_iter().rev().find(|told| matches!(told, Told::Add { .. } | Told::Remove(_)));
    let wanted = Told::Add { uid: "shop/web".into(), inode: inode(&last), account: "web".into() };
    assert!(poll(|| adds() == Some(wanted.clone())), "{:?}", proxy.told());
}

fn a_pod_that_ztunnel_refuses_is_tried_again() {
    let node = Node::new();
    let _web = node.create("web");
    node.pod("web", "");
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    proxy.refuse(Some("port 15008 is taken"));
    // The first add may have come before the word.
    node.pod("second", "");
    let _second = node.create("second");
    agent.until_state("shop/second", "rejected");
    let reason = agent.pod("shop/second").unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("port 15008 is taken"), "{reason}");
    proxy.refuse(None);
    agent.until_captured(&["shop/web", "shop/second"]);
}
