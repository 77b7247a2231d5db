//! Requests, volumes, many streams, tunnels that were idle, large headers.

use ambit_identity::ExpectedPeers;
use ambit_tests::certificates::{runtime, valid};
use ambit_tests::frames::{self, Reply};
use ambit_tests::pod::Pod;
use ambit_tests::resources::vip;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;
use ambit_tests::wait::{wait_for, wait_until};
use ambit_tests::wire::Wire;
use ambit_tests::{client, exchange, http};

use crate::scenario::Outcome;
use crate::stage::{SERVICE, Stage, bytes_each_way};

/// Both families, by pod and by service, on one node and across; nothing of it in clear on the wire, and both logs
/// know both identities.
pub(crate) fn http(stage: &mut Stage) -> Outcome {
    let (web, near, far) = (&stage.web, &stage.near, &stage.far);
    let _servers = [near, far].map(|pod| Server::http(pod.netns(), 8080, &pod.spec.name));
    let wire = Wire::watch(stage.mesh.node(Side::A), &["secret-marker"]);
    for pod in [near, far] {
        for (to, seen) in [(pod.at(8080), web.ips()[0]), (pod.at6(8080), web.ips()[1])] {
            // Two on one connection, so that it is not only its first bytes that arrive.
            let mut stream = client::connect(web.netns(), to);
            for path in ["/secret-marker", "/again"] {
                let answer = http::ask(&mut stream, to, path).unwrap();
                assert_eq!(answer.body, format!("{} {path} {seen}", pod.spec.name), "{to}");
            }
        }
    }
    for to in vip(SERVICE, 80) {
        assert!(http::get(web.netns(), to, "/vip").unwrap().body.starts_with("far /vip "), "{to}");
    }
    let crossed = wire.crossed();
    assert!(crossed.markers.is_empty() && crossed.tunnel > 0, "{crossed:?}");
    for (side, direction) in [(Side::A, "outbound"), (Side::B, "inbound")] {
        let line = stage.mesh.ztunnel(side).logged("the connection", |line| {
            line["direction"] == direction && line["src.workload"] == "web" && line["dst.workload"] == "far"
        });
        assert_eq!(line["src.identity"], web.identity().to_string(), "{line}");
        assert_eq!(line["dst.identity"], far.identity().to_string(), "{line}");
    }
    Outcome::Same
}

/// The volume and its checksum, each way, across nodes and on one.
pub(crate) fn volume(stage: &mut Stage) -> Outcome {
    let bytes = bytes_each_way();
    for pod in [&stage.far, &stage.near] {
        let read = exchange::volume(stage.web.netns(), pod, pod.at(exchange::PORT), bytes);
        assert_eq!(read, bytes + 8);
    }
    Outcome::Same
}

/// More streams than one tunnel carries (100), and than the server allows a tunnel (200).
pub(crate) fn many_streams(stage: &mut Stage) -> Outcome {
    let _servers = [&stage.near, &stage.far].map(|pod| Server::echo(pod.netns(), 8080));
    exchange::many(stage.web.netns(), &[stage.far.at(8080)], 350);
    exchange::many(stage.web.netns(), &[stage.near.at(8080), stage.far.at6(8080)], 120);
    Outcome::Same
}

/// How many tunnels a pod has to others' proxies.
fn tunnels(pod: &Pod) -> usize {
    let read =
        |file: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    let both = pod.netns().run(|| read("tcp") + &read("tcp6")).unwrap();
    // Columns: number, local, remote as ADDRESS:PORT in hexadecimal, and the state, of which 01 is established.
    let established = |line: &&str| {
        let mut columns = line.split_whitespace().skip(2);
        columns.next().is_some_and(|remote| remote.ends_with(":3AA0")) && columns.next() == Some("01")
    };
    both.lines().filter(established).count()
}

/// Tunnels are closed when idle, all but the one that is in use; then all goes on as before.
pub(crate) fn idle_then_reuse(stage: &mut Stage) -> Outcome {
    let (web, far) = (&stage.web, &stage.far);
    let _server = Server::echo(far.netns(), 8080);
    let mut kept = client::connect(web.netns(), far.at(8080));
    client::talk(&mut kept, "before");
    exchange::many(web.netns(), &[far.at(8080)], 150);
    wait_until("the idle tunnels are closed", || tunnels(web) == 1);
    client::talk(&mut kept, "after a while");
    assert!(client::passes(web.netns(), far.at(8080)));
    drop(kept);
    wait_until("the last tunnel is closed", || tunnels(web) == 0);
    assert!(client::passes(web.netns(), far.at(8080)));
    Outcome::Same
}

/// Who asks has the longest names there can be; and a naive client sends 12 KiB of headers to the server's proxy.
pub(crate) fn big_headers(stage: &mut Stage) -> Outcome {
    let (long, far) = (&stage.long, &stage.far);
    let _server = Server::echo(far.netns(), 8080);
    assert!(client::passes(long.netns(), far.at(8080)));
    stage.mesh.ztunnel(Side::B).logged("the long name", |line| line["src.workload"] == *long.spec.name);

    let certificate = valid(&stage.mesh, Side::A, &stage.web.identity());
    let baggage = format!("k8s.namespace.name=shop,service.name={}", "b".repeat(12 * 1024));
    let target = far.at(8080).to_string();
    runtime().block_on(async {
        let expected = ExpectedPeers::new([far.identity()]);
        let mut tunnel = frames::tunnel(stage.outsider.netns(), far.at(15008), &certificate, &expected).await;
        tunnel.send(&frames::connect(1, &target, &[("baggage", &baggage)])).await.unwrap();
        assert_eq!(tunnel.reply(1).await, Reply::Status(200));
        tunnel.send(&frames::data(1, b"hello", false)).await.unwrap();
        assert_eq!(tunnel.bytes(1).await, b"hello");
    });
    wait_for("the naive client's connection is logged", || {
        let lines = stage.mesh.ztunnel(Side::B).access();
        lines.into_iter().find(|line| line["direction"] == "inbound" && line["bytes_recv"] == 5)
    });
    Outcome::Same
}
