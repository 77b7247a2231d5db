//! The proof that a hand-over is a tunnel without the encryption: each scenario runs in both modes, and what the client, the
//! application, the metrics and the log say must be the same.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use ambit_model::policy::{Action, Clause, Match, Policy, Rule, Scope};
use ambit_model::service::{AppProtocol, Port, ServiceAddress, ServiceKey};
use ambit_model::workload::ApplicationTunnel;
use ambit_model::{Change, Identity, NetworkAddress, Service};
use ambit_telemetry::log::{LogFormat, LogSettings, build};
use ambit_transport::drain::Mode;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::mesh::{Accepted, Mesh, workload};
use crate::{CART, CART_APP, WEB, policy, rest, set, shop};

/// What a scenario expects of both modes.
struct Expected {
    /// The flag of the source's report.
    source: &'static str,
    /// The flag of the destination's report; none if it makes no report.
    destination: Option<&'static str>,
    /// Whether the connection may be handed over at all.
    handed: bool,
}

const WELL: Expected = Expected { source: "-", destination: Some("-"), handed: true };
const DENIED: Expected = Expected { source: "DENY", destination: Some("DENY"), handed: true };
const UNREACHABLE: Expected = Expected { source: "CONNECT", destination: Some("CONNECT"), handed: true };
/// An end that reports what the tunnel would find out.
const fn by_tunnel(source: &'static str, destination: Option<&'static str>) -> Expected {
    Expected { source, destination, handed: false }
}

/// What is seen of a scenario.
#[derive(Debug, Default, PartialEq)]
struct Observed {
    /// What the client heard.
    heard: String,
    /// Connections of the application, by the address that it saw.
    reached: Vec<String>,
    /// The access log, without what differs from run to run.
    lines: BTreeSet<String>,
    /// The traffic metrics.
    metrics: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        // The lines of policies without effect are texts only.
        lines.filter(|line| line["scope"] == "access" && !line["direction"].is_null()).collect()
    }
}

/// Runs a scenario in both modes and compares.
async fn compare(scenario: impl AsyncFn(&mut Mesh, &mut Observed) -> Expected) {
    let (tunnelled, _) = observe("tunnel", &scenario).await;
    let (handed, expected) = observe("handover", &scenario).await;
    assert_eq!(tunnelled, handed);
    let flagged = |reporter: &str, flag: &str| {
        let (reporter, flag) = (format!("reporter=\"{reporter}\""), format!("response_flags=\"{flag}\""));
        let ends = ["istio_tcp_connections_closed_total{", "istio_tcp_connections_failed_total{"];
        handed.metrics.iter().any(|line| {
            ends.iter().any(|end| line.starts_with(end)) && line.contains(&reporter) && line.contains(&flag)
        })
    };
    assert!(flagged("source", expected.source), "{handed:#?}");
    match expected.destination {
        Some(flag) => assert!(flagged("destination", flag), "{handed:#?}"),
        None => assert!(!handed.lines.iter().any(|line| line.contains("\"inbound\"")), "{handed:#?}"),
    }
}

