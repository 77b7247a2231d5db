//! Services: addresses that stand for several pods.

use std::collections::BTreeMap;

use ambit_tests::http;
use ambit_tests::mesh::{Mesh, find};
use ambit_tests::pod::PodSpec;
use ambit_tests::resources::{service, vip};
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

pub(crate) const TESTS: &[Test] =
    &[("a_service_spares_its_unhealthy_endpoint", a_service_spares_its_unhealthy_endpoint)];

fn a_service_spares_its_unhealthy_endpoint() {
    let mut mesh = Mesh::started("service");
    mesh.apply("service-cart", &service("cart", 10));
    let web = mesh.pod("web", Side::A);
    let mut pods = Vec::new();
    for (name, side) in [("cart-1", Side::A), ("cart-2", Side::B), ("cart-3", Side::B)] {
        let mut spec = PodSpec::new(name, side).app("cart").account("cart");
        spec.ready = name != "cart-3";
        pods.push(mesh.add(spec));
    }
    mesh.settled();
    let servers: Vec<_> = pods.iter().map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name)).collect();
    wait_until("the service has its endpoints", || {
        let dump = mesh.dump(Side::A);
        find(&dump["services"], "cart").is_some_and(|cart| cart["endpoints"].as_object().unwrap().len() == 3)
    });
    for address in vip(10, 80) {
        let mut answers: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..40 {
            let answer = http::get(web.netns(), address, "/").unwrap();
            *answers.entry(answer.body.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
        // 40 coins all on one side: once in 2^39.
        assert_eq!(answers.keys().collect::<Vec<_>>(), ["cart-1", "cart-2"], "{address}: {answers:?}");
    }
    assert_eq!(servers[2].seen.connections(), 0, "the unhealthy endpoint was asked");
    let line = mesh.ztunnel(Side::A).logged("the service", |line| line["dst.workload"] == "cart-2");
    assert_eq!(line["dst.service"], "cart.shop.svc.cluster.local", "{line}");

    // It recovers, the others fall ill.
    for (mut pod, ready) in pods.into_iter().zip([false, false, true]) {
        mesh.rewrite(&mut pod, |spec| spec.ready = ready);
    }
    let answer = || http::get(web.netns(), vip(10, 80)[0], "/").map(|answer| answer.body).unwrap_or_default();
    wait_until("the third endpoint answers", || answer().starts_with("cart-3"));
    wait_until("the others are spared", || (0..10).all(|_| answer().starts_with("cart-3")));
    // A port that the service does not have is refused, not guessed.
    assert!(http::get(web.netns(), vip(10, 8080)[0], "/").is_err());
}
