//! Each of the programs dies or comes late.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use ambit_tests::load::Load;
use ambit_tests::mesh::Mesh;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::{SIDES, Side};
use ambit_tests::wait::wait_until;
use ambit_tests::wire::Wire;
use ambit_tests::{client, http};
use nix::sys::signal::Signal;

pub(crate) const TESTS: &[Test] = &[
    ("f01_the_controller_is_killed", f01_the_controller_is_killed),
    ("the_proxy_starts_before_the_controller", the_proxy_starts_before_the_controller),
    ("f07_the_proxy_is_killed", f07_the_proxy_is_killed),
    ("the_agent_is_killed", the_agent_is_killed),
    (
        "everything_on_a_node_is_killed_while_the_controller_is_away",
        everything_on_a_node_is_killed_while_the_controller_is_away,
    ),
    ("a_stopping_proxy_drains", a_stopping_proxy_drains),
];

fn f01_the_controller_is_killed() {
    let mut mesh = Mesh::started("controller-killed");
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let _servers = [&near, &far].map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name));
    let wire = Wire::watch(mesh.node(Side::A), &["secret-marker"]);
    let loads = [
        Load::connections(web.netns(), far.at(8080), "secret-marker"),
        Load::connections(web.netns(), near.at(8080), "secret-marker"),
        Load::requests(web.netns(), far.at(8080), "secret-marker"),
    ];
    let goes_on = || loads.iter().for_each(|load| load.more(30));
    goes_on();
    mesh.controller.take().unwrap().kill();
    goes_on();
    mesh.start_controller();
    // The first thing that it serves must not be that the captured pods are plaintext again.
    goes_on();
    let late = mesh.pod("late", Side::B);
    mesh.settled();
    let _late = Server::http(late.netns(), 8080, "late");
    http::get(web.netns(), late.at(8080), "/secret-marker").unwrap();
    goes_on();
    for load in loads {
        load.flawless();
    }
    let crossed = wire.crossed();
    assert!(crossed.markers.is_empty(), "a known mesh pair spoke plaintext");
    assert!(crossed.tunnel > 0);
}

fn the_proxy_starts_before_the_controller() {
    let mut mesh = Mesh::new("ztunnel-first");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    for side in SIDES {
        mesh.start_ztunnel(side);
    }
    for side in SIDES {
        // It says what it waits for, and that it is not ready.
        mesh.ztunnel(side).said(&["root-cert.pem"]);
        let ready = "127.0.0.1:15021".parse().unwrap();
        wait_until("the proxy says that it is not ready", || {
            http::get(mesh.node(side), ready, "/healthz/ready").is_ok_and(|answer| answer.status == 500)
        });
        mesh.start_agent(side);
    }
    mesh.start_controller();
    mesh.settled();
    let _server = Server::echo(far.netns(), 8080);
    assert!(client::passes(web.netns(), far.at(8080)));
    for side in SIDES {
        let ready = "127.0.0.1:15021".parse().unwrap();
        wait_until("the proxy is ready", || {
            http::get(mesh.node(side), ready, "/healthz/ready").is_ok_and(|answer| answer.status == 200)
        });
    }
}

fn f07_the_proxy_is_killed() {
    let mut mesh = Mesh::started("ztunnel-killed");
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let servers = [&near, &far].map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name));
    let wire = Wire::watch(mesh.node(Side::A), &["secret-marker"]);
    for side in SIDES {
        let loads = [&near, &far].map(|pod| Load::connections(web.netns(), pod.at(8080), "secret-marker"));
        let mut living = client::connect(web.netns(), far.at(8080));
        http::ask(&mut living, far.at(8080), "/secret-marker").unwrap();
        loads.iter().for_each(|load| load.more(20));
        mesh.kill_ztunnel(side);
        // Those that were open end, nothing hangs.
        let (_, ended) = client::drain(&mut living);
        assert!(!ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the connection hangs");
        wait_until("requests fail while the proxy is away", || !loads[1].failures().is_empty());
        let before = servers.iter().map(|server| server.seen.connections()).sum::<usize>();
        if side == Side::A {
            // Neither pod has a proxy: nothing can arrive, captured or not.
            for pod in [&near, &far] {
                assert!(http::get(web.netns(), pod.at(8080), "/secret-marker").is_err());
            }
            let after = servers.iter().map(|server| server.seen.connections()).sum::<usize>();
            assert!(after <= before + 1, "a connection went around the proxy");
        }
        mesh.start_ztunnel(side);
        mesh.settled();
        for load in &loads {
            load.more(20);
            let failed = load.failures().len();
            load.more(20);
            assert_eq!(load.failures().len(), failed, "requests fail although all is served again");
        }
    }
    let crossed = wire.crossed();
    assert!(crossed.markers.is_empty(), "plaintext crossed while a proxy was away");
    assert!(crossed.tunnel > 0);
}

