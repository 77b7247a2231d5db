//! How connections end: half-closed from either side, with a reset from either side.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering;

use ambit_tests::client;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::Pod;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

pub(crate) const TESTS: &[Test] = &[
    ("half_close_by_the_client", half_close_by_the_client),
    ("half_close_by_the_server", half_close_by_the_server),
    ("a_servers_reset_reaches_the_client", a_servers_reset_reaches_the_client),
    ("a_clients_reset_reaches_the_server", a_clients_reset_reaches_the_server),
];

/// A client, and a server near and far.
fn pods(name: &str) -> (Mesh, Pod, [Pod; 2]) {
    let mut mesh = Mesh::started(name);
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    (mesh, web, [near, far])
}

fn half_close_by_the_client() {
    let (_mesh, web, servers) = pods("half-close-client");
    for pod in &servers {
        let _server = Server::start(pod.netns(), 8080, |connection| {
            let mut question = String::new();
            connection.read_to_string(&mut question)?;
            // Only after the client's end, and more than any buffer on the way holds.
            for _ in 0..2000 {
                connection.stream.write_all(&[b'x'; 4096])?;
            }
            connection.stream.write_all(question.as_bytes())
        });
        let mut stream = client::connect(web.netns(), pod.at(8080));
        stream.write_all(b"question").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let (bytes, ended) = client::drain(&mut stream);
        ended.unwrap();
        assert_eq!(bytes.len(), 2000 * 4096 + 8);
        assert!(bytes.ends_with(b"xquestion"));
    }
}

fn half_close_by_the_server() {
    let (_mesh, web, servers) = pods("half-close-server");
    for pod in &servers {
        let server = Server::start(pod.netns(), 8080, |connection| {
            connection.stream.write_all(b"that is all")?;
            connection.stream.shutdown(Shutdown::Write)?;
            connection.read_to_end(&mut Vec::new()).map(drop)
        });
        let mut stream = client::connect(web.netns(), pod.at(8080));
        let (bytes, ended) = client::drain(&mut stream);
        ended.unwrap();
        assert_eq!(bytes, b"that is all");
        // The server has ended; the client goes on.
        for _ in 0..2000 {
            stream.write_all(&[b'y'; 4096]).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        wait_until("the server has read everything", || server.seen.bytes() == 2000 * 4096);
        wait_until("the server is done", || server.seen.open.load(Ordering::SeqCst) == 0);
        assert_eq!(server.seen.resets.load(Ordering::SeqCst), 0);
    }
}

fn a_servers_reset_reaches_the_client() {
    let (_mesh, web, servers) = pods("reset-server");
    for pod in &servers {
        let _server = Server::start(pod.netns(), 8080, |connection| {
            connection.stream.write_all(b"then")?;
            connection.read_exact(&mut [0; 3])?;
            client::reset(connection.stream.try_clone()?);
            Ok(())
        });
        let mut stream = client::connect(web.netns(), pod.at(8080));
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(b"now").unwrap();
        let (rest, ended) = client::drain(&mut stream);
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset, "after {rest:?}");
    }
}

fn a_clients_reset_reaches_the_server() {
    let (_mesh, web, servers) = pods("reset-client");
    for pod in &servers {
        let server = Server::echo(pod.netns(), 8080);
        let mut stream = client::connect(web.netns(), pod.at(8080));
        client::talk(&mut stream, "hello");
        client::reset(stream);
        wait_until("the server's read fails", || server.seen.resets.load(Ordering::SeqCst) == 1);
    }
}
