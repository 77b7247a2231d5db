//! Much at once: a gigabyte, and two hundred connections.

use ambit_tests::exchange;
use ambit_tests::mesh::Mesh;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;

pub(crate) const TESTS: &[Test] =
    &[("a_gigabyte", a_gigabyte), ("two_hundred_connections", two_hundred_connections)];

const HALF: u64 = 512 * 1024 * 1024;

fn a_gigabyte() {
    let mut mesh = Mesh::started("gigabyte");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    assert_eq!(exchange::volume(web.netns(), &far, far.at(8080), HALF), HALF + 8);
    let line = mesh.ztunnel(Side::B).logged("the transfer", |line| line["direction"] == "inbound");
    assert_eq!(line["bytes_recv"], HALF + 8, "{line}");
    assert_eq!(line["bytes_sent"], HALF + 9, "{line}");
}

fn two_hundred_connections() {
    let mut mesh = Mesh::started("two-hundred");
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let servers = [Server::echo(near.netns(), 8080), Server::echo(far.netns(), 8080)];
    exchange::many(web.netns(), &[near.at(8080), far.at(8080)], 200);
    assert_eq!(servers.map(|server| server.seen.connections()), [100, 100]);
}
