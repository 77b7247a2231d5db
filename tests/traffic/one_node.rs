//! Two pods on one node: handed over inside the process or through a tunnel, the same is seen at both ends and the same is
//! refused.

use std::io::{ErrorKind, Read};
use std::sync::atomic::Ordering;

use ambit_tests::mesh::Mesh;
use ambit_tests::pod::Pod;
use ambit_tests::resources::{from_accounts, peer_authentication, policy, service, vip};
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::{PATIENCE, wait_until};
use ambit_tests::{client, http};
use serde_json::Value;

pub(crate) const TESTS: &[Test] = &[
    ("one_node_is_told_in_the_log", one_node_is_told_in_the_log),
    ("one_node_obeys_policies", one_node_obeys_policies),
    ("one_node_ends_as_a_tunnel_does", one_node_ends_as_a_tunnel_does),
    ("one_node_loses_a_pod", one_node_loses_a_pod),
];

/// The values of `AMBIT_SAME_NODE`, and what the log says of them.
const MODES: [(&str, Option<&str>); 2] = [("handover", Some("same-node")), ("tunnel", None)];

fn mesh(name: &str, mode: &str) -> Mesh {
    let mut mesh = Mesh::new(&format!("{name}-{mode}"));
    mesh.settings.insert("AMBIT_SAME_NODE".to_owned(), mode.to_owned());
    mesh.start();
    mesh
}

/// Waits for the line of one end about a connection between two pods.
#[track_caller]
fn line(mesh: &Mesh, direction: &str, from: &Pod, to: &Pod) -> Value {
    mesh.ztunnel(Side::A).logged("the connection", |line| {
        line["direction"] == direction
            && line["src.workload"] == from.spec.name
            && line["dst.workload"] == to.spec.name
    })
}

fn one_node_is_told_in_the_log() {
    for (mode, path) in MODES {
        let mut mesh = mesh("told", mode);
        mesh.apply("service-web", &service("web", 20));
        let (web, near, far) =
            (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
        mesh.settled();
        let servers = [&web, &near, &far].map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name));
        for to in [near.at(8080), near.at6(8080), far.at(8080)] {
            let own = if to.is_ipv4() { web.ips()[0] } else { web.ips()[1] };
            let answer = http::get(web.netns(), to, "/").unwrap().body;
            assert!(answer.ends_with(&format!(" / {own}")), "{answer}");
        }
        // A pod that calls itself, by the service's address.
        wait_until("the service answers", || {
            vip(20, 80).iter().all(|address| http::get(web.netns(), *address, "/").is_ok())
        });
        for (to, path) in [(&near, path), (&web, path), (&far, None)] {
            let outbound = line(&mesh, "outbound", &web, to);
            assert_eq!(outbound["connection.path"].as_str(), path, "{outbound}");
            assert_eq!(outbound["dst.hbone_addr"].as_str().unwrap().rsplit_once(':').unwrap().1, "8080");
            assert_eq!(outbound["src.identity"], web.identity().to_string(), "{outbound}");
            if to.spec.side == Side::A {
                let inbound = mesh.ztunnel(Side::A).logged("the other end", |line| {
                    line["direction"] == "inbound" && line["dst.hbone_addr"] == outbound["dst.hbone_addr"]
                });
                assert_eq!(inbound["connection.path"].as_str(), path, "{inbound}");
                for field in ["src.identity", "dst.identity", "dst.hbone_addr", "dst.addr", "dst.service"] {
                    assert_eq!(inbound[field], outbound[field], "{field}: {inbound}");
                }
                assert_eq!(inbound["bytes_sent"], outbound["bytes_recv"], "{inbound}");
            }
        }
        drop(servers);
    }
}

