//! Wrong resources: the last good configuration stays in force, and the log says which line is wrong.

use ambit_tests::client;
use ambit_tests::http;
use ambit_tests::mesh::Mesh;
use ambit_tests::process::{Process, command};
use ambit_tests::resources::from_accounts;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

pub(crate) const TESTS: &[Test] = &[
    ("a_bad_file_keeps_the_last_good_configuration", a_bad_file_keeps_the_last_good_configuration),
    ("a_directory_that_is_wrong_from_the_start", a_directory_that_is_wrong_from_the_start),
];

const POLICY: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: cart, namespace: shop}\nspec:\n";

/// Wrong files and what is said about each.
fn cases() -> Vec<(String, &'static str)> {
    let policy = |spec: &str| format!("{POLICY}{spec}");
    vec![
        (
            "kind: Pod\nmetadata: {name: web\n".to_owned(),
            "wrong.yaml:2: not valid YAML: unclosed bracket '{'; correct the syntax",
        ),
        (
            policy("  rules:\n  - from:\n    - source:\n        principal: [\"cluster.local/ns/shop/sa/web\"]\n"),
            "wrong.yaml:8: AuthorizationPolicy shop/cart: spec.rules[0].from[0].source: unknown field \"principal\"; use one of principals,",
        ),
        (
            policy("  rules:\n  - from:\n    - source: {ipBlocks: [10.77.0.0/129]}\n"),
            "wrong.yaml:7: AuthorizationPolicy shop/cart: spec.rules[0].from[0].source.ipBlocks[0]: \"10.77.0.0/129\" is not an IP block; use ADDRESS/PREFIX with a prefix of at most 32",
        ),
        (
            policy("  rules:\n  - to:\n    - operation: {ports: [\"65616\"]}\n"),
            "wrong.yaml:7: AuthorizationPolicy shop/cart: spec.rules[0].to[0].operation.ports[0]: port 65616 is out of range; use a port from 1 to 65535",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: lost\n".to_owned(),
            "wrong.yaml:3: Pod lost: metadata.namespace: the namespace is missing; set metadata.namespace",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: lost\n  namespace: nowhere\n".to_owned(),
            "Pod nowhere/lost",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: lost\n  namespace: shop\n  annotations:\n    ambit.mesh/netns: netns/lost\n".to_owned(),
            "wrong.yaml:7: Pod shop/lost: metadata.annotations[\"ambit.mesh/netns\"]: \"netns/lost\" is not an absolute path; name the namespace's file, such as /run/netns/web, without ..",
        ),
        (policy("  action: ALOW\n"), "wrong.yaml:5: AuthorizationPolicy shop/cart: spec.action: \"ALOW\" is not a known value; use one of ALLOW, DENY, AUDIT, CUSTOM"),
    ]
}

fn a_bad_file_keeps_the_last_good_configuration() {
    let mut mesh = Mesh::started("bad-file");
    let (web, evil) = (mesh.pod("web", Side::A), mesh.pod("evil", Side::A));
    let cart = mesh.pod("cart", Side::B);
    mesh.settled();
    let _server = Server::echo(cart.netns(), 8080);
    mesh.enforce("only-web", "cart", "ALLOW", &from_accounts(&["web"]));
    let judged_as_before = |what: &str| {
        assert!(client::passes(web.netns(), cart.at(8080)), "{what}: the allowed client is denied");
        assert!(!client::passes(evil.netns(), cart.at(8080)), "{what}: the denied client is allowed");
    };
    for (text, complaint) in cases() {
        mesh.apply("wrong", &text);
        // The good change beside it does not come into force either: all or nothing.
        mesh.apply("policy-only-web", &ambit_tests::resources::policy("only-web", "cart", "ALLOW", "[{}]"));
        let line = mesh.controller().said(&[complaint]);
        assert!(!line.contains('\n') && line.contains(&*mesh.file("wrong").to_string_lossy()), "{line}");
        mesh.agent(Side::A).said(&[complaint]);
        judged_as_before(complaint);
        mesh.forget("wrong");
        mesh.enforce("only-web", "cart", "ALLOW", &from_accounts(&["web"]));
        judged_as_before(complaint);
    }
    // Repaired means in force, without a restart.
    mesh.apply("policy-only-web", &ambit_tests::resources::policy("only-web", "cart", "ALLOW", "[{}]"));
    wait_until("the good change is in force", || client::passes(evil.netns(), cart.at(8080)));
    // Every problem was told once for each time that the file was written, not again and again.
    for (_, complaint) in cases() {
        let times = mesh.controller().lines().iter().filter(|line| line.contains(complaint)).count();
        assert!((1..=3).contains(&times), "{complaint}: told {times} times");
    }
}

fn a_directory_that_is_wrong_from_the_start() {
    let mut mesh = Mesh::new("bad-start");
    mesh.apply("wrong", "kind: [\n");
    let checked = |mesh: &Mesh| {
        let mut check = command("controller");
        check.arg("check").arg("--config").arg(mesh.config());
        let mut check = Process::start("controller check", mesh.node(Side::A), &mut check);
        (check.ended().code(), check.lines())
    };
    let (code, lines) = checked(&mesh);
    assert_eq!(code, Some(1), "{lines:?}");
    assert!(lines.len() == 1 && lines[0].contains("wrong.yaml:1: not valid YAML"), "{lines:?}");
    mesh.start_controller();
    mesh.controller().said(&["wrong.yaml:1: not valid YAML"]);
    let readiness = "127.0.0.1:15014".parse().unwrap();
    let status =
        |mesh: &Mesh| http::get(mesh.node(Side::A), readiness, "/healthz/ready").map(|answer| answer.status);
    // As Istio's programs answer it.
    assert_eq!(status(&mesh).unwrap(), 500);
    mesh.forget("wrong");
    wait_until("it is ready once repaired", || status(&mesh).is_ok_and(|status| status == 200));
    let (code, lines) = checked(&mesh);
    assert_eq!(code, Some(0), "{lines:?}");
}
