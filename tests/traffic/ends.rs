//! How connections end: half-closed from either side, with a reset from either side.

use ambit_tests::exchange::{self, End};
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::Pod;
use ambit_tests::runner::Test;
use ambit_tests::topology::Side;

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
        exchange::half_close_by_the_client(web.netns(), pod);
    }
}

fn half_close_by_the_server() {
    let (_mesh, web, servers) = pods("half-close-server");
    for pod in &servers {
        exchange::half_close_by_the_server(web.netns(), pod);
    }
}

fn a_servers_reset_reaches_the_client() {
    let (_mesh, web, servers) = pods("reset-server");
    for pod in &servers {
        assert_eq!(exchange::reset_by_the_server(web.netns(), pod), End::Reset);
    }
}

fn a_clients_reset_reaches_the_server() {
    let (_mesh, web, servers) = pods("reset-client");
    for pod in &servers {
        assert_eq!(exchange::reset_by_the_client(web.netns(), pod), End::Reset);
    }
}