fn the_agent_is_killed() {
    let mut mesh = Mesh::started("agent-killed");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let _server = Server::http(far.netns(), 8080, "far");
    let wire = Wire::watch(mesh.node(Side::A), &["secret-marker"]);
    let loads = [
        Load::connections(web.netns(), far.at(8080), "secret-marker"),
        Load::requests(web.netns(), far.at(8080), "secret-marker"),
    ];
    for side in SIDES {
        for politely in [false, true] {
            loads.iter().for_each(|load| load.more(20));
            let mut agent = mesh.agents[side.index()].take().unwrap();
            if politely {
                agent.signal(Signal::SIGTERM);
                assert!(agent.ended().success());
            } else {
                agent.kill();
            }
            loads.iter().for_each(|load| load.more(20));
            mesh.start_agent(side);
            // It is at work again: a new pod is captured.
            let late = mesh.pod(&format!("late-{politely}-{}", side.name()), side);
            mesh.settled();
            drop(late);
            loads.iter().for_each(|load| load.more(20));
        }
    }
    for load in loads {
        load.flawless();
    }
    assert!(wire.crossed().markers.is_empty());
}

/// Guarantee 1: a known mesh pair never exchanges plaintext, also right after a restart with the controller away.
fn everything_on_a_node_is_killed_while_the_controller_is_away() {
    let mut mesh = Mesh::started("node-killed");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let server = Server::http(far.netns(), 8080, "far");
    let wire = Wire::watch(mesh.node(Side::A), &["secret-marker"]);
    http::get(web.netns(), far.at(8080), "/secret-marker").unwrap();
    let before = server.seen.connections();
    mesh.controller.take().unwrap().kill();
    mesh.kill_ztunnel(Side::A);
    mesh.agents[0].take().unwrap().kill();
    let refused = |when: &str| {
        assert!(http::get(web.netns(), far.at(8080), "/secret-marker").is_err(), "{when}");
        assert_eq!(server.seen.connections(), before, "{when}");
    };
    refused("with nothing running");
    mesh.start_agent(Side::A);
    mesh.start_ztunnel(Side::A);
    mesh.ztunnel(Side::A).said(&["ztunnel started"]);
    mesh.agent(Side::A).said(&["controller"]);
    refused("with the controller away");
    mesh.start_controller();
    mesh.settled();
    http::get(web.netns(), far.at(8080), "/secret-marker").unwrap();
    let crossed = wire.crossed();
    assert!(crossed.markers.is_empty(), "plaintext crossed");
}

fn a_stopping_proxy_drains() {
    let mut mesh = Mesh::new("drain");
    mesh.settings.insert("CONNECTION_TERMINATION_DEADLINE".into(), "6s".into());
    mesh.start();
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let _server = Server::echo(far.netns(), 8080);
    let mut streams: Vec<_> = (0..3).map(|_| client::connect(web.netns(), far.at(8080))).collect();
    streams.iter_mut().for_each(|stream| client::talk(stream, "before"));

    // The server's side leaves: its client's proxy is told and makes no new streams, the living ones go on.
    let mut leaving = mesh.ztunnels[Side::B.index()].take().unwrap();
    let asked = Instant::now();
    leaving.signal(Signal::SIGTERM);
    leaving.said(&["shutting down"]);
    wait_until("no new connection is taken", || !client::passes(web.netns(), far.at(8080)));
    streams.iter_mut().for_each(|stream| client::talk(stream, "during"));
    assert!(asked.elapsed() < Duration::from_secs(6), "the machine is too slow for this test");
    assert!(leaving.runs(), "it left although connections were open");
    // One ends by itself, the others at the deadline.
    drop(streams.pop());
    let ended = leaving.ended();
    let took = asked.elapsed();
    assert!(ended.success() && took >= Duration::from_secs(5), "{ended:?} after {took:?}");
    assert!(took < Duration::from_secs(12), "it stayed for {took:?}");
    for stream in &mut streams {
        assert!(!matches!(stream.read(&mut [0; 8]), Ok(1..)));
    }

    // Without connections it leaves at once.
    mesh.start_ztunnel(Side::B);
    mesh.settled();
    let asked = Instant::now();
    mesh.stop_ztunnel(Side::B);
    assert!(asked.elapsed() < Duration::from_secs(4), "an idle proxy took {:?} to leave", asked.elapsed());

    // The client's side leaves while a connection lives, and follows it when that ends.
    mesh.start_ztunnel(Side::B);
    mesh.settled();
    let mut stream = client::connect(web.netns(), far.at(8080));
    client::talk(&mut stream, "before");
    let mut leaving = mesh.ztunnels[Side::A.index()].take().unwrap();
    let asked = Instant::now();
    leaving.signal(Signal::SIGTERM);
    leaving.said(&["shutting down"]);
    client::talk(&mut stream, "during");
    drop(stream);
    assert!(leaving.ended().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "it did not leave with its last connection");
}
