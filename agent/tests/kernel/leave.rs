//! Pods that are not to be captured any more.

use crate::Test;
use crate::agent::Agent;
use crate::node::{Node, dump, inode, iptables, redirects};
use crate::proxy::{Proxy, Told};

pub(crate) const TESTS: &[Test] = &[
    ("a_label_that_goes_opens_the_pod", a_label_that_goes_opens_the_pod),
    ("a_pod_that_goes_leaves_nothing", a_pod_that_goes_leaves_nothing),
    ("a_pod_that_ended_is_opened", a_pod_that_ended_is_opened),
    ("a_namespace_that_vanishes_is_taken_from_ztunnel", a_namespace_that_vanishes_is_taken_from_ztunnel),
    ("one_pod_takes_the_place_of_another", one_pod_takes_the_place_of_another),
    ("iptables_leaves_nothing", iptables_leaves_nothing),
    ("an_invalid_configuration_opens_nobody", an_invalid_configuration_opens_nobody),
];

fn removed(uid: &str) -> Told {
    Told::Remove(uid.to_owned())
}

fn a_label_that_goes_opens_the_pod() {
    let node = Node::new();
    let (web, cart) = (node.create("web"), node.create("cart"));
    let before = dump(&web);
    node.pod("web", "");
    node.pod("cart", "");
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web", "shop/cart"]);
    node.pod_labelled("web", "none");
    proxy.until_told(&removed("shop/web"));
    assert_eq!(dump(&web), before, "the rules go before the proxy does");
    agent.until_state("shop/web", "outside");
    assert!(redirects(&cart));

    // And back, and the whole namespace out.
    node.pod("web", "");
    agent.until_captured(&["shop/web"]);
    assert!(redirects(&web));
    node.enrol_namespace(false);
    agent.until_state("shop/web", "outside");
    agent.until_state("shop/cart", "outside");
    assert_eq!((dump(&web), dump(&cart)), (before.clone(), before));
}

fn a_pod_that_goes_leaves_nothing() {
    let node = Node::new();
    let web = node.create("web");
    let before = dump(&web);
    node.pod("web", "");
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    node.remove_pod("web");
    proxy.until_told(&removed("shop/web"));
    assert_eq!(dump(&web), before);
    agent.until("pod forgotten", || agent.pod("shop/web").is_none());
}

fn a_pod_that_ended_is_opened() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    node.pod("web", "");
    let path = node.config.join("web.yaml");
    let ended = std::fs::read_to_string(path).unwrap() + "status: {phase: Succeeded}\n";
    node.write("web", &ended);
    proxy.until_told(&removed("shop/web"));
    assert!(!redirects(&web));
}

fn a_namespace_that_vanishes_is_taken_from_ztunnel() {
    let node = Node::new();
    let (web, cart) = (node.create("web"), node.create("cart"));
    drop(web);
    node.pod("web", "");
    node.pod("cart", "");
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web", "shop/cart"]);
    node.vanish("web");
    proxy.until_told(&removed("shop/web"));
    agent.until_state("shop/web", "blocked");
    assert_eq!(agent.state("shop/cart"), "captured");
    assert!(redirects(&cart));
    agent.until("readiness", || agent.ready());
}

fn one_pod_takes_the_place_of_another() {
    let node = Node::new();
    let place = node.create("place");
    let path = node.path("place").display().to_string();
    node.pod_at("old", &path, "");
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/old"]);
    // In one file, so that both changes come together.
    node.pod_at("new", &path, "");
    let text = std::fs::read_to_string(node.config.join("new.yaml")).unwrap();
    node.remove_pod("new");
    node.write("old", &text);
    agent.until_captured(&["shop/new"]);
    let told = proxy.told();
    let at = |wanted: &Told| told.iter().position(|told| told == wanted);
    let added = Told::Add { uid: "shop/new".into(), inode: inode(&place), account: "new".into() };
    assert!(
        at(&removed("shop/old")).unwrap() < at(&added).unwrap(),
        "never two pods in one namespace: {told:?}"
    );
    assert!(redirects(&place));
    assert_eq!(agent.said("rules removed"), 0, "{}", agent.log());
}

fn iptables_leaves_nothing() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    let agent = Agent::start_with(&node, &["--rules", "iptables"]);
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    node.pod_labelled("web", "none");
    proxy.until_told(&removed("shop/web"));
    assert_eq!(iptables(&web), "");
    assert!(!dump(&web).contains("lookup 100"));
}

fn an_invalid_configuration_opens_nobody() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    let agent = Agent::start(&node);
    let _proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    node.write("broken", "apiVersion: v1\nkind: Pod\nmetadata: {name: x\n");
    agent.until_said("the last one that was valid stays in force");
    agent.until_said("broken.yaml:");
    node.remove_pod("web");
    node.write("web", "kind: nothing\n");
    agent.until_said("web.yaml:1:");
    assert_eq!(agent.state("shop/web"), "captured");
    assert!(redirects(&web));
    assert!(agent.metrics().contains("ambit_agent_configuration_valid 0"));

    node.remove_pod("broken");
    node.remove_pod("web");
    agent.until_said("the configuration is valid again");
    agent.until("pod forgotten", || agent.pod("shop/web").is_none());
    assert!(!redirects(&web));
}
