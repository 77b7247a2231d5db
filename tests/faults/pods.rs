//! Pods that leave under traffic, and pods that come in their place.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ambit_tests::load::Load;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::{Pod, PodSpec};
use ambit_tests::resources::from_accounts;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::{SIDES, Side};
use ambit_tests::wait::{PATIENCE, wait_until};
use ambit_tests::{client, http};

pub(crate) const TESTS: &[Test] = &[
    ("a_pod_is_deleted_under_traffic", a_pod_is_deleted_under_traffic),
    ("f09_an_address_gets_another_identity", || another_identity(Side::B)),
    ("f09_an_address_of_the_same_node_gets_another_identity", || another_identity(Side::A)),
    ("a28_a_pod_is_replaced_under_its_name", a28_a_pod_is_replaced_under_its_name),
];

fn a_pod_is_deleted_under_traffic() {
    let mut mesh = Mesh::started("deleted");
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let _servers = [&near, &far].map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name));
    let loads = [&near, &far].map(|pod| Load::connections(web.netns(), pod.at(8080), "x"));
    let steady = Load::requests(web.netns(), far.at(8080), "x");
    loads.iter().for_each(|load| load.more(20));
    let descriptors = |mesh: &Mesh| SIDES.map(|side| mesh.metric(side, "process_open_fds"));
    let before = descriptors(&mesh);
    assert!(before.iter().all(|count| *count > 10.0), "{before:?}");

    // Pods come, talk, and go in the midst of it: as servers, and as clients.
    let mut made = |role: &str, side| -> Vec<Pod> {
        (0..5).map(|number| mesh.pod(&format!("{role}-{number}"), side)).collect()
    };
    let (servers, callers) = (made("server", Side::B), made("caller", Side::A));
    mesh.settled();
    let common = Server::echo(far.netns(), 7000);
    let echoes: Vec<Server> = servers.iter().map(|server| Server::echo(server.netns(), 7000)).collect();
    let mut to_servers: Vec<_> = servers.iter().flat_map(|server| talks(&web, server)).collect();
    let of_callers: Vec<_> = callers.iter().flat_map(|caller| talks(caller, &far)).collect();
    let mut others = talks(&web, &far);
    let open = || common.seen.open.load(Ordering::SeqCst);
    assert_eq!(open(), 12);
    for (server, caller) in servers.iter().zip(&callers) {
        mesh.delete(server);
        mesh.delete(caller);
        loads.iter().for_each(|load| load.more(5));
    }
    drop((servers, callers, echoes, of_callers));
    // Nobody is left to say goodbye for them: their peers learn it from the controller. The drain's patience is 2 s.
    let gone = Instant::now();
    for stream in &mut to_servers {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let ended = stream.read(&mut [0; 8]);
        let hangs = ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(!hangs && !matches!(ended, Ok(1..)), "a deleted server's connection goes on: {ended:?}");
    }
    let took = gone.elapsed();
    assert!(took < Duration::from_secs(20), "the deleted servers' connections went on for {took:?}");
    wait_until("the deleted clients' connections end at the server", || open() == 2);
    others.iter_mut().for_each(|stream| client::talk(stream, "still here"));
    for load in loads {
        load.flawless();
    }
    steady.flawless();
    drop((to_servers, others));
    // Listeners, sockets and namespaces of all of them are closed; what remains may vary by a few idle tunnels.
    wait_until("no descriptor of the deleted pods remains", || {
        let now = descriptors(&mesh);
        now.iter().zip(before).all(|(now, before)| *now <= before + 4.0)
    });
}

/// Two connections, IPv4 and IPv6, to an echo server on port 7000.
fn talks(from: &Pod, to: &Pod) -> [TcpStream; 2] {
    [to.at(7000), to.at6(7000)].map(|to| {
        let mut stream = client::connect(from.netns(), to);
        client::talk(&mut stream, "hello");
        stream
    })
}