fn one_node_obeys_policies() {
    for (mode, path) in MODES {
        let mut mesh = mesh("obeys", mode);
        let (web, evil, cart) =
            (mesh.pod("web", Side::A), mesh.pod("evil", Side::A), mesh.pod("cart", Side::A));
        mesh.settled();
        let server = Server::echo(cart.netns(), 8080);
        // Whoever is handed over has proved who it is: that is not plaintext.
        mesh.apply("strict", &peer_authentication("STRICT"));
        mesh.enforce("only-shop", "cart", "ALLOW", &from_accounts(&["web"]));
        let mut live = client::connect(web.netns(), cart.at(8080));
        client::talk(&mut live, "before");
        let before = server.seen.connections();
        for to in [cart.at(8080), cart.at6(8080)] {
            assert!(!client::passes(evil.netns(), to), "{mode}: the evil pod passed");
        }
        for port in [15000, 15001, 15006, 15008, 15053] {
            assert!(!client::passes(web.netns(), cart.at(port)), "{mode}: {port} was reached");
        }
        assert_eq!(server.seen.connections(), before, "{mode}: a refused connection reached the application");
        let named = |direction: &'static str, words: &'static str| {
            mesh.ztunnel(Side::A).logged("the refusal", move |line| {
                line["direction"] == direction
                    && line["src.workload"] == "evil"
                    && line["error"].as_str().is_some_and(|error| error.contains(words))
            })
        };
        for line in [named("inbound", "shop/only-shop"), named("outbound", "401")] {
            assert_eq!(line["connection.path"].as_str(), path, "{line}");
        }
        let nobody = policy("only-shop", "cart", "ALLOW", &from_accounts(&["nobody"]));
        mesh.apply("policy-only-shop", &nobody);
        let (rest, ended) = client::drain(&mut live);
        assert!(rest.is_empty() && ended.is_err(), "{mode}: the living connection was not reset: {ended:?}");
    }
}

fn one_node_ends_as_a_tunnel_does() {
    for (mode, _) in MODES {
        let mut mesh = mesh("ends", mode);
        let (web, near) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A));
        mesh.settled();
        let server = Server::start(near.netns(), 8080, |connection| {
            let mut word = [0; 5];
            connection.read_exact(&mut word)?;
            match &word {
                b"reset" => client::reset(connection.stream.try_clone()?),
                _ => connection.read_exact(&mut word)?,
            }
            Ok(())
        });
        let mut stream = client::connect(web.netns(), near.at(8080));
        std::io::Write::write_all(&mut stream, b"reset").unwrap();
        let (_, ended) = client::drain(&mut stream);
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset, "{mode}");
        let mut stream = client::connect(web.netns(), near.at(8080));
        std::io::Write::write_all(&mut stream, b"other").unwrap();
        wait_until("the server has the word", || server.seen.bytes() == 10);
        client::reset(stream);
        wait_until("the server's read fails", || server.seen.resets.load(Ordering::SeqCst) == 1);
        // Nobody listens there: the client is reset, and both ends say it.
        assert!(!client::passes(web.netns(), near.at(8081)));
        for (direction, words) in [("outbound", "503"), ("inbound", "refused")] {
            mesh.ztunnel(Side::A).logged("the failure", |line| {
                line["direction"] == direction
                    && line["error"].as_str().is_some_and(|error| error.contains(words))
            });
        }
    }
}

fn one_node_loses_a_pod() {
    for (mode, _) in MODES {
        let mut mesh = mesh("loses", mode);
        let (web, cart) = (mesh.pod("web", Side::A), mesh.pod("cart", Side::A));
        let (server, caller) = (mesh.pod("server", Side::A), mesh.pod("caller", Side::A));
        mesh.settled();
        let (common, gone) = (Server::echo(cart.netns(), 7000), Server::echo(server.netns(), 7000));
        let mut to_server = client::connect(web.netns(), server.at(7000));
        let mut of_caller = client::connect(caller.netns(), cart.at(7000));
        let mut spared = client::connect(web.netns(), cart.at(7000));
        for stream in [&mut to_server, &mut of_caller, &mut spared] {
            client::talk(stream, "hello");
        }
        let open = || common.seen.open.load(Ordering::SeqCst);
        assert_eq!(open(), 2);
        mesh.delete(&server);
        mesh.delete(&caller);
        to_server.set_read_timeout(Some(PATIENCE)).unwrap();
        let ended = to_server.read(&mut [0; 8]);
        let hangs = ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(
            !hangs && !matches!(ended, Ok(1..)),
            "{mode}: a deleted server's connection goes on: {ended:?}"
        );
        wait_until("the deleted client's connection ends at the server", || open() == 1);
        client::talk(&mut spared, "still here");
        drop((gone, of_caller));
    }
}
