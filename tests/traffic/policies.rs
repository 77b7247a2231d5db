//! Who may talk to whom: plaintext, policies, and their edits under living connections.

use std::io::Read;
use std::time::{Duration, Instant};

use ambit_tests::client;
use ambit_tests::mesh::Mesh;
use ambit_tests::resources::{from_accounts, peer_authentication, policy};
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;

pub(crate) const TESTS: &[Test] = &[
    ("plaintext_is_permitted_until_strict", plaintext_is_permitted_until_strict),
    ("a_policy_denies", a_policy_denies),
    ("an_edit_closes_only_what_it_denies", an_edit_closes_only_what_it_denies),
];

fn plaintext_is_permitted_until_strict() {
    let mut mesh = Mesh::started("strict");
    let (web, cart) = (mesh.pod("web", Side::A), mesh.pod("cart", Side::B));
    let (far, near) = (mesh.outsider("far", Side::A), mesh.outsider("near", Side::B));
    mesh.settled();
    let server = Server::echo(cart.netns(), 8080);
    for out in [&far, &near] {
        assert!(client::passes(out.netns(), cart.at(8080)));
        let line = mesh.ztunnel(Side::B).logged("the outsider", |line| line["src.workload"] == out.spec.name);
        assert!(line["src.identity"].is_null() && line["direction"] == "inbound", "{line}");
    }
    let mut live = client::connect(far.netns(), cart.at(8080));
    client::talk(&mut live, "still permitted");

    mesh.apply("strict", &peer_authentication("STRICT"));
    let (rest, _) = client::drain(&mut live);
    assert!(rest.is_empty(), "the living plaintext connection was not closed");
    wait_until("plaintext is refused", || !client::passes(near.netns(), cart.at(8080)));
    // Another server: the change of policy may have cut a connection that the first one is still reading.
    drop(server);
    let server = Server::echo(cart.netns(), 8080);
    for out in [&far, &near] {
        for to in [cart.at(8080), cart.at6(8080)] {
            assert!(!client::passes(out.netns(), to), "{} reached {to}", out.spec.name);
        }
    }
    assert_eq!(server.seen.connections(), 0, "plaintext reached the application");
    let line = mesh.ztunnel(Side::B).logged("the refusal", |line| {
        line["src.workload"] == "near" && line["error"].as_str().is_some_and(|error| error.contains("strict"))
    });
    assert_eq!(
        (&line["message"], &line["level"]),
        (&"connection complete".into(), &"error".into()),
        "{line}"
    );
    assert!(client::passes(web.netns(), cart.at(8080)), "the mesh's own client was refused");

    mesh.apply("strict", &peer_authentication("PERMISSIVE"));
    wait_until("plaintext is permitted again", || client::passes(far.netns(), cart.at(8080)));
}

fn a_policy_denies() {
    let mut mesh = Mesh::started("deny");
    let (web, near, evil) = (mesh.pod("web", Side::A), mesh.pod("near", Side::B), mesh.pod("evil", Side::A));
    let (cart, out) = (mesh.pod("cart", Side::B), mesh.outsider("out", Side::A));
    mesh.settled();
    let server = Server::echo(cart.netns(), 8080);
    assert!(client::passes(evil.netns(), cart.at(8080)));
    mesh.enforce("only-shop", "cart", "ALLOW", &from_accounts(&["web", "near"]));
    for allowed in [&web, &near] {
        assert!(client::passes(allowed.netns(), cart.at(8080)), "{} was denied", allowed.spec.name);
    }
    let before = server.seen.connections();
    for denied in [&evil, &out] {
        assert!(!client::passes(denied.netns(), cart.at(8080)), "{} was allowed", denied.spec.name);
    }
    mesh.enforce("not-web", "cart", "DENY", &from_accounts(&["web"]));
    assert!(!client::passes(web.netns(), cart.at(8080)), "DENY is weaker than ALLOW");
    assert!(client::passes(near.netns(), cart.at(8080)));
    assert_eq!(server.seen.connections(), before + 1, "a denied connection reached the application");

    // The operator finds out which policy it was, at both ends.
    let named = |line: &serde_json::Value, policy: &str| {
        line["error"].as_str().is_some_and(|error| error.contains(policy))
    };
    let ztunnel = mesh.ztunnel(Side::B);
    ztunnel
        .logged("the ALLOW policy", |line| line["src.workload"] == "evil" && named(line, "shop/only-shop"));
    ztunnel.logged("the DENY policy", |line| line["src.workload"] == "web" && named(line, "shop/not-web"));
    let client = mesh.ztunnel(Side::A);
    client.logged("the refusal", |line| {
        line["src.workload"] == "evil" && line["direction"] == "outbound" && named(line, "401")
    });
}

fn an_edit_closes_only_what_it_denies() {
    let mut mesh = Mesh::started("edit");
    let (web, near, other) =
        (mesh.pod("web", Side::A), mesh.pod("near", Side::B), mesh.pod("other", Side::A));
    let cart = mesh.pod("cart", Side::B);
    mesh.settled();
    let _server = Server::echo(cart.netns(), 8080);
    mesh.enforce("cart", "cart", "ALLOW", &from_accounts(&["web", "near", "other"]));
    let mut denied = [&web, &near].map(|pod| client::connect(pod.netns(), cart.at(8080)));
    let mut spared = client::connect(other.netns(), cart.at(8080));
    denied.iter_mut().chain([&mut spared]).for_each(|stream| client::talk(stream, "before"));

    let edited = Instant::now();
    mesh.apply("policy-cart", &policy("cart", "cart", "ALLOW", &from_accounts(&["other"])));
    for stream in &mut denied {
        let ended = stream.read(&mut [0; 16]);
        assert!(
            ended.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
                || matches!(ended, Ok(0)),
            "{ended:?}"
        );
        let took = edited.elapsed();
        assert!(took < Duration::from_secs(2), "the denied connection lived on for {took:?}");
    }
    client::talk(&mut spared, "after");
    assert!(!client::passes(web.netns(), cart.at(8080)));
    assert!(client::passes(other.netns(), cart.at(8080)));
    // An edit that changes nothing for it leaves it alone too, and so does one that lets the others in again.
    mesh.apply("policy-cart", &policy("cart", "cart", "ALLOW", &from_accounts(&["other", "web"])));
    wait_until("web may again", || client::passes(web.netns(), cart.at(8080)));
    client::talk(&mut spared, "to the end");
}