async fn observe(
    mode: &str,
    scenario: &impl AsyncFn(&mut Mesh, &mut Observed) -> Expected,
) -> (Observed, Expected) {
    let log = Log::default();
    let settings =
        LogSettings { format: LogFormat::Json, directives: "info".into(), ..LogSettings::default() };
    let (subscriber, control, _guard) = build(&settings, log.clone()).unwrap();
    let _default = tracing::subscriber::set_default(subscriber);
    let mut mesh = shop(mode).await;
    let mut observed = Observed::default();
    let expected = scenario(&mut mesh, &mut observed).await;
    let ends = 1 + usize::from(expected.destination.is_some());
    for _ in 0..1000 {
        assert!(control.flush(Duration::from_secs(10)));
        if log.lines().len() >= ends {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whatever else is to come has come by then.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(control.flush(Duration::from_secs(10)));
    let lines = log.lines();
    assert_eq!(lines.len(), ends, "{mode}: {lines:#?}");
    for line in &lines {
        let marked = line["connection.path"] == "same-node";
        assert_eq!(marked, mode == "handover" && expected.handed, "{line}");
    }
    observed.lines = lines.into_iter().map(unvarying).collect();
    let metrics = mesh.metrics();
    let traffic = metrics.lines().filter(|line| line.starts_with("istio_tcp_"));
    observed.metrics = traffic.map(str::to_owned).collect();
    for pod in ["web", "cart"] {
        assert!(mesh.connections(pod).is_empty(), "{mode}: still listed");
    }
    (observed, expected)
}

/// A line without times, the tunnel's own port, the mark, and the words of an end that only heard of the other one's.
fn unvarying(mut line: Value) -> String {
    let fields = line.as_object_mut().unwrap();
    for field in ["time", "duration", "connection.path"] {
        fields.remove(field);
    }
    let source = fields["src.addr"].as_str().unwrap().rsplit_once(':').unwrap().0.to_owned();
    fields.insert("src.addr".into(), source.into());
    if let Some((heard, _)) =
        line["error"].as_str().and_then(|error| error.split_once("reset the connection"))
    {
        line["error"] = format!("{heard}reset").into();
    }
    // Sorted: a field that was taken out has changed the order.
    let fields: BTreeMap<&String, &Value> = line.as_object().unwrap().iter().collect();
    format!("{fields:?}")
}

/// A word each way on an accepted connection.
async fn exchange(client: &mut DuplexStream, accepted: &mut Accepted) {
    let (server, _) = accepted;
    client.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    server.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    server.write_all(b"pong").await.unwrap();
    client.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"pong");
}

/// A whole conversation with an application at `listen`, by a client that dials `destination`.
async fn conversation(mesh: &Mesh, observed: &mut Observed, destination: &str, listen: &str) {
    let mut application = mesh.network.listen(listen);
    let mut client = mesh.connect("web", destination);
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut server, source) = application.recv().await.unwrap();
    let mut asked = String::new();
    server.read_to_string(&mut asked).await.unwrap();
    assert_eq!(asked, "question");
    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    observed.reached.push(source.ip().to_string());
    observed.heard = String::from_utf8(rest(client).await).unwrap();
    assert_eq!(observed.heard, "answer");
}

/// A connection that gets nowhere.
async fn refusal(mesh: &Mesh, observed: &mut Observed, destination: &str) {
    let mut application = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", destination);
    let _ = client.write_all(b"secret").await;
    observed.heard = String::from_utf8(rest(client).await).unwrap();
    assert_eq!(observed.heard, "");
    assert!(application.try_recv().is_err(), "the application was reached");
}

/// A connection that is cut by what `cut` does.
async fn interruption(mesh: &Mesh, observed: &mut Observed, cut: impl FnOnce(&Mesh)) {
    let mut application = mesh.network.listen(CART_APP);
    let mut client = mesh.connect("web", CART_APP);
    client.write_all(b"x").await.unwrap();
    let mut accepted = application.recv().await.unwrap();
    accepted.0.read_u8().await.unwrap();
    exchange(&mut client, &mut accepted).await;
    cut(mesh);
    // The application goes on for as long as it is let.
    observed.heard = String::from_utf8(rest(client).await).unwrap();
    assert_eq!(rest(accepted.0).await, b"");
}

fn rule(matches: Match) -> Vec<Rule> {
    vec![Rule { clauses: vec![Clause { matches: vec![matches] }], undecodable: None }]
}

fn deny(matches: Match) -> Policy {
    Policy { rules: rule(matches), ..policy("deny", Action::Deny, Scope::Namespace, None) }
}

