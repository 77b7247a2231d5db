//! Who is let through, who is not, and what is said about it.

use ambit_tests::client;
use ambit_tests::resources::{from_accounts, peer_authentication, policy};
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::wait_until;
use serde_json::Value;

use crate::scenario::Outcome;
use crate::stage::Stage;

fn says(line: &Value, text: &str) -> bool {
    line["error"].as_str().is_some_and(|error| error.contains(text))
}

/// The client sees it, nothing reaches the application, and both logs say why.
pub(crate) fn denied_by_policy(stage: &mut Stage) -> Outcome {
    let (web, other, far) = (&stage.web, &stage.other, &stage.far);
    let server = Server::echo(far.netns(), 8080);
    stage.mesh.enforce("not-web", "far", "DENY", &from_accounts(&["web"]));
    for to in [far.at(8080), far.at6(8080)] {
        assert!(!client::passes(web.netns(), to), "{to} was allowed");
        assert!(client::passes(other.netns(), to), "{to} was denied to another");
    }
    assert_eq!(server.seen.connections(), 2, "a denied connection reached the application");
    stage.mesh.ztunnel(Side::B).logged("which policy denied", |line| {
        line["direction"] == "inbound" && line["src.workload"] == "web" && says(line, "not-web")
    });
    stage.mesh.ztunnel(Side::A).logged("the refusal", |line| {
        line["direction"] == "outbound" && line["src.workload"] == "web" && says(line, "401")
    });
    Outcome::Same
}

/// An edit closes what it denies, and only that.
pub(crate) fn policy_cuts(stage: &mut Stage) -> Outcome {
    let (web, other, far) = (&stage.web, &stage.other, &stage.far);
    let _server = Server::echo(far.netns(), 8080);
    stage.mesh.enforce("cut", "far", "ALLOW", &from_accounts(&["web", "other"]));
    let mut cut = client::connect(web.netns(), far.at(8080));
    let mut spared = client::connect(other.netns(), far.at(8080));
    [&mut cut, &mut spared].into_iter().for_each(|stream| client::talk(stream, "before"));
    stage.mesh.apply("policy-cut", &policy("cut", "far", "ALLOW", &from_accounts(&["other"])));
    let (rest, ended) = client::drain(&mut cut);
    let cut = !ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(rest.is_empty() && cut, "the denied connection lives on");
    client::talk(&mut spared, "after");
    assert!(!client::passes(web.netns(), far.at(8080)));
    assert!(client::passes(other.netns(), far.at(8080)));
    Outcome::Same
}

/// PERMISSIVE lets plaintext pass, STRICT refuses it before the application sees a byte, and the mesh goes on.
pub(crate) fn plaintext_peer(stage: &mut Stage) -> Outcome {
    let (web, far, outsider) = (&stage.web, &stage.far, &stage.outsider);
    let server = Server::echo(far.netns(), 8080);
    assert!(
        client::passes(outsider.netns(), far.at(8080)) && client::passes(outsider.netns(), far.at6(8080))
    );
    stage.mesh.apply("strict", &peer_authentication("STRICT"));
    wait_until("plaintext is refused", || !client::passes(outsider.netns(), far.at(8080)));
    // Another server: the change of policy may have cut a connection that the first one is still reading.
    drop(server);
    let server = Server::echo(far.netns(), 8080);
    for to in [far.at(8080), far.at6(8080)] {
        assert!(!client::passes(outsider.netns(), to), "plaintext reached {to}");
    }
    assert_eq!(server.seen.connections(), 0, "plaintext reached the application");
    assert!(client::passes(web.netns(), far.at(8080)), "the mesh's own client was refused");
    stage.mesh.apply("strict", &peer_authentication("PERMISSIVE"));
    wait_until("plaintext is permitted again", || client::passes(outsider.netns(), far.at(8080)));
    // And the other way: a server outside of the mesh is asked in plaintext.
    let _outside = Server::echo(outsider.netns(), 8080);
    assert!(
        client::passes(far.netns(), outsider.at(8080)) && client::passes(web.netns(), outsider.at6(8080))
    );
    Outcome::Same
}
