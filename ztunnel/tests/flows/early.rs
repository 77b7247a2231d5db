//! First bytes with the CONNECT: they wait for the verdict, go nowhere without it, and are counted once.

use ambit_model::policy::{Action, Scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::mesh::{Mesh, workload};
use super::{CART, CART_APP, WEB, policy, rest, set, settle};

const ON: &[(&str, &str)] = &[("AMBIT_TUNNEL_ENGINE", "own"), ("AMBIT_EARLY_BYTES", "on")];
const OFF: &[(&str, &str)] = &[("AMBIT_TUNNEL_ENGINE", "own"), ("AMBIT_EARLY_BYTES", "off")];
const LIBRARY: &[(&str, &str)] = &[("AMBIT_TUNNEL_ENGINE", "library"), ("AMBIT_EARLY_BYTES", "on")];

/// More than a captured connection's pipe holds, by what goes ahead of an answer.
const AHEAD: usize = 80 * 1024;

/// A mesh whose cart waits for a policy that has not come.
async fn undecided(settings: &[(&'static str, &'static str)]) -> Mesh {
    let mut mesh = Mesh::with("tunnel", settings);
    mesh.pod("web", WEB).await;
    mesh.pod("cart", CART).await;
    let mut cart = workload("cart", CART);
    cart.policies = vec!["shop/verdict".into()];
    mesh.announce(cart);
    mesh
}

/// The sums of this counter for the two ends, source first.
fn counted(metrics: &str, counter: &str) -> [Vec<String>; 2] {
    ["reporter=\"source\"", "reporter=\"destination\""].map(|reporter| {
        let lines = metrics.lines().filter(|line| line.starts_with(counter) && line.contains(reporter));
        lines.filter_map(|line| line.rsplit(' ').next()).map(str::to_owned).collect()
    })
}

#[tokio::test(start_paused = true)]
async fn they_wait_for_the_verdict_on_their_way_and_the_end_with_them() {
    for (settings, ahead) in [(ON, true), (OFF, false), (LIBRARY, false)] {
        let mesh = undecided(settings).await;
        let mut cart = mesh.network.listen(CART_APP);
        let mut client = mesh.connect("web", CART_APP);
        let bytes: Vec<u8> = (0..AHEAD).map(|index| (index % 251) as u8).collect();
        let mut written = 0;
        // Not a time limit: the policy's patience is longer, and paused time moves when nothing else does.
        let patience = std::time::Duration::from_millis(10);
        while let Ok(more) = tokio::time::timeout(patience, client.write(&bytes[written..])).await {
            written += more.unwrap();
            if written == bytes.len() {
                break;
            }
        }
        assert_eq!(written == bytes.len(), ahead, "{settings:?}: {written} bytes");
        assert!(cart.try_recv().is_err(), "the application was dialled before the verdict");
        mesh.writer.apply(set(policy("verdict", Action::Allow, Scope::WorkloadSelector, Some("web"))));
        let (mut server, _) = cart.recv().await.unwrap();
        let mut said = Vec::new();
        let sending = async {
            client.write_all(&bytes[written..]).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let ((), read) = tokio::join!(sending, server.read_to_end(&mut said));
        read.unwrap();
        assert!(said == bytes, "{settings:?}");
        server.write_all(b"pong!").await.unwrap();
        drop(server);
        assert_eq!(rest(client).await, b"pong!");
        let total = AHEAD.to_string();
        settle(&mesh, |metrics| {
            counted(metrics, "istio_tcp_received_bytes_total{") == [[total.clone()], [total.clone()]]
                && counted(metrics, "istio_tcp_sent_bytes_total{") == [["5"], ["5"]]
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn denied_they_reach_nobody_and_do_not_count() {
    for settings in [ON, OFF, LIBRARY] {
        let mesh = undecided(settings).await;
        let mut cart = mesh.network.listen(CART_APP);
        let mut client = mesh.connect("web", CART_APP);
        client.write_all(b"secret").await.unwrap();
        client.shutdown().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        mesh.writer.apply(set(policy("verdict", Action::Deny, Scope::WorkloadSelector, Some("web"))));
        assert_eq!(rest(client).await, b"");
        assert!(cart.try_recv().is_err(), "the application was dialled");
        settle(&mesh, |metrics| {
            let failed =
                metrics.lines().filter(|line| line.starts_with("istio_tcp_connections_failed_total{"));
            failed.filter(|line| line.contains("response_flags=\"DENY\"")).count() == 2
        })
        .await;
        for sums in counted(&mesh.metrics(), "istio_tcp_received_bytes_total{") {
            assert!(sums.iter().all(|sum| sum == "0"), "{settings:?}: {sums:?}");
        }
    }
}