/// The client is on node A, the address on either.
fn another_identity(side: Side) {
    let mut mesh = Mesh::started(&format!("reused-{}", side.name()));
    let web = mesh.pod("web", Side::A);
    let mut old = mesh.add(PodSpec::new("cart", side));
    mesh.settled();
    let address = old.at(8080);
    for round in 0..6 {
        let name = old.spec.name.clone();
        let server = Server::http(old.netns(), 8080, &name);
        let mut living = client::connect(web.netns(), address);
        assert!(http::ask(&mut living, address, "/").unwrap().body.starts_with(&name));

        // The address goes to a pod of another identity at once.
        let IpAddr::V4(v4) = address.ip() else { panic!() };
        mesh.delete(&old);
        drop(server);
        let place = mesh.topology.attach_at(side, v4.octets()[3]);
        let new = mesh.add_at(PodSpec::new(&format!("other-{round}"), side), place);
        let its = Server::http(new.netns(), 8080, &new.spec.name);
        // A request may fail until the new pod is known. What succeeds was meant for it.
        let answered = || {
            let answer = http::get(web.netns(), address, "/").map(|answer| answer.body).unwrap_or_default();
            assert!(answer.is_empty() || answer.starts_with(&new.spec.name), "{answer}");
            !answer.is_empty()
        };
        wait_until("the new pod answers", answered);
        assert!(http::ask(&mut living, address, "/").is_err(), "the old connection reached the new pod");
        mesh.settled();
        for _ in 0..10 {
            assert!(answered(), "the new pod is known but does not answer");
        }
        // Whoever meant the new pod, proved it: no line says that bytes for the new went to the old.
        for line in mesh.ztunnel(Side::A).access() {
            let (target, who) = (&line["dst.workload"], &line["dst.identity"]);
            if let (Some(target), Some(who)) = (target.as_str(), who.as_str()) {
                assert!(who.ends_with(&format!("/{target}")), "{line}");
            }
        }
        drop(its);
        old = new;
    }
}

/// A policy lets only the first account in. The pod is replaced again and again under the same name, address and path,
/// in turn with an account that may and one that may not: neither ever passes as the other.
fn a28_a_pod_is_replaced_under_its_name() {
    let mut mesh = Mesh::started("replaced");
    let cart = mesh.pod("cart", Side::B);
    let mut pod = mesh.add(PodSpec::new("web", Side::A).account("good"));
    mesh.settled();
    let server = Server::http(cart.netns(), 8080, "cart");
    mesh.enforce("only-good", "cart", "ALLOW", &from_accounts(&["good"]));
    let mut good_answers = 0;
    for round in 0..30 {
        let good = round % 2 == 0;
        if round > 0 {
            let host = pod.place.v4.octets()[3];
            mesh.delete(&pod);
            drop(pod);
            let place = mesh.topology.attach_at(Side::A, host);
            pod =
                mesh.add_at(PodSpec::new("web", Side::A).account(if good { "good" } else { "evil" }), place);
        }
        // Asked from the first moment on, while the programs still learn of the change.
        let verdict = std::cell::Cell::new(None);
        wait_until("the pod's requests are judged", || {
            let asked = http::get(pod.netns(), cart.at(8080), "/");
            assert!(good || asked.is_err(), "round {round}: the evil pod passed as the good one");
            verdict.set(asked.ok());
            verdict.take().is_some() || (!good && known(&mesh, &pod))
        });
        if good {
            good_answers += 1;
        } else {
            assert!(
                http::get(pod.netns(), cart.at(8080), "/").is_err(),
                "round {round}: the evil pod passed"
            );
            mesh.ztunnel(Side::B).logged("the denial", |line| {
                line["src.identity"].as_str().is_some_and(|who| who.ends_with("/sa/evil"))
            });
        }
    }
    assert_eq!(good_answers, 15);
    assert!(server.seen.connections() >= 15);
    for line in mesh.ztunnel(Side::B).access() {
        let evil = line["src.identity"].as_str().is_some_and(|who| who.ends_with("/sa/evil"));
        assert!(!evil || line["error"].is_string(), "{line}");
    }
}

/// Whether the proxy serves this very pod and knows its account.
fn known(mesh: &Mesh, pod: &Pod) -> bool {
    let dump = mesh.dump(pod.spec.side);
    let state = &dump["workloadState"][&pod.uid];
    let workload = ambit_tests::mesh::find(&dump["workloads"], &pod.spec.name);
    state["state"] == "Up" && workload.is_some_and(|workload| workload["serviceAccount"] == pod.spec.account)
}
