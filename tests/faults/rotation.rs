//! Certificates that are replaced again and again under traffic.

use std::collections::BTreeSet;

use ambit_tests::load::Load;
use ambit_tests::mesh::Mesh;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::{SIDES, Side};
use ambit_tests::wait::wait_until;

pub(crate) const TESTS: &[Test] =
    &[("f04_certificates_rotate_under_load", f04_certificates_rotate_under_load)];

/// The serial numbers of a node's certificates.
fn serials(mesh: &Mesh, side: Side) -> Vec<String> {
    let dump = mesh.dump(side);
    let certificates = dump["certificates"].as_array().unwrap().iter();
    certificates.filter_map(|each| Some(each["certChain"][0]["serialNumber"].as_str()?.to_owned())).collect()
}

fn f04_certificates_rotate_under_load() {
    let mut mesh = Mesh::new("rotation");
    // Refreshed every two seconds or so.
    mesh.settings.insert("SECRET_TTL".into(), "4s".into());
    mesh.start();
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let _server = Server::http(far.netns(), 8080, "far");
    let loads = [
        Load::connections(web.netns(), far.at(8080), "x"),
        Load::connections(far.netns(), far.at(8080), "x"),
        Load::requests(web.netns(), far.at(8080), "x"),
    ];
    for side in SIDES {
        let mut seen = BTreeSet::new();
        wait_until("four certificates in turn", || {
            seen.extend(serials(&mesh, side));
            seen.len() >= 4
        });
    }
    let counts = loads.map(Load::flawless);
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}
