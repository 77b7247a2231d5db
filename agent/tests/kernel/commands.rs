//! `ambit-agent check` and `ambit-agent cleanup`.

use std::process::Output;

use crate::Test;
use crate::agent::{Agent, command, run};
use crate::node::{Node, dump, iptables, tool};
use crate::proxy::Proxy;

pub(crate) const TESTS: &[Test] = &[
    ("cleanup_leaves_nothing", cleanup_leaves_nothing),
    ("cleanup_removes_the_rules_of_both_renderers", cleanup_removes_the_rules_of_both_renderers),
    ("a_wrong_node_is_said", a_wrong_node_is_said),
    ("check_notices_drift_and_changes_nothing", check_notices_drift_and_changes_nothing),
    ("check_finds_rules_that_should_not_be_there", check_finds_rules_that_should_not_be_there),
];

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn cleanup_leaves_nothing() {
    let node = Node::new();
    let (web, former) = (node.create("web"), node.create("former"));
    let foreign = "nft add table inet theirs";
    tool(&web, foreign);
    tool(&former, foreign);
    let before = dump(&web);
    node.pod("web", "");
    node.pod("former", "");
    node.pod("ghost", "");
    let agent = Agent::start(&node);
    let _proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web", "shop/former"]);

    let (code, text) = said(&run(&node, "cleanup", &[]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is running") && text.contains("stop it first"), "{text}");
    // Whatever socket is named: it is the node's agent.
    let elsewhere = node.directory.path().join("elsewhere.sock");
    let mut other = command(&node, &["cleanup"]);
    let (code, text) = said(&other.arg("--zds").arg(elsewhere).output().unwrap());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("stop it first") && text.lines().count() == 1, "{text}");
    assert_ne!(dump(&web), before);
    let note = node.zds.with_extension("sock.rules");
    assert!(note.exists());
    agent.stop();

    // Enrolled or not.
    node.pod_labelled("former", "none");
    let (code, text) = said(&run(&node, "cleanup", &[]));
    assert_eq!(code, Some(0), "{text}");
    assert_eq!((dump(&web), dump(&former)), (before.clone(), before), "foreign rules stay, ours go");
    for line in [
        "shop/web: removed ",
        "shop/former: removed ",
        "shop/ghost: no network namespace",
        "from 2 of 3 pods",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    assert!(!note.exists(), "no renderer has rules any more");
    let (code, text) = said(&run(&node, "cleanup", &[]));
    assert_eq!(code, Some(0));
    assert!(text.contains("shop/web: no rules") && text.contains("from 0 of 3 pods"), "{text}");
}

fn cleanup_removes_the_rules_of_both_renderers() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    let agent = Agent::start_with(&node, &["--rules", "iptables"]);
    let _proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    agent.stop();
    let (code, text) = said(&run(&node, "cleanup", &[]));
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(iptables(&web), "");
    assert!(!dump(&web).contains("lookup 100"));
}

fn a_wrong_node_is_said() {
    let mut node = Node::new();
    node.pod("web", "");
    let right = std::mem::replace(&mut node.name, "wrong".to_owned());
    for name in ["check", "cleanup"] {
        let (code, text) = said(&run(&node, name, &[]));
        assert_eq!(code, Some(1), "{name}: {text}");
        let line = format!("no pod is on this node: the pods' spec.nodeName are {right}; is --node right?");
        assert_eq!(text.trim(), format!("ambit-agent: {line}"), "{name}");
    }
}

fn check_notices_drift_and_changes_nothing() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    let (code, text) = said(&run(&node, "check", &[]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("shop/web: rules not in place: missing: table inet ambit"), "{text}");

    let agent = Agent::start(&node);
    let _proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    let (code, text) = said(&run(&node, "check", &[]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("shop/web: rules in place") && text.contains("all as they should be"), "{text}");
    agent.stop();

    tool(&web, "ip -6 rule del pref 32764");
    let drifted = dump(&web);
    let (code, text) = said(&run(&node, "check", &[]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("shop/web: rules not in place: missing: IPv6 routing rule"), "{text}");
    assert_eq!(dump(&web), drifted);
}

fn check_finds_rules_that_should_not_be_there() {
    let node = Node::new();
    let _web = node.create("web");
    node.pod("web", "");
    let agent = Agent::start_with(&node, &["--rules", "iptables"]);
    let _proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/web"]);
    agent.stop();
    let (code, text) = said(&run(&node, "check", &[]));
    assert_eq!(code, Some(0), "the other renderer's rules are as good: {text}");
    assert!(text.contains("rules in place (iptables)"), "{text}");

    node.pod_labelled("web", "none");
    let (code, text) = said(&run(&node, "check", &[]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("rules that should not be there"), "{text}");

    node.write("broken", "apiVersion: v1\n");
    let (code, text) = said(&run(&node, "check", &[]));
    assert_eq!(code, Some(1));
    assert!(text.contains("broken.yaml:1:"), "{text}");
}
