//! A09: a compromised node asks for identities that are not its own.

use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use ambit_tests::certificates::ask;
use ambit_tests::mesh::Mesh;
use ambit_tests::runner::Test;
use ambit_tests::topology::Side;
use ambit_tests::wait::{wait_for, wait_until};

pub(crate) const TESTS: &[Test] =
    &[("a09_a_node_gets_only_its_own_pods_identities", a09_a_node_gets_only_its_own_pods_identities)];

const HOUR: Duration = Duration::from_secs(3600);

fn a09_a_node_gets_only_its_own_pods_identities() {
    let mut mesh = Mesh::started("a09");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    let mut done = mesh.pod("done", Side::A);
    mesh.settled();
    let from_a =
        |identity: &Identity, lifetime| ask(&mesh, Side::A, &mesh.token(Side::A), identity, lifetime);
    from_a(&web.identity(), HOUR).unwrap();
    from_a(&done.identity(), HOUR).unwrap();

    let identity =
        |domain: &str, namespace: &str, account: &str| Identity::new(domain, namespace, account).unwrap();
    for (asked, reason) in [
        (
            far.identity(),
            "no live pod with the identity spiffe://cluster.local/ns/shop/sa/far is on node node-a",
        ),
        (identity("other.domain", "shop", "web"), "of another trust domain: this mesh's is cluster.local"),
        (identity("cluster.local", "outside", "web"), "no live pod"),
        (identity("cluster.local", "shop", "nobody"), "no live pod"),
        (identity("cluster.local", "istio-system", "istiod"), "no live pod"),
    ] {
        let refusal = from_a(&asked, HOUR).unwrap_err().message;
        assert!(refusal.contains(reason) && refusal.contains("PermissionDenied"), "{refusal}");
        mesh.controller().said(&["certificate refused", &asked.to_string()]);
    }
    // The node that it is on gets it, and the place from which is asked does not matter.
    ask(&mesh, Side::A, &mesh.token(Side::B), &far.identity(), HOUR).unwrap();

    // Ten years are a day.
    let certificate = from_a(&web.identity(), Duration::from_secs(10 * 365 * 24 * 3600)).unwrap();
    let left = certificate.not_after().duration_since(SystemTime::now()).unwrap();
    assert!(left <= 24 * HOUR && left > 23 * HOUR, "valid for {left:?}");

    // A pod that has ended has no identity any more.
    for phase in ["Succeeded", "Failed"] {
        mesh.rewrite(&mut done, |spec| spec.phase = phase.into());
        let asked = || ask(&mesh, Side::A, &mesh.token(Side::A), &done.identity(), HOUR);
        let refusal = wait_for("the ended pod is refused", || asked().err()).message;
        assert!(refusal.contains("no live pod"), "{refusal}");
        mesh.rewrite(&mut done, |spec| spec.phase = "Running".into());
        let asked = || ask(&mesh, Side::A, &mesh.token(Side::A), &done.identity(), HOUR);
        wait_until("the running pod is not", || asked().is_ok());
    }
}
