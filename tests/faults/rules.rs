//! Rules that come and go: enrolment, un-enrolment, repair, clean-up.

use std::process::Command;

use ambit_netns::Namespace;
use ambit_tests::load::Load;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::PodSpec;
use ambit_tests::process::Process;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::{SIDES, Side};
use ambit_tests::wait::wait_until;
use ambit_tests::wire::Wire;
use ambit_tests::{client, http};

pub(crate) const TESTS: &[Test] = &[
    ("a_pod_leaves_the_mesh_alive", a_pod_leaves_the_mesh_alive),
    ("a02_flushed_rules_are_repaired", a02_flushed_rules_are_repaired),
    ("clean_up_leaves_nothing", clean_up_leaves_nothing),
];

/// Everything that rules could change, in the words of the machine's own tools.
fn dump(namespace: &Namespace) -> String {
    let tool = |line: &str| {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let output = namespace.run(|| command.args(words).output()).unwrap().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        format!("# {line}\n{}", String::from_utf8_lossy(&output.stdout))
    };
    let lines = [
        "nft list ruleset",
        "ip -4 rule",
        "ip -6 rule",
        "ip -4 route show table all",
        "ip -6 route show table all",
    ];
    // What the kernel adds by itself, in its own time; rules do not make these.
    let made =
        |line: &&str| !["expires", "cache", "local fe80:"].iter().any(|learned| line.contains(learned));
    lines
        .iter()
        .map(|line| tool(line))
        .collect::<String>()
        .lines()
        .filter(made)
        .map(|line| format!("{line}\n"))
        .collect()
}

fn a_pod_leaves_the_mesh_alive() {
    let mut mesh = Mesh::started("leave");
    let mut spec = PodSpec::new("far", Side::B);
    spec.mode = Some("none".into());
    let (web, mut far) = (mesh.pod("web", Side::A), mesh.add(spec));
    let before = dump(far.netns());
    let _server = Server::http(far.netns(), 8080, "far");
    mesh.settled();
    let wire = Wire::watch(mesh.node(Side::A), &["first-marker", "second-marker", "third-marker"]);
    http::get(web.netns(), far.at(8080), "/first-marker").unwrap();

    mesh.rewrite(&mut far, |spec| spec.mode = Some("ambient".into()));
    mesh.settled();
    assert_ne!(dump(far.netns()), before, "an enrolled pod has no rules");
    http::get(web.netns(), far.at(8080), "/second-marker").unwrap();

    // Out again, with traffic. A connection that is being made in this moment may fail; none may hang.
    let load = Load::connections(web.netns(), far.at(8080), "x");
    load.more(10);
    mesh.rewrite(&mut far, |spec| spec.mode = Some("none".into()));
    mesh.settled();
    wait_until("every rule is gone", || dump(far.netns()) == before);
    load.more(10);
    let failed = load.failures().len();
    load.more(20);
    assert_eq!(load.failures().len(), failed, "{:?}", load.failures());
    drop(load);
    let answer = http::get(web.netns(), far.at(8080), "/third-marker").unwrap();
    assert_eq!(answer.body, format!("far /third-marker {}", web.place.v4));
    let crossed = wire.crossed();
    assert_eq!(crossed.markers.into_iter().collect::<Vec<_>>(), ["first-marker", "third-marker"]);
}

fn a02_flushed_rules_are_repaired() {
    let mut mesh = Mesh::started("flushed");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let _server = Server::http(far.netns(), 8080, "far");
    let before = dump(web.netns());
    let flushed =
        web.netns().run(|| Command::new("nft").args(["flush", "ruleset"]).status()).unwrap().unwrap();
    assert!(flushed.success());
    wait_until("the rules are back", || dump(web.netns()) == before);
    mesh.agent(Side::A).said(&["shop/web", "missing"]);
    let wire = Wire::watch(mesh.node(Side::A), &["secret-marker"]);
    http::get(web.netns(), far.at(8080), "/secret-marker").unwrap();
    assert!(wire.crossed().markers.is_empty(), "repaired rules do not capture");
}

fn clean_up_leaves_nothing() {
    let mut mesh = Mesh::new("clean-up");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    let before = [&web, &far].map(|pod| dump(pod.netns()));
    mesh.start();
    mesh.settled();
    let _server = Server::echo(far.netns(), 8080);
    let check = |mesh: &Mesh, side: Side| {
        let mut check = Process::start("check", mesh.node(side), &mut subcommand(mesh, side, "check"));
        (check.ended().success(), check.lines())
    };
    for side in SIDES {
        let (good, lines) = check(&mesh, side);
        assert!(good, "{lines:?}");
        mesh.agents[side.index()].take().unwrap().kill();
        mesh.kill_ztunnel(side);
        let mut command = subcommand(&mesh, side, "cleanup");
        command.args(["--controller", &Mesh::controller_address().to_string()]);
        command.arg("--token").arg(mesh.token(side)).arg("--root").arg(mesh.root());
        let mut cleanup = Process::start("cleanup", mesh.node(side), &mut command);
        assert!(cleanup.ended().success(), "{:?}", cleanup.lines());
        let (good, lines) = check(&mesh, side);
        assert!(!good, "the rules are gone, and check says: {lines:?}");
    }
    assert_eq!([&web, &far].map(|pod| dump(pod.netns())), before);
    assert!(client::passes(web.netns(), far.at(8080)), "the pods cannot talk without the mesh");
}

fn subcommand(mesh: &Mesh, side: Side, name: &str) -> Command {
    let mut command = ambit_tests::process::command("ambit-agent");
    command.arg(name).arg("--config").arg(mesh.config()).args(["--node", side.name()]);
    command
}
