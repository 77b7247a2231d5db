//! The flows end to end, over in-memory pipes: real TLS, real HTTP/2, real policies, no kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod early;
mod mesh;
mod same_node;

use ambit_model::policy::{Action, Clause, Match, Policy, Rule, Scope, StringMatch};
use ambit_model::workload::Tunnel;
use ambit_model::{Change, Identity};
use ambit_transport::drain::Mode;
use ambit_ztunnel::connections::dump;
use mesh::{Mesh, workload};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const WEB: &str = "10.0.0.1";
const CART: &str = "10.0.0.2";
const CART_APP: &str = "10.0.0.2:80";

/// Every test runs twice: with connections within the node handed over, and with a tunnel for each, as between nodes.
macro_rules! in_both_modes {
    ($($name:ident)*) => {
        mod handover {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name("handover").await;
            })*
        }
        mod tunnel {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name("tunnel").await;
            })*
        }
    };
}

in_both_modes! {
    bytes_go_both_ways_with_the_sources_identity_and_address
    operators_see_open_connections_and_only_those
    each_direction_ends_on_its_own
    many_connections_share_a_tunnel_and_keep_their_bytes_apart
    a_denied_connection_reaches_no_application
    a_policy_change_closes_a_live_connection_and_spares_the_others
    a_policy_attached_to_the_workload_later_closes_its_live_connections
    a13_a_listed_policy_that_never_arrives_denies
    a13_a_listed_policy_that_arrives_in_time_decides
    a_pod_that_answers_with_another_identity_gets_no_byte
    a28_agent_and_controller_must_agree_on_the_service_account
    what_is_not_of_the_mesh_passes_through
    a_mesh_workload_is_never_dialled_in_plaintext
    plaintext_is_judged_without_identity
    a_connection_to_a_pod_that_is_gone_ends_within_the_patience
    a_graceful_drain_lets_connections_finish_and_an_immediate_one_cuts_them
    an_immediate_drain_cuts_what_waits_for_a_tunnel
    an_identity_of_another_trust_domain_cannot_be_dialled_as_ours
}

async fn shop(mode: &str) -> Mesh {
    let mut mesh = Mesh::new(mode);
    mesh.pod("web", WEB).await;
    mesh.pod("cart", CART).await;
    mesh
}

fn policy(name: &str, action: Action, scope: Scope, principal: Option<&str>) -> Policy {
    let matches = principal.map(|principal| Match {
        principals: vec![StringMatch::Exact(format!("cluster.local/ns/shop/sa/{principal}").into())],
        ..Match::default()
    });
    let clauses = matches.into_iter().map(|each| Clause { matches: vec![each] }).collect();
    Policy {
        key: format!("shop/{name}").into(),
        namespace: "shop".into(),
        scope,
        action,
        rules: vec![Rule { clauses, undecodable: None }],
        dry_run: false,
        unusable: None,
    }
}

fn set(policy: Policy) -> Vec<Change> {
    vec![Change::Policy(policy.into())]
}

/// What is left to read; an error is an end too, since a pipe knows no reset.
async fn rest(mut stream: DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// Reads until the metric is as expected: a flow reports after its streams have ended.
async fn settle(mesh: &Mesh, expected: impl Fn(&str) -> bool) {
    for _ in 0..10_000 {
        if expected(&mesh.metrics()) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never so: {}", mesh.metrics());
}

async fn bytes_go_both_ways_with_the_sources_identity_and_address(mode: &str) {
    let mesh = shop(mode).await;
    let mut cart = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", CART_APP);
    client.write_all(b"ping").await.unwrap();
    let (mut server, source) = cart.recv().await.unwrap();
    assert_eq!(source.ip().to_string(), WEB, "the application sees the client's own address");
    let mut asked = [0; 4];
    server.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"ping");
    server.write_all(b"pong!").await.unwrap();
    server.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"pong!");
    drop(client);
    drop(server);
    settle(&mesh, |metrics| {
        let closed = metrics.lines().filter(|line| line.starts_with("istio_tcp_connections_closed_total{"));
        closed.clone().count() == 2
            && closed.clone().all(|line| line.contains("connection_security_policy=\"mutual_tls\""))
            && closed
                .clone()
                .all(|line| line.contains("source_principal=\"spiffe://cluster.local/ns/shop/sa/web\""))
            && closed.clone().any(|line| line.contains("reporter=\"source\""))
            && closed.clone().any(|line| line.contains("reporter=\"destination\""))
    })
    .await;
}

