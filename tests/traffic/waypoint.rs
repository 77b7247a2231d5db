//! Requests through a waypoint: from a pod's ztunnel to the waypoint, and from there to the pods of the service.

use std::collections::BTreeSet;

use ambit_tests::http;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::{ENROLLED, Pod, PodSpec};
use ambit_tests::process::Process;
use ambit_tests::resources::vip;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

pub(crate) const TESTS: &[Test] = &[
    (
        "requests_pass_the_waypoint_and_nothing_goes_around_it",
        requests_pass_the_waypoint_and_nothing_goes_around_it,
    ),
    ("a_route_moves_a_canary", a_route_moves_a_canary),
];

pub(crate) const GATEWAY: &str = "waypoint";

/// A Gateway for a waypoint, and services of these names and numbers bound to it.
pub(crate) fn resources(services: &[(&str, u8)]) -> String {
    let mut text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: {GATEWAY}, namespace: {ENROLLED}, labels: {{istio.io/waypoint-for: service}}}}\n\
         spec:\n  gatewayClassName: ambit-waypoint\n  listeners:\n  - {{name: mesh, port: 15008, protocol: HBONE}}\n"
    );
    for (name, number) in services {
        let address = vip(*number, 80)[0].ip();
        text += &format!(
            "---\napiVersion: v1\nkind: Service\n\
             metadata: {{name: {name}, namespace: {ENROLLED}, labels: {{istio.io/use-waypoint: {GATEWAY}}}}}\n\
             spec:\n  clusterIP: {address}\n  selector: {{app: {name}}}\n  \
             ports:\n  - {{name: http, port: 80, targetPort: 8080, appProtocol: http}}\n"
        );
    }
    text
}

/// A mesh with the client `web`, and the waypoint on the other node.
pub(crate) fn with_waypoint(name: &str, services: &[(&str, u8)]) -> (Mesh, Pod, Pod) {
    let mut mesh = Mesh::new(name);
    mesh.start();
    let (web, pod) = pods(&mut mesh, services);
    (mesh, web, pod)
}

/// The client `web`, and the waypoint on the other node, with services of these names and numbers.
pub(crate) fn pods(mesh: &mut Mesh, services: &[(&str, u8)]) -> (Pod, Pod) {
    mesh.apply("shop", &resources(services));
    let web = mesh.pod("web", Side::A);
    let pod = mesh.add(PodSpec::waypoint("waypoint-1", GATEWAY, Side::B));
    (web, pod)
}

/// What `web` is answered by a service, or the status when that is not 200.
pub(crate) fn ask(web: &Pod, number: u8, path: &str) -> Result<String, String> {
    let answer = http::get(web.netns(), vip(number, 80)[0], path).map_err(|error| error.to_string())?;
    if answer.status == 200 { Ok(answer.body) } else { Err(answer.status.to_string()) }
}

fn requests_pass_the_waypoint_and_nothing_goes_around_it() {
    let (mut mesh, web, pod) = with_waypoint("waypoint", &[("cart", 20)]);
    let cart = mesh.pod("cart", Side::A);
    let server = Server::http(cart.netns(), 8080, "cart");
    mesh.settled();
    // The label is obeyed before there is a waypoint: nothing reaches the service without it.
    assert!(ask(&web, 20, "/early").is_err());
    assert_eq!(server.seen.connections(), 0, "a request went around the missing waypoint");

    let mut waypoint: Process = mesh.start_waypoint(&pod);
    wait_until("a request passes", || ask(&web, 20, "/items").is_ok());
    let line =
        waypoint.logged("the request", |line| line["path"] == "/items" && line["response_code"] == 200);
    assert_eq!(line["method"], "GET", "{line}");
    let line = mesh.ztunnel(Side::A).logged("the connection to the waypoint", |line| {
        line["direction"] == "outbound"
            && line["src.workload"] == "web"
            && line["dst.workload"] == "waypoint-1"
    });
    assert_eq!(line["src.identity"], web.identity().to_string(), "{line}");

    waypoint.kill();
    let before = server.seen.connections();
    assert!(ask(&web, 20, "/late").is_err());
    assert_eq!(server.seen.connections(), before, "a request went around the dead waypoint");
}

fn a_route_moves_a_canary() {
    let (mut mesh, web, pod) = with_waypoint("canary", &[("cart", 20), ("cart-v2", 21)]);
    let (one, two) = (mesh.pod("cart", Side::A), mesh.pod("cart-v2", Side::B));
    let (_one, _two) = (Server::http(one.netns(), 8080, "one"), Server::http(two.netns(), 8080, "two"));
    mesh.settled();
    let _waypoint = mesh.start_waypoint(&pod);
    wait_until("a request passes", || ask(&web, 20, "/").is_ok());

    let answers = |count: usize| -> BTreeSet<String> {
        let body = |body: String| body.split(' ').next().unwrap().to_owned();
        (0..count).map(|_| ask(&web, 20, "/").map_or_else(|status| status, body)).collect()
    };
    let both: BTreeSet<String> = ["one", "two"].map(str::to_owned).into();
    mesh.apply("route", &route(50, 50));
    wait_until("half of the requests go to the canary", || answers(20) == both);
    mesh.apply("route", &route(0, 100));
    wait_until("all go to the canary", || answers(20) == BTreeSet::from(["two".to_owned()]));
    assert_eq!(ask(&web, 20, "/private"), Err("404".to_owned()), "what no rule matches is not found");
}

/// A route of the service `cart` for the path `/`, by weight.
fn route(stable: u32, canary: u32) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: cart, namespace: {ENROLLED}}}\n\
         spec:\n  parentRefs:\n  - {{group: \"\", kind: Service, name: cart, port: 80}}\n  rules:\n  \
         - matches:\n    - {{path: {{type: Exact, value: /}}}}\n    backendRefs:\n    \
         - {{name: cart, port: 80, weight: {stable}}}\n    - {{name: cart-v2, port: 80, weight: {canary}}}\n"
    )
}
