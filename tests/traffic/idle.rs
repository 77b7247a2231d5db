//! What does a pod cost that does nothing, and who carries what it does?

use ambit_tests::client;
use ambit_tests::mesh::Mesh;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

pub(crate) const TESTS: &[Test] = &[
    ("an_idle_pod_costs_four_descriptors", an_idle_pod_costs_four_descriptors),
    ("connections_that_last_are_spread_over_the_workers", connections_that_last_are_spread),
];

/// Its namespace and three listeners, however many workers there are.
const DESCRIPTORS: usize = 4;

fn an_idle_pod_costs_four_descriptors() {
    let mut mesh = Mesh::new("idle-pod");
    mesh.settings.insert("ZTUNNEL_WORKER_THREADS".into(), "4".into());
    mesh.start();
    mesh.pod("first", Side::A);
    mesh.settled();
    let path = format!("/proc/{}/fd", mesh.ztunnel(Side::A).pid());
    let count = || std::fs::read_dir(&path).unwrap().count();
    // What the start needed for a moment is closed again soon, but not at a moment that could be named.
    let mut before = count();
    wait_until("descriptors of the start are closed", || std::mem::replace(&mut before, count()) == count());
    for number in 0..8 {
        mesh.pod(&format!("idle{number}"), Side::A);
    }
    mesh.settled();
    wait_until("each further pod holds four descriptors", || count() <= before + 8 * DESCRIPTORS);
}

fn connections_that_last_are_spread() {
    let mut mesh = Mesh::new("spread");
    mesh.settings.insert("ZTUNNEL_WORKER_THREADS".into(), "2".into());
    mesh.start();
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let server = Server::echo(far.netns(), 8080);
    let mut streams: Vec<_> = (0..16)
        .map(|number| {
            let mut stream = client::connect(web.netns(), far.at(8080));
            client::talk(&mut stream, &format!("first word of {number}"));
            stream
        })
        .collect();
    // Each worker has tunnels of its own, and one tunnel would be enough for so few.
    let tables = far.netns().run(|| {
        ["tcp", "tcp6"]
            .map(|table| std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap())
    });
    let established = |line: &&str| line.contains(":3AA0 ") && line.contains(" 01 ");
    let tunnels = tables.unwrap().iter().flat_map(|table| table.lines()).filter(established).count();
    assert!(tunnels >= 2, "{tunnels} tunnels carry 16 connections of two workers");
    for (number, stream) in streams.iter_mut().enumerate() {
        client::talk(stream, &format!("second word of {number}"));
    }
    assert_eq!(server.seen.connections(), 16);
}
