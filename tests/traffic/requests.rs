//! Requests and answers, across nodes and on one, IPv4 and IPv6, and who is seen asking.

use std::io::{Read, Write};

use ambit_tests::mesh::Mesh;
use ambit_tests::pod::Pod;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wire::Wire;
use ambit_tests::{client, http};

pub(crate) const TESTS: &[Test] = &[
    ("http_across_nodes_and_on_one", http_across_nodes_and_on_one),
    ("ipv6_pods", ipv6_pods),
    ("a_server_that_speaks_first", a_server_that_speaks_first),
    ("a_pod_asks_itself_and_the_unknown", a_pod_asks_itself_and_the_unknown),
];

/// Both ends of a connection are in the logs, with their identities.
fn identities_are_logged(mesh: &Mesh, from: &Pod, to: &Pod) {
    for (side, direction) in [(from.spec.side, "outbound"), (to.spec.side, "inbound")] {
        let line = mesh.ztunnel(side).logged("the connection", |line| {
            line["direction"] == direction
                && line["src.workload"] == from.spec.name
                && line["dst.workload"] == to.spec.name
        });
        assert_eq!(line["src.identity"], from.identity().to_string(), "{line}");
        assert_eq!(line["dst.identity"], to.identity().to_string(), "{line}");
        assert_eq!(line["message"], "connection complete", "{line}");
        assert!(
            line["bytes_sent"].as_u64().unwrap() > 0 && line["bytes_recv"].as_u64().unwrap() > 0,
            "{line}"
        );
        assert!(line["error"].is_null(), "{line}");
    }
}

fn http_across_nodes_and_on_one() {
    let mut mesh = Mesh::started("http");
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    let (out, plain) = (mesh.outsider("out", Side::A), mesh.outsider("plain", Side::B));
    mesh.settled();
    let wire = Wire::watch(mesh.node(Side::A), &["secret-marker", "open-marker"]);
    for server in [&near, &far] {
        let _server = Server::http(server.netns(), 8080, &server.spec.name);
        let answer = http::get(web.netns(), server.at(8080), "/secret-marker").unwrap();
        // The application sees the client's own address.
        assert_eq!(answer.body, format!("{} /secret-marker {}", server.spec.name, web.place.v4));
        identities_are_logged(&mesh, &web, server);
    }
    // The same bytes outside of the mesh, so that the watcher is known to see.
    let _server = Server::http(plain.netns(), 8080, "plain");
    http::get(out.netns(), plain.at(8080), "/open-marker").unwrap();
    let crossed = wire.crossed();
    assert_eq!(crossed.markers.into_iter().collect::<Vec<_>>(), ["open-marker"]);
    assert!(crossed.tunnel > 0, "nothing went through a tunnel");
}

fn ipv6_pods() {
    let mut mesh = Mesh::started("ipv6");
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let wire = Wire::watch(mesh.node(Side::A), &["secret-marker"]);
    for server in [&near, &far] {
        let _server = Server::http(server.netns(), 8080, &server.spec.name);
        let answer = http::get(web.netns(), server.at6(8080), "/secret-marker").unwrap();
        assert_eq!(answer.body, format!("{} /secret-marker {}", server.spec.name, web.place.v6));
        identities_are_logged(&mesh, &web, server);
    }
    let crossed = wire.crossed();
    assert!(crossed.markers.is_empty() && crossed.tunnel > 0, "{crossed:?}");
}

fn a_server_that_speaks_first() {
    let mut mesh = Mesh::started("server-first");
    let (mail, near, far) = (mesh.pod("mail", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    let out = mesh.outsider("out", Side::B);
    mesh.settled();
    let _server = Server::start(mail.netns(), 25, |connection| {
        connection.stream.write_all(b"220 ready\r\n")?;
        connection.echo()
    });
    for from in [near.netns(), far.netns(), out.netns()] {
        let mut stream = client::connect(from, mail.at(25));
        let mut banner = [0; 11];
        stream.read_exact(&mut banner).unwrap();
        assert_eq!(&banner, b"220 ready\r\n");
        client::talk(&mut stream, "HELO");
    }
}

fn a_pod_asks_itself_and_the_unknown() {
    let mut mesh = Mesh::started("itself");
    let web = mesh.pod("web", Side::A);
    let out = mesh.outsider("out", Side::B);
    mesh.settled();
    let _own = Server::http(web.netns(), 8080, "web");
    let _foreign = Server::http(out.netns(), 8080, "out");
    // By loopback, by its own address, and to a pod that is not enrolled.
    for to in ["127.0.0.1:8080".parse().unwrap(), "[::1]:8080".parse().unwrap(), web.at(8080), web.at6(8080)]
    {
        assert!(http::get(web.netns(), to, "/").unwrap().body.starts_with("web / "), "{to}");
    }
    let answer = http::get(web.netns(), out.at(8080), "/").unwrap();
    assert_eq!(answer.body, format!("out / {}", web.place.v4));
    // Nobody listens: the client learns it at once.
    let refused = http::get(web.netns(), out.at(8081), "/").unwrap_err();
    assert!(
        !matches!(refused.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock),
        "{refused}"
    );
}
