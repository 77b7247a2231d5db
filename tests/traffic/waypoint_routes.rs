//! Istio's VirtualServices and ServiceEntries at a waypoint: where requests go, also out of the mesh.

use ambit_tests::pod::{ENROLLED, PodSpec};
use ambit_tests::resources::vip;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

use crate::waypoint::{GATEWAY, ask, with_waypoint};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_virtual_service_routes_rewrites_answers_and_breaks",
        a_virtual_service_routes_rewrites_answers_and_breaks,
    ),
    ("a_subset_is_the_pods_with_its_labels", a_subset_is_the_pods_with_its_labels),
    ("a_host_outside_is_reached_through_the_waypoint", a_host_outside_is_reached_through_the_waypoint),
];

fn a_virtual_service_routes_rewrites_answers_and_breaks() {
    let (mut mesh, web, pod) = with_waypoint("waypoint-virtual", &[("cart", 20), ("cart-v2", 21)]);
    let (one, two) = (mesh.pod("cart", Side::A), mesh.pod("cart-v2", Side::B));
    let (_one, _two) = (Server::http(one.netns(), 8080, "one"), Server::http(two.netns(), 8080, "two"));
    mesh.settled();
    let _waypoint = mesh.start_waypoint(&pod);
    wait_until("a request passes", || ask(&web, 20, "/").is_ok());

    let rules = "http:\n  \
        - match: [{uri: {prefix: /api/}, queryParams: {v: {exact: '2'}}}]\n    rewrite: {uri: /}\n    route: [{destination: {host: cart-v2, port: {number: 80}}}]\n  \
        - match: [{uri: {exact: /tea}}]\n    directResponse: {status: 418}\n  \
        - match: [{uri: {regex: '/broken/[0-9]+'}}]\n    fault: {abort: {httpStatus: 555, percentage: {value: 100}}}\n    route: [{destination: {host: cart}}]\n  \
        - match: [{uri: {prefix: /moved}}]\n    redirect: {uri: /, redirectCode: 308}\n  \
        - match: [{uri: {prefix: /api}}, {uri: {prefix: /broken}}]\n    route: [{destination: {host: cart.shop.svc.cluster.local}}]\n"
        .replace("cart.shop", &format!("cart.{ENROLLED}"));
    mesh.apply(
        "virtual",
        &format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: cart, namespace: {ENROLLED}}}\n\
             spec:\n  hosts: [cart]\n  {rules}"
        ),
    );
    wait_until("the rules are in force", || ask(&web, 20, "/tea") == Err("418".to_owned()));
    // The service and the path that its pod sees.
    let seen =
        |path: &str| ask(&web, 20, path).map(|body| body.split(' ').take(2).collect::<Vec<_>>().join(" "));
    for (path, answer) in [
        ("/api/x?v=2", Ok("two /x?v=2".to_owned())),
        ("/api/x?v=1", Ok("one /api/x?v=1".to_owned())),
        ("/broken/7", Err("555".to_owned())),
        ("/broken/x", Ok("one /broken/x".to_owned())),
        ("/moved/x", Err("308".to_owned())),
        ("/else", Err("404".to_owned())),
    ] {
        assert_eq!(seen(path), answer, "{path}");
    }
    mesh.apply("virtual", "");
    wait_until("without it all go to the service", || ask(&web, 20, "/else").is_ok());
}

fn a_subset_is_the_pods_with_its_labels() {
    let (mut mesh, web, pod) = with_waypoint("waypoint-subset", &[("cart", 20), ("shadow", 21)]);
    let one = mesh.add(PodSpec::new("cart-1", Side::A).app("cart").label("version", "v1"));
    let two = mesh.add(PodSpec::new("cart-2", Side::B).app("cart").label("version", "v2"));
    let copies = mesh.pod("shadow", Side::A);
    let (_one, _two) = (Server::http(one.netns(), 8080, "one"), Server::http(two.netns(), 8080, "two"));
    let shadow = Server::http(copies.netns(), 8080, "shadow");
    mesh.settled();
    let _waypoint = mesh.start_waypoint(&pod);
    wait_until("a request passes", || ask(&web, 20, "/").is_ok());

    mesh.apply(
        "subsets",
        &format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cart, namespace: {ENROLLED}}}\n\
             spec:\n  host: cart\n  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}, {{name: v3, labels: {{version: v3}}}}]\n\
             ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: cart, namespace: {ENROLLED}}}\n\
             spec:\n  hosts: [cart]\n  http:\n  \
             - match: [{{uri: {{prefix: /1}}}}]\n    route: [{{destination: {{host: cart, subset: v1}}}}]\n    mirror: {{host: shadow}}\n  \
             - match: [{{uri: {{prefix: /2}}}}]\n    route: [{{destination: {{host: cart, subset: v2}}}}]\n  \
             - match: [{{uri: {{prefix: /3}}}}]\n    route: [{{destination: {{host: cart, subset: v3}}}}]\n"
        ),
    );
    wait_until("the rules are in force", || ask(&web, 20, "/else") == Err("404".to_owned()));
    for _ in 0..8 {
        assert!(ask(&web, 20, "/1").is_ok_and(|body| body.starts_with("one ")));
        assert!(ask(&web, 20, "/2").is_ok_and(|body| body.starts_with("two ")));
    }
    assert_eq!(ask(&web, 20, "/3"), Err("503".to_owned()), "no pod has the labels");
    wait_until("copies came", || shadow.seen.connections() > 0);
}

fn a_host_outside_is_reached_through_the_waypoint() {
    let (mut mesh, web, pod) = with_waypoint("waypoint-entry", &[("cart", 20)]);
    let outside = mesh.outsider("api", Side::B);
    let _server = Server::http(outside.netns(), 8080, "api");
    mesh.settled();
    let waypoint = mesh.start_waypoint(&pod);
    let address = vip(30, 80)[0].ip();
    let entry = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {{name: api, namespace: {ENROLLED}, labels: {{istio.io/use-waypoint: {GATEWAY}}}}}\n\
         spec:\n  hosts: [api.example.com]\n  addresses: [{address}]\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}]\n  endpoints: [{{address: {}}}]\n",
        outside.place.v4
    );
    mesh.apply("entry", &entry);
    wait_until("a request goes out", || ask(&web, 30, "/items").is_ok());
    waypoint.logged("the request", |line| line["path"] == "/items" && line["response_code"] == 200);

    let policy = format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: api, namespace: {ENROLLED}}}\n\
         spec:\n  targetRefs: [{{group: networking.istio.io, kind: ServiceEntry, name: api}}]\n  \
         action: DENY\n  rules: [{{to: [{{operation: {{paths: [/secret]}}}}]}}]\n\
         ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: api, namespace: {ENROLLED}}}\n\
         spec:\n  hosts: [api.example.com]\n  http: [{{match: [{{uri: {{prefix: /v1/}}}}], rewrite: {{uri: /}}, route: [{{destination: {{host: api.example.com}}}}]}}, {{match: [{{uri: {{prefix: /secret}}}}], directResponse: {{status: 200}}}}]\n"
    );
    mesh.apply("entry", &(entry + &policy));
    wait_until("the policy is in force", || ask(&web, 30, "/secret") == Err("403".to_owned()));
    wait_until("the route is in force", || ask(&web, 30, "/else") == Err("404".to_owned()));
    assert!(ask(&web, 30, "/v1/x").is_ok_and(|body| body.starts_with("api /x ")));
}