async fn operators_see_open_connections_and_only_those(mode: &str) {
    let mesh = shop(mode).await;
    let mut cart = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", CART_APP);
    client.write_all(b"a").await.unwrap();
    let (server, _) = cart.recv().await.unwrap();
    let outbound = dump(&mesh.connections("web"));
    assert_eq!(outbound["outbound"][0]["src"], "10.0.0.1:50000");
    assert_eq!(outbound["outbound"][0]["originalDst"], CART_APP);
    assert_eq!(outbound["outbound"][0]["actualDst"], "10.0.0.2:15008");
    assert_eq!(outbound["outbound"][0]["protocol"], "HBONE");
    let inbound = dump(&mesh.connections("cart"));
    assert_eq!(inbound["inbound"][0]["actualDst"], CART_APP);
    assert_eq!(inbound["outbound"], serde_json::json!([]));
    drop(client);
    drop(server);
    for _ in 0..10_000 {
        if mesh.connections("web").is_empty() && mesh.connections("cart").is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("still listed: {:?}", mesh.connections("web"));
}

async fn each_direction_ends_on_its_own(mode: &str) {
    let mesh = shop(mode).await;
    let mut cart = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", CART_APP);
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut server, _) = cart.recv().await.unwrap();
    let mut asked = Vec::new();
    server.read_to_end(&mut asked).await.unwrap();
    assert_eq!(asked, b"question");
    server.write_all(b"a late answer").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(rest(client).await, b"a late answer");
}

async fn many_connections_share_a_tunnel_and_keep_their_bytes_apart(mode: &str) {
    let mesh = shop(mode).await;
    let mut cart = mesh.network.listen(CART_APP);
    tokio::spawn(async move {
        while let Some((server, _)) = cart.recv().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(server);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
    });
    let clients = (0..150u32).map(|number| {
        let mut client = mesh.connect("web", CART_APP);
        async move {
            let sent: Vec<u8> = (0..20_000u32).flat_map(|index| (number ^ index).to_le_bytes()).collect();
            let (mut read, mut write) = tokio::io::split(&mut client);
            let mut back = Vec::new();
            let send = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(send, read.read_to_end(&mut back));
            read.unwrap();
            assert_eq!(back, sent);
        }
    });
    futures_util::future::join_all(clients).await;
}

async fn a_denied_connection_reaches_no_application(mode: &str) {
    let mesh = shop(mode).await;
    mesh.writer.apply(set(policy("no-web", Action::Deny, Scope::Namespace, Some("web"))));
    let mut cart = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", CART_APP);
    let _ = client.write_all(b"GET /").await;
    assert_eq!(rest(client).await, b"");
    assert!(cart.try_recv().is_err(), "the application was dialled");
    settle(&mesh, |metrics| {
        metrics.lines().any(|line| {
            line.starts_with("istio_tcp_connections_failed_total{")
                && line.contains("response_flags=\"DENY\"")
        })
    })
    .await;
}

async fn a_policy_change_closes_a_live_connection_and_spares_the_others(mode: &str) {
    let mut mesh = shop(mode).await;
    mesh.pod("catalog", "10.0.0.3").await;
    let mut cart = mesh.network.listen(CART_APP);
    let mut denied = mesh.connect("web", CART_APP);
    denied.write_all(b"a").await.unwrap();
    let (_web, _) = cart.recv().await.unwrap();
    let mut spared = mesh.connect("catalog", CART_APP);
    spared.write_all(b"b").await.unwrap();
    let (mut server, _) = cart.recv().await.unwrap();
    mesh.writer.apply(set(policy("only-catalog", Action::Allow, Scope::Namespace, Some("catalog"))));
    assert_eq!(rest(denied).await, b"");
    server.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    spared.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
}

