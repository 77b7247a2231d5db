//! Pods that come and go while others open connections: none is lost, whichever worker carries it.

use ambit_tests::load::Load;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::Pod;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::{SIDES, Side};
use ambit_tests::wait::wait_until;
use ambit_tests::{client, exchange, fast_paths, http};

pub(crate) const TESTS: &[Test] =
    &[("nothing_is_lost_while_pods_come_and_go", nothing_is_lost_while_pods_come_and_go)];

/// Connections at the same time, so that each of three workers carries some.
const AT_ONCE: usize = 9;

fn nothing_is_lost_while_pods_come_and_go() {
    let mut mesh = Mesh::new("coming");
    mesh.settings.insert("ZTUNNEL_WORKER_THREADS".into(), "3".into());
    mesh.start();
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let _http = [&near, &far].map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name));
    let _echo = [&near, &far].map(|pod| Server::echo(pod.netns(), 7000));
    let talk = |number: usize| {
        let mut stream = client::connect(web.netns(), [&near, &far][number % 2].at(7000));
        client::talk(&mut stream, "hello");
        stream
    };
    let mut living: Vec<_> = (0..2 * AT_ONCE).map(talk).collect();
    let loads: Vec<Load> = [&near, &far, &near, &far]
        .map(|to| Load::connections(web.netns(), to.at(8080), "x"))
        .into_iter()
        .collect();
    for round in 0..4 {
        let new = SIDES.map(|side| mesh.pod(&format!("new-{}-{round}", side.name()), side));
        mesh.settled();
        let servers = new.each_ref().map(|pod| Server::echo(pod.netns(), 7000));
        for pod in &new {
            every_worker_knows(&mesh, &web, pod);
            // The first packet to a new IPv6 neighbour may find nobody yet.
            wait_until("the way is there", || http::get(pod.netns(), near.at6(8080), "/").is_ok());
            exchange::many(pod.netns(), &[near.at(7000), far.at(7000), near.at6(7000)], AT_ONCE);
        }
        let [first, mut second] = new;
        mesh.delete(&first);
        // The other one only leaves the mesh.
        mesh.rewrite(&mut second, |spec| spec.mode = Some("none".into()));
        loads.iter().for_each(|load| load.more(5));
        living.iter_mut().for_each(|stream| client::talk(stream, "still here"));
        mesh.settled();
        mesh.delete(&second);
        loads.iter().for_each(|load| load.more(5));
        drop(servers);
    }
    living.iter_mut().for_each(|stream| client::talk(stream, "to the end"));
    for load in loads {
        load.flawless();
    }
}

/// Whichever worker carries a connection to a new pod delivers it, and a neighbour's without a tunnel.
fn every_worker_knows(mesh: &Mesh, web: &Pod, pod: &Pod) {
    // Both ends have their certificates afterwards.
    client::talk(&mut client::connect(web.netns(), pod.at(7000)), "hello");
    exchange::many(web.netns(), &[pod.at(7000)], AT_ONCE);
    if pod.spec.side == Side::A && fast_paths::of_this_run().is_empty() {
        wait_until("all connections to the neighbour were handed over", || {
            let lines = mesh.ztunnel(Side::A).access();
            let outbound = lines.iter().filter(|line| line["direction"] == "outbound");
            let to_it = outbound.filter(|line| line["dst.workload"] == pod.spec.name);
            to_it.filter(|line| line["connection.path"] == "same-node").count() >= AT_ONCE
        });
    }
}