/// A service in front of cart, at 10.96.0.1:80 to its port 80.
fn service(mesh: &Mesh) {
    let key = ServiceKey::new("shop", "cart.shop.svc.cluster.local");
    let port = Port { service_port: 80, target_port: 80, protocol: AppProtocol::Unknown };
    let mut service = Service::new("cart", key.clone());
    service.addresses =
        vec![ServiceAddress::Ip(NetworkAddress::new("".into(), "10.96.0.1".parse().unwrap()))];
    service.ports = vec![port];
    let mut cart = workload("cart", CART);
    cart.services.insert(key, vec![port]);
    mesh.writer.apply(vec![Change::Service(service.into()), Change::Workload(cart.into())]);
}

macro_rules! scenarios {
    ($($name:ident: |$mesh:ident, $observed:ident| $body:block)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            compare(async |$mesh: &mut Mesh, $observed: &mut Observed| $body).await;
        })*
    };
}

scenarios! {
    a_conversation: |mesh, observed| {
        conversation(mesh, observed, CART_APP, CART_APP).await;
        assert_eq!(observed.reached, [WEB]);
        WELL
    }
    a_conversation_by_the_services_address: |mesh, observed| {
        service(mesh);
        conversation(mesh, observed, "10.96.0.1:80", CART_APP).await;
        WELL
    }
    a_pod_that_calls_itself: |mesh, observed| {
        conversation(mesh, observed, "10.0.0.1:80", "10.0.0.1:80").await;
        WELL
    }
    a_policy_that_allows: |mesh, observed| {
        mesh.writer.apply(set(policy("web", Action::Allow, Scope::Namespace, Some("web"))));
        conversation(mesh, observed, CART_APP, CART_APP).await;
        WELL
    }
    a_dry_run: |mesh, observed| {
        let dry = Policy { dry_run: true, ..policy("dry", Action::Deny, Scope::Namespace, Some("web")) };
        mesh.writer.apply(set(dry));
        conversation(mesh, observed, CART_APP, CART_APP).await;
        WELL
    }
    denied_by_name: |mesh, observed| {
        mesh.writer.apply(set(policy("no-web", Action::Deny, Scope::Namespace, Some("web"))));
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    denied_since_another_is_allowed: |mesh, observed| {
        mesh.writer.apply(set(policy("catalog", Action::Allow, Scope::Namespace, Some("catalog"))));
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    denied_for_the_whole_mesh: |mesh, observed| {
        let whole = policy("none", Action::Deny, Scope::Global, Some("web"));
        mesh.writer.apply(set(Policy { key: "/none".into(), namespace: "".into(), ..whole }));
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    denied_by_the_workloads_own_policy: |mesh, observed| {
        mesh.writer.apply(set(policy("own", Action::Deny, Scope::WorkloadSelector, Some("web"))));
        let mut cart = workload("cart", CART);
        cart.policies = vec!["shop/own".into()];
        mesh.announce(cart);
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    denied_by_port: |mesh, observed| {
        mesh.writer.apply(set(deny(Match { destination_ports: vec![80], ..Match::default() })));
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    denied_by_address: |mesh, observed| {
        let sources = vec!["10.0.0.1/32".parse().unwrap()];
        mesh.writer.apply(set(deny(Match { source_ips: sources, ..Match::default() })));
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    denied_by_a_rule_that_cannot_be_read: |mesh, observed| {
        let rules = vec![Rule { clauses: Vec::new(), undecodable: Some("new kind of rule".into()) }];
        mesh.writer.apply(set(Policy { rules, ..policy("odd", Action::Deny, Scope::Namespace, None) }));
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    denied_by_a_policy_that_cannot_be_read: |mesh, observed| {
        let odd = policy("odd", Action::Allow, Scope::Namespace, Some("web"));
        mesh.writer.apply(set(Policy { unusable: Some("new kind of policy".into()), ..odd }));
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    denied_by_a_policy_that_never_arrives: |mesh, observed| {
        let mut cart = workload("cart", CART);
        cart.policies = vec!["shop/pending".into()];
        mesh.announce(cart);
        refusal(mesh, observed, CART_APP).await;
        DENIED
    }
    cut_by_a_new_policy: |mesh, observed| {
        let denial = policy("no-web", Action::Deny, Scope::Namespace, Some("web"));
        interruption(mesh, observed, |mesh| mesh.writer.apply(set(denial))).await;
        Expected { source: "-", ..DENIED }
    }
    cut_by_a_policy_that_is_attached: |mesh, observed| {
        mesh.writer.apply(set(policy("no-web", Action::Deny, Scope::WorkloadSelector, Some("web"))));
        let mut cart = workload("cart", CART);
        cart.policies = vec!["shop/no-web".into()];
        interruption(mesh, observed, |mesh| mesh.announce(cart)).await;
        Expected { source: "-", ..DENIED }
    }
    cut_with_the_destination: |mesh, observed| {
        interruption(mesh, observed, |mesh| mesh.leave("cart", Mode::Immediate)).await;
        WELL
    }
    cut_with_the_source: |mesh, observed| {
        interruption(mesh, observed, |mesh| mesh.leave("web", Mode::Immediate)).await;
        WELL
    }
    cut_with_the_process: |mesh, observed| {
        interruption(mesh, observed, |mesh| mesh.drain.drain(Mode::Immediate)).await;
        WELL
    }
    cut_when_the_address_is_nobodys: |mesh, observed| {
        let gone = vec![Change::RemoveAddress("c//Pod/shop/cart".into())];
        interruption(mesh, observed, |mesh| mesh.writer.apply(gone)).await;
        WELL
    }
    an_application_that_does_not_listen: |mesh, observed| {
        refusal(mesh, observed, "10.0.0.2:81").await;
        UNREACHABLE
    }
    the_proxys_own_administration_port: |mesh, observed| {
        refusal(mesh, observed, "10.0.0.2:15000").await;
        UNREACHABLE
    }
    the_proxys_own_outbound_port: |mesh, observed| {
        refusal(mesh, observed, "10.0.0.2:15001").await;
        UNREACHABLE
    }
    the_proxys_own_plaintext_port: |mesh, observed| {
        refusal(mesh, observed, "10.0.0.2:15006").await;
        UNREACHABLE
    }
    the_proxys_own_tunnel_port: |mesh, observed| {
        refusal(mesh, observed, "10.0.0.2:15008").await;
        UNREACHABLE
    }
    the_proxys_own_dns_port: |mesh, observed| {
        refusal(mesh, observed, "10.0.0.2:15053").await;
        UNREACHABLE
    }
    a_last_hop_that_is_not_spoken: |mesh, observed| {
        let mut cart = workload("cart", CART);
        cart.application_tunnel = Some(ApplicationTunnel { proxy_protocol: true, port: None });
        mesh.announce(cart);
        refusal(mesh, observed, CART_APP).await;
        UNREACHABLE
    }
    a_destination_that_has_left: |mesh, observed| {
        mesh.leave("cart", Mode::Graceful);
        refusal(mesh, observed, CART_APP).await;
        by_tunnel("CONNECT", None)
    }
    an_unknown_client: |mesh, observed| {
        mesh.writer.apply(vec![Change::RemoveAddress("c//Pod/shop/web".into())]);
        refusal(mesh, observed, CART_APP).await;
        by_tunnel("IDENTITY_ERROR", None)
    }
    a_client_that_agent_and_controller_disagree_about: |mesh, observed| {
        mesh.run("web", WEB, "somebody-else").await;
        refusal(mesh, observed, CART_APP).await;
        by_tunnel("IDENTITY_ERROR", None)
    }
    a_destination_that_agent_and_controller_disagree_about: |mesh, observed| {
        mesh.run("cart", CART, "somebody-else").await;
        refusal(mesh, observed, CART_APP).await;
        by_tunnel("TLS_FAILURE", Some("IDENTITY_ERROR"))
    }
    a_client_of_another_trust_domain: |mesh, observed| {
        let mut web = workload("web", WEB);
        web.identity = Identity::new("elsewhere", "shop", "web").unwrap();
        mesh.announce(web);
        refusal(mesh, observed, CART_APP).await;
        by_tunnel("TLS_FAILURE", Some("TLS_FAILURE"))
    }
    a_client_without_certificate: |mesh, observed| {
        let mut web = workload("web", WEB);
        web.identity = Identity::new("cluster.local", "shop", "other").unwrap();
        mesh.refused.lock().insert(web.identity.clone());
        mesh.announce(web);
        mesh.run("web", WEB, "other").await;
        refusal(mesh, observed, CART_APP).await;
        by_tunnel("IDENTITY_ERROR", None)
    }
    a_destination_without_certificate: |mesh, observed| {
        let mut cart = workload("cart", CART);
        cart.identity = Identity::new("cluster.local", "shop", "other").unwrap();
        mesh.refused.lock().insert(cart.identity.clone());
        mesh.announce(cart);
        mesh.run("cart", CART, "other").await;
        refusal(mesh, observed, CART_APP).await;
        by_tunnel("TLS_FAILURE", Some("IDENTITY_ERROR"))
    }
}

/// The address that policies read is the pod's own: an application that binds another one is not believed.
#[tokio::test]
async fn an_address_of_the_applications_choice_is_not_handed_over() {
    let mesh = shop("handover").await;
    let deny_web = deny(Match { source_ips: vec!["10.0.0.1/32".parse().unwrap()], ..Match::default() });
    mesh.writer.apply(set(deny_web));
    let mut cart = mesh.network.listen(CART_APP);
    assert_eq!(rest(mesh.connect_as("web", "10.0.0.9".parse().unwrap(), CART_APP)).await, b"");
    assert!(cart.try_recv().is_err());
}

/// A pod that is replaced under its name: the connections of the one do not belong to the other.
#[tokio::test(start_paused = true)]
async fn a28_a_successor_takes_only_its_own_connections() {
    let mut mesh = shop("handover").await;
    let mut cart = mesh.network.listen(CART_APP);
    let mut old = mesh.connect("web", CART_APP);
    let mut first = {
        old.write_all(b"x").await.unwrap();
        cart.recv().await.unwrap()
    };
    first.0.read_u8().await.unwrap();
    mesh.leave("cart", Mode::Graceful);
    mesh.run("cart", CART, "cart").await;
    let mut new = mesh.connect("web", CART_APP);
    let mut second = {
        new.write_all(b"y").await.unwrap();
        cart.recv().await.unwrap()
    };
    second.0.read_u8().await.unwrap();
    exchange(&mut old, &mut first).await;
    exchange(&mut new, &mut second).await;
}

/// Whatever is announced of a pod: only what is an address of its namespace is dialled, and no loopback or metadata address.
#[tokio::test(start_paused = true)]
async fn a05_an_address_that_is_not_the_pods_is_not_dialled() {
    let mesh = shop("handover").await;
    let mut cart = workload("cart", CART);
    let strange = ["127.0.0.1", "169.254.169.254", "10.0.0.77"];
    cart.addresses.extend(strange.map(|ip| ip.parse::<std::net::IpAddr>().unwrap()));
    mesh.announce(cart);
    for ip in strange {
        let target = format!("{ip}:80");
        let mut application = mesh.network.listen(&target);
        assert_eq!(rest(mesh.connect("web", &target)).await, b"");
        assert!(application.try_recv().is_err(), "{ip} was dialled");
    }
    let metrics = mesh.metrics();
    let refused =
        |line: &&str| line.starts_with("istio_tcp_connections_failed_total{") && line.contains("CONNECT");
    let counted =
        metrics.lines().filter(refused).map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap());
    assert_eq!(counted.sum::<u32>(), 6, "{metrics}");
}