async fn a_policy_attached_to_the_workload_later_closes_its_live_connections(mode: &str) {
    let mesh = shop(mode).await;
    // Known all along, but listed on no workload: it denies whoever has an identity.
    mesh.writer.apply(set(policy("no-web", Action::Deny, Scope::WorkloadSelector, Some("web"))));
    let mut cart = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", CART_APP);
    client.write_all(b"a").await.unwrap();
    let (_server, _) = cart.recv().await.unwrap();
    let mut attached = workload("cart", CART);
    attached.policies = vec!["shop/no-web".into()];
    mesh.announce(attached);
    assert_eq!(rest(client).await, b"");
}

async fn a13_a_listed_policy_that_never_arrives_denies(mode: &str) {
    let mesh = shop(mode).await;
    let mut waiting = workload("cart", CART);
    waiting.policies = vec!["shop/pending".into()];
    mesh.announce(waiting);
    let mut cart = mesh.network.listen(CART_APP);
    let client = mesh.connect("web", CART_APP);
    assert_eq!(rest(client).await, b"");
    assert!(cart.try_recv().is_err());
}

async fn a13_a_listed_policy_that_arrives_in_time_decides(mode: &str) {
    let mesh = shop(mode).await;
    let mut waiting = workload("cart", CART);
    waiting.policies = vec!["shop/allow-web".into()];
    mesh.announce(waiting);
    let mut cart = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", CART_APP);
    client.write_all(b"a").await.unwrap();
    mesh.writer.apply(set(policy("allow-web", Action::Allow, Scope::WorkloadSelector, Some("web"))));
    assert!(cart.recv().await.is_some());
}

async fn a_pod_that_answers_with_another_identity_gets_no_byte(mode: &str) {
    let mut mesh = Mesh::new(mode);
    mesh.pod("web", WEB).await;
    // The controller says that cart lives there; who answers runs as another service account.
    mesh.pod("thief", "10.0.0.9").await;
    let mut cart = workload("cart", "10.0.0.9");
    cart.uid = "c//Pod/shop/cart".into();
    mesh.announce(cart);
    let mut application = mesh.network.listen("10.0.0.9:80");
    let mut client = mesh.connect("web", "10.0.0.9:80");
    let _ = client.write_all(b"secret").await;
    assert_eq!(rest(client).await, b"");
    assert!(application.try_recv().is_err());
    settle(&mesh, |metrics| metrics.contains("response_flags=\"TLS_FAILURE\"")).await;
}

async fn a28_agent_and_controller_must_agree_on_the_service_account(mode: &str) {
    let mut mesh = Mesh::new(mode);
    mesh.pod("cart", CART).await;
    mesh.announce(workload("web", WEB));
    mesh.run("web", WEB, "somebody-else").await;
    let mut cart = mesh.network.listen(CART_APP);
    assert_eq!(rest(mesh.connect("web", CART_APP)).await, b"");
    assert!(cart.try_recv().is_err());
    settle(&mesh, |metrics| metrics.contains("response_flags=\"IDENTITY_ERROR\"")).await;
}

