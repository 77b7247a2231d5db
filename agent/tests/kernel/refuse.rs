//! Paths that are no pod's network namespace, and other wrong input: one clear line each, and everybody else is served.

use std::fs;
use std::process::Command;

use crate::Test;
use crate::agent::{Agent, command};
use crate::node::{Node, redirects};
use crate::proxy::{Proxy, Told};

pub(crate) const TESTS: &[Test] = &[
    ("paths_that_are_no_pods_namespace", paths_that_are_no_pods_namespace),
    ("a_namespace_of_two_pods", a_namespace_of_two_pods),
    ("wrong_arguments_end_with_one_line", wrong_arguments_end_with_one_line),
    ("a_missing_privilege_is_named", a_missing_privilege_is_named),
    ("an_invalid_configuration_at_the_start", an_invalid_configuration_at_the_start),
];

fn paths_that_are_no_pods_namespace() {
    let node = Node::new();
    let _good = node.create("good");
    node.pod("good", "");
    node.pod_at("own", "/proc/self/ns/net", "");
    node.pod_at("user", "/proc/self/ns/user", "");
    node.pod_at("device", "/dev/null", "");
    node.pod("ghost", "");
    fs::write(node.path("file"), "").unwrap();
    node.pod("file", "");
    node.write(
        "bare",
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: bare, namespace: shop}}\nspec: {{nodeName: {}}}\n",
            node.name
        ),
    );
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/good"]);
    for (name, reason) in [
        ("own", "this machine's own network namespace"),
        ("user", "is a user namespace, not a network namespace"),
        ("device", "is not a network namespace"),
        ("ghost", "does not exist"),
        ("file", "is not a network namespace"),
        ("bare", "has no annotation ambit.mesh/netns"),
    ] {
        agent.until_state(&format!("shop/{name}"), "blocked");
        assert!(agent.said(&format!("pod shop/{name}: ")) == 1, "{name}: {}", agent.log());
        let said = agent.pod(&format!("shop/{name}")).unwrap()["reason"].as_str().unwrap().to_owned();
        assert!(said.contains(reason), "{name}: {said}");
    }
    agent.until("readiness: everybody else is explained", || agent.ready());
    let added = proxy.told().into_iter().filter(|told| matches!(told, Told::Add { .. })).count();
    assert_eq!(added, 1);
    assert!(!redirects(&ambit_netns::Namespace::current().unwrap()));
    fs::remove_file(node.path("file")).unwrap();
}

fn a_namespace_of_two_pods() {
    let node = Node::new();
    let (shared, alone) = (node.create("shared"), node.create("alone"));
    shared.persist(node.path("alias")).unwrap();
    node.pod("shared", "");
    node.pod("alone", "");
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    agent.until_captured(&["shop/shared", "shop/alone"]);
    node.pod("alias", "");
    agent.until_state("shop/alias", "blocked");
    agent.until_said("is also that of pod shop/shared: give each pod its own");
    assert_eq!(agent.state("shop/shared"), "captured", "who had it keeps it");
    drop(agent);

    // Whose it is cannot be known now: nobody gets it, and it stays closed.
    let agent = Agent::start(&node);
    agent.until_state("shop/alias", "blocked");
    agent.until_state("shop/shared", "blocked");
    agent.until_captured(&["shop/alone"]);
    proxy.until_told(&Told::Snapshot { stale: vec!["shop/shared".to_owned()] });
    assert!(redirects(&shared) && redirects(&alone));
}

/// Runs the agent to its end, which must come by itself; gives what it said last.
fn failing(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    said
}

fn wrong_arguments_end_with_one_line() {
    let node = Node::new();
    let zds = node.zds.display().to_string();
    let with = |more: &[&str]| {
        let mut line = command(&node, &[]);
        line.args(more);
        if !more.contains(&"--admin") {
            line.args(["--admin", "off"]);
        }
        line
    };

    let mut missing = Command::new(env!("CARGO_BIN_EXE_ambit-agent"));
    missing.args(["--config", "/nowhere/at/all", "--node", "n", "--zds", &zds]);
    let said = failing(missing);
    assert!(said.contains("/nowhere/at/all") && said.contains("create it, or name another"), "{said}");

    let first = Agent::start(&node);
    first.until("readiness", || first.ready());
    let said = failing(with(&["--zds", &zds]));
    assert!(said.contains("is running") && said.contains("stop it first"), "{said}");
    let neighbour = Node::new();
    let mut another = command(&neighbour, &[]);
    another.args(["--admin", "off", "--zds", &zds]);
    let said = failing(another);
    assert!(said.contains("another program listens at") && said.contains(&zds), "{said}");
    first.stop();

    let plain = node.directory.path().join("plain");
    fs::write(&plain, "").unwrap();
    let said = failing(with(&["--zds", plain.to_str().unwrap()]));
    assert!(said.contains("is not a socket"), "{said}");

    let open = node.directory.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let said = failing(with(&["--zds", open.join("zds.sock").to_str().unwrap()]));
    assert!(said.contains("everybody may write") && said.contains("chmod o-w"), "{said}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let other = node.directory.path().join("other/zds.sock");
    let said = failing(with(&["--zds", other.to_str().unwrap(), "--admin", &address]));
    assert!(said.contains(&address), "{said}");

    let said = failing(with(&[
        "--zds",
        other.to_str().unwrap(),
        "--controller",
        "nowhere",
        "--token",
        "t",
        "--root",
        "r",
    ]));
    assert!(said.contains("nowhere") && said.contains("HOST:PORT"), "{said}");
}

fn a_missing_privilege_is_named() {
    let node = Node::new();
    // All capabilities go with the bounding set of a new program.
    let mut line = Command::new("setpriv");
    line.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
    line.arg(env!("CARGO_BIN_EXE_ambit-agent"))
        .arg("--config")
        .arg(&node.config)
        .args(["--node", &node.name]);
    line.arg("--zds").arg(&node.zds).args(["--admin", "off"]);
    let said = failing(line);
    assert!(said.contains("CAP_NET_ADMIN") && said.contains("run as root"), "{said}");
}

fn an_invalid_configuration_at_the_start() {
    let node = Node::new();
    let web = node.create("web");
    node.pod("web", "");
    node.write("broken", "apiVersion: v1\nkind: Pod\nmetadata: {namespace: shop}\n");
    let agent = Agent::start(&node);
    let proxy = Proxy::start(&node.zds);
    agent.until_said("nothing is captured before it is valid");
    assert!(!agent.ready());
    assert_eq!(proxy.told(), [], "an empty snapshot would take every pod from ztunnel");
    node.remove_pod("broken");
    agent.until_captured(&["shop/web"]);
    assert!(redirects(&web));
}
