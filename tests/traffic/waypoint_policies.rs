//! Istio's policies at a waypoint: who may ask for what.

use ambit_tests::http;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::{ENROLLED, Pod};
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

use crate::waypoint::{ask, pods, with_waypoint};

pub(crate) const TESTS: &[Test] = &[
    ("a_policy_of_a_service_decides_about_requests", a_policy_of_a_service_decides_about_requests),
    ("tokens_are_accepted_by_keys_that_are_fetched", tokens_are_accepted_by_keys_that_are_fetched),
];

/// An AuthorizationPolicy of the service `cart`.
fn policy(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {ENROLLED}}}\n\
         spec:\n  targetRefs: [{{kind: Service, name: cart}}]\n  {}\n---\n",
        rest.replace('\n', "\n  ")
    )
}

fn a_policy_of_a_service_decides_about_requests() {
    let (mut mesh, web, pod) = with_waypoint("waypoint-policy", &[("cart", 20)]);
    let cart = mesh.pod("cart", Side::A);
    let other = mesh.pod("other", Side::B);
    let _server = Server::http(cart.netns(), 8080, "cart");
    mesh.settled();
    let _waypoint = mesh.start_waypoint(&pod);
    wait_until("a request passes", || ask(&web, 20, "/open").is_ok());

    let allow = "rules:\n- from: [{source: {principals: ['*/sa/web']}}]\n  to: [{operation: {methods: [GET], paths: ['/open*', '/items/{*}']}}]";
    let deny = "action: DENY\nrules:\n- to: [{operation: {paths: [/open/secret]}}]";
    mesh.apply("policies", &(policy("allow", allow) + &policy("deny", deny)));
    let refused = |from: &Pod, path: &str| ask(from, 20, path) == Err("403".to_owned());
    wait_until("the policies are in force", || refused(&web, "/elsewhere"));
    for path in ["/open/secret", "/open//secret", "/open/%73ecret", "/items/1/2"] {
        assert!(refused(&web, path), "{path}");
    }
    for path in ["/open/", "/items/1"] {
        assert!(ask(&web, 20, path).is_ok(), "{path}");
    }
    assert!(refused(&other, "/open/"), "another account");
    // What goes past the waypoint is refused at the pod.
    wait_until("the pod refuses who goes around", || {
        http::get(web.netns(), cart.at(8080), "/open/").is_err()
    });

    mesh.apply("policies", "");
    wait_until("without policies all may pass", || ask(&other, 20, "/elsewhere").is_ok());
}

/// A key that OpenSSL has made, and a token of the issuer `joe` for the subject `s` that it has signed.
const KEYS: &str = r#"{"keys": [{"kty": "EC", "kid": "p256", "crv": "P-256", "x": "ODfXL8xaE8CH0z-xKJmhWLpQl1huoG9RZQG5hr94Tiw", "y": "kDqkxpnMsCnVPS_6G8HQPN-sbXscXdOC58YNYhUbMGo"}]}"#;
const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYifQ.eyJpc3MiOiJqb2UiLCJzdWIiOiJzIn0.gA-fXEpuJyWt5hATHZLcmVC38vL7jGwwsE3p3HWfwCyvAIW-ysQ1817BKVfqBavzzTMrySa-bAuwNqQzfcmFhw";

fn tokens_are_accepted_by_keys_that_are_fetched() {
    let mut mesh = Mesh::new("waypoint-tokens");
    let issuer = (Side::A.address(), 9000);
    mesh.controller_arguments =
        ["--jwks-allow-http", "--jwks-allow-network", &format!("{}/32", issuer.0)].map(str::to_owned).into();
    mesh.start();
    let (web, pod) = pods(&mut mesh, &[("cart", 20)]);
    let cart = mesh.pod("cart", Side::A);
    let _server = Server::http(cart.netns(), 8080, "cart");
    mesh.settled();
    let _waypoint = mesh.start_waypoint(&pod);
    wait_until("a request passes", || ask(&web, 20, "/").is_ok());

    mesh.apply(
        "tokens",
        &format!(
            "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: joe, namespace: {ENROLLED}}}\n\
             spec:\n  targetRefs: [{{kind: Service, name: cart}}]\n  \
             jwtRules: [{{issuer: joe, jwksUri: 'http://{}:{}/keys'}}]\n---\n{}",
            issuer.0,
            issuer.1,
            policy("joe", "rules: [{from: [{source: {requestPrincipals: [joe/s]}}]}]"),
        ),
    );
    let with_token = format!("/?access_token={TOKEN}");
    let answer = |path: &str| ask(&web, 20, path).map_or_else(|status| status, |_| "200".to_owned());
    wait_until("nobody passes without a token", || answer("/") == "403");
    assert_eq!(answer(&with_token), "401", "keys that were never fetched accept no token");
    let keys = Server::start(mesh.node(Side::A), issuer.1, |connection| {
        http::respond(&connection.stream, |_| KEYS.to_owned())
    });
    wait_until("the token is accepted", || answer(&with_token) == "200");
    assert_eq!(answer("/?access_token=a.b.c"), "401");
    assert_eq!(answer("/"), "403");
    drop(keys);
    assert_eq!(answer(&with_token), "200", "the keys are kept");
}
