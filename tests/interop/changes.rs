//! What changes under traffic: certificates, proxies; and configuration that is asked for when it is needed.

use std::collections::BTreeSet;

use ambit_tests::load::Load;
use ambit_tests::resources::{from_accounts, vip};
use ambit_tests::server::Server;
use ambit_tests::topology::{SIDES, Side};
use ambit_tests::wait::wait_until;
use ambit_tests::{client, http};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::pairing::Kind;
use crate::scenario::Outcome;
use crate::stage::{SERVICE, Stage};

/// The kernel resets what a closed listener has not accepted yet.
const LEFT_IN_THE_QUEUE: &str =
    "an Istio ztunnel that leaves closes its listeners with connections in them, which are reset";

/// Requests across nodes both ways, and on one connection that must last.
fn loads(stage: &Stage) -> ([Server; 2], [Load; 2], Load) {
    let (web, near, far) = (&stage.web, &stage.near, &stage.far);
    let servers = [near, far].map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name));
    // The first packet to a new IPv6 neighbour may find nobody yet.
    for (from, to) in [(web, far.at6(8080)), (web, far.at(8080)), (far, near.at(8080))] {
        wait_until("the way is there", || http::get(from.netns(), to, "/").is_ok());
    }
    let there = Load::connections(web.netns(), far.at(8080), "x");
    let back = Load::connections(far.netns(), near.at(8080), "x");
    let kept = Load::requests(web.netns(), far.at6(8080), "x");
    (servers, [there, back], kept)
}

/// The serial numbers of a node's certificates.
fn serials(stage: &Stage, side: Side) -> Vec<String> {
    let dump = stage.mesh.dump(side);
    let serial = |each: &Value| Some(each["certChain"][0]["serialNumber"].as_str()?.to_owned());
    dump["certificates"].as_array().unwrap().iter().filter_map(serial).collect()
}

/// Every certificate is replaced, again and again; no request is lost.
pub(crate) fn rotation(stage: &mut Stage) -> Outcome {
    let (_servers, news, kept) = loads(stage);
    for side in SIDES {
        let (first, mut seen) = (serials(stage, side).len(), BTreeSet::new());
        wait_until("every certificate was replaced, and again", || {
            seen.extend(serials(stage, side));
            seen.len() >= 3 * first
        });
    }
    news.iter().chain([&kept]).for_each(|load| load.more(20));
    for load in news {
        load.flawless();
    }
    kept.flawless();
    Outcome::Same
}

pub(crate) fn server_restart(stage: &mut Stage) -> Outcome {
    restart(stage, Side::B)
}

pub(crate) fn client_restart(stage: &mut Stage) -> Outcome {
    restart(stage, Side::A)
}

/// A second proxy comes, the first one says GOAWAY and leaves: no new connection fails, in either direction.
fn restart(stage: &mut Stage, side: Side) -> Outcome {
    let (_servers, news, kept) = loads(stage);
    news.iter().chain([&kept]).for_each(|load| load.more(20));
    let mut leaving = stage.mesh.replace_ztunnel(side);
    stage.mesh.settled();
    news.iter().for_each(|load| load.more(20));
    // What was open ends at the deadline at the latest, and that is no fault.
    drop(kept);
    leaving.signal(Signal::SIGTERM);
    news.iter().for_each(|load| load.more(20));
    assert!(leaving.ended().success(), "the first proxy left badly");
    news.iter().for_each(|load| load.more(20));
    let failures: Vec<String> = news.iter().flat_map(Load::failures).collect();
    match stage.kind(side) {
        Kind::Theirs(_)
            if !failures.is_empty() && failures.iter().all(|failure| failure.contains("reset")) =>
        {
            Outcome::Differs(LEFT_IN_THE_QUEUE)
        }
        _ => {
            assert!(failures.is_empty(), "new connections failed: {failures:?}");
            Outcome::Same
        }
    }
}

/// By address, by service and under a policy, in both directions.
pub(crate) fn on_demand(stage: &mut Stage) -> Outcome {
    let (web, near, far) = (&stage.web, &stage.near, &stage.far);
    let _servers = [near, far].map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name));
    for to in [far.at(8080), far.at6(8080), vip(SERVICE, 80)[0], vip(SERVICE, 80)[1], near.at(8080)] {
        assert!(http::get(web.netns(), to, "/").is_ok_and(|answer| answer.status == 200), "{to}");
    }
    assert!(http::get(far.netns(), near.at(8080), "/").unwrap().body.starts_with("near / "));
    let line = stage
        .mesh
        .ztunnel(Side::A)
        .logged("the tunnel", |line| line["direction"] == "outbound" && line["dst.workload"] == "far");
    assert_eq!(line["dst.identity"], far.identity().to_string(), "{line}");
    stage.mesh.enforce("not-web", "far", "DENY", &from_accounts(&["web"]));
    assert!(!client::passes(web.netns(), far.at(8080)));
    assert!(http::get(stage.other.netns(), far.at(8080), "/").is_ok());
    Outcome::Same
}