async fn what_is_not_of_the_mesh_passes_through(mode: &str) {
    let mesh = shop(mode).await;
    let mut outside = mesh.network.listen("192.0.2.1:443");
    let mut client = mesh.connect("web", "192.0.2.1:443");
    client.write_all(b"hello").await.unwrap();
    let (mut server, source) = outside.recv().await.unwrap();
    assert_eq!(source.ip().to_string(), WEB);
    let mut heard = [0; 5];
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

async fn a_mesh_workload_is_never_dialled_in_plaintext(mode: &str) {
    let mesh = shop(mode).await;
    // Its proxy is gone: nothing listens on the tunnel port, only the application does.
    let mut gone = workload("gone", "10.0.0.7");
    gone.tunnel = Tunnel::Hbone;
    mesh.announce(gone);
    let mut application = mesh.network.listen("10.0.0.7:80");
    assert_eq!(rest(mesh.connect("web", "10.0.0.7:80")).await, b"");
    assert!(application.try_recv().is_err(), "plaintext to a known mesh workload");
}

async fn plaintext_is_judged_without_identity(mode: &str) {
    let mesh = shop(mode).await;
    let mut cart = mesh.network.listen(CART_APP);
    let mut client = mesh.connect_plainly("10.0.9.9:1234", "cart", CART_APP);
    client.write_all(b"hi").await.unwrap();
    let (_server, source) = cart.recv().await.unwrap();
    assert_eq!(source.ip().to_string(), "10.0.9.9");
    mesh.writer.apply(set(policy("only-web", Action::Allow, Scope::Namespace, Some("web"))));
    assert_eq!(rest(client).await, b"", "a live plaintext connection is judged anew, too");
    assert_eq!(rest(mesh.connect_plainly("10.0.9.9:1235", "cart", CART_APP)).await, b"");
    assert!(cart.try_recv().is_err());
    for port in [15001, 15006, 15008] {
        let own = format!("{CART}:{port}");
        assert_eq!(rest(mesh.connect_plainly("10.0.9.9:1236", "cart", &own)).await, b"");
    }
}

async fn a_connection_to_a_pod_that_is_gone_ends_within_the_patience(mode: &str) {
    let mut mesh = shop(mode).await;
    mesh.pod("catalog", "10.0.0.3").await;
    let mut cart = mesh.network.listen(CART_APP);
    let mut catalog = mesh.network.listen("10.0.0.3:80");
    let mut gone = mesh.connect("web", CART_APP);
    gone.write_all(b"a").await.unwrap();
    // The pod took its network with it: its end stays open and says nothing.
    let (_silent, _) = cart.recv().await.unwrap();
    let mut other = mesh.connect("web", "10.0.0.3:80");
    other.write_all(b"b").await.unwrap();
    let (mut server, _) = catalog.recv().await.unwrap();
    mesh.writer.apply(vec![Change::RemoveAddress("c//Pod/shop/cart".into())]);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(6), rest(gone)).await;
    assert_eq!(ended.expect("the connection hangs"), b"");
    server.write_all(b"still").await.unwrap();
    let mut heard = [0; 5];
    other.read_exact(&mut heard).await.unwrap();
}

async fn a_graceful_drain_lets_connections_finish_and_an_immediate_one_cuts_them(mode: &str) {
    let mesh = shop(mode).await;
    let mut cart = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", CART_APP);
    client.write_all(b"a").await.unwrap();
    let (mut server, _) = cart.recv().await.unwrap();
    mesh.drain.drain(Mode::Graceful);
    server.write_all(b"still").await.unwrap();
    let mut heard = [0; 5];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still");
    mesh.drain.drain(Mode::Immediate);
    assert_eq!(rest(client).await, b"");
}

async fn an_immediate_drain_cuts_what_waits_for_a_tunnel(mode: &str) {
    let mesh = shop(mode).await;
    mesh.announce(workload("silent", "10.0.0.9"));
    let mut silent = mesh.network.listen("10.0.0.9:15008");
    let client = mesh.connect("web", "10.0.0.9:80");
    let (_silent, _) = silent.recv().await.unwrap();
    mesh.drain.drain(Mode::Graceful);
    let begun = tokio::time::Instant::now();
    mesh.drain.drain(Mode::Immediate);
    assert_eq!(rest(client).await, b"");
    assert!(begun.elapsed() < std::time::Duration::from_millis(10), "it hung for {:?}", begun.elapsed());
}

async fn an_identity_of_another_trust_domain_cannot_be_dialled_as_ours(mode: &str) {
    let mut mesh = shop(mode).await;
    let mut foreign = workload("foreign", "10.0.0.8");
    foreign.identity = Identity::new("elsewhere", "shop", "foreign").unwrap();
    mesh.announce(foreign);
    mesh.run("foreign", "10.0.0.8", "foreign").await;
    let mut application = mesh.network.listen("10.0.0.8:80");
    assert_eq!(rest(mesh.connect("foreign", CART_APP)).await, b"", "its own trust domain is not ours");
    assert!(application.try_recv().is_err());
}

/// What an open connection costs in memory before a byte flows: one of these lives as long as it does.
#[tokio::test]
async fn the_futures_of_a_connection_stay_within_their_budgets() {
    let mesh = shop("handover").await;
    let (client, _application) = tokio::io::duplex(1);
    let sizes = mesh.sizes(client);
    assert!(sizes.outbound <= 2_600, "outbound: {} bytes", sizes.outbound);
    assert!(sizes.plaintext <= 2_300, "plaintext: {} bytes", sizes.plaintext);
    assert!(sizes.tunnel <= 1_300, "tunnel: {} bytes", sizes.tunnel);
}
