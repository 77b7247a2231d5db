//! One connection, one line, one count: however it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "captured/lines.rs"]
mod captured;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_model::service::ServiceKey;
use ambit_model::{Identity, Service, Workload};
use ambit_telemetry::log::LogFormat;
use ambit_telemetry::report::Severity;
use ambit_telemetry::{
    ConnectionReport, Failure, HboneTarget, Registry, Reporter, ResponseFlag, SecurityPolicy, Traffic,
    TrafficLimits, Worker,
};
use captured::Captured;
use proptest::prelude::*;
use serde_json::Value;

struct Bench {
    registry: Registry,
    worker: Worker,
}

impl Bench {
    fn new() -> Self {
        let registry = Registry::new("ztunnel", "0.1.0");
        let worker = Traffic::register(&registry, TrafficLimits::default()).worker();
        Self { registry, worker }
    }

    fn accepted(&self, reporter: Reporter) -> ConnectionReport {
        let (source, destination): (SocketAddr, SocketAddr) =
            ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:15008".parse().unwrap());
        ConnectionReport::accepted(&self.worker, reporter, Instant::now(), source, destination)
    }

    fn total(&self, name: &str, flag: &str) -> u64 {
        let (_, text) = self.registry.encode("");
        let name = format!("istio_tcp_{name}_total{{");
        let flag = format!("response_flags=\"{flag}\"");
        let lines = text.lines().filter(|line| line.starts_with(&name) && line.contains(&flag));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    fn open_sockets(&self) -> i64 {
        let (_, text) = self.registry.encode("");
        let lines = text.lines().filter(|line| line.starts_with("istio_tcp_sockets_open{"));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()).sum()
    }
}

fn workload(name: &str) -> Arc<Workload> {
    Workload::new(&format!("c//Pod/shop/{name}"), name, "shop").unwrap().into()
}

fn describe(report: &mut ConnectionReport) {
    let service = Service::new("cart", ServiceKey::new("shop", "cart.shop.svc.cluster.local"));
    report
        .source(workload("web-1"))
        .source_identity(Identity::new("cluster.local", "shop", "web").unwrap())
        .destination(workload("cart-1"))
        .service(service.into())
        .security(SecurityPolicy::MutualTls)
        .hbone_target(HboneTarget::Address("10.0.0.2:80".parse().unwrap()));
}

#[test]
fn a_good_connection_is_one_line_with_istios_fields() {
    let bench = Bench::new();
    let lines = Captured::run(LogFormat::Plain, "info", || {
        let mut report = bench.accepted(Reporter::Source);
        describe(&mut report);
        report.opened();
        report.request_bytes(100);
        report.response_bytes(2000);
        report.finish(Ok(()));
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (time, rest) = lines[0].split_once('\t').unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000000Z".len(), "{time}");
    let (before, duration) = rest.split_once(" duration=\"").unwrap();
    assert_eq!(
        before,
        "info\taccess\tconnection complete\tsrc.addr=10.0.0.1:40000 src.workload=\"web-1\" src.namespace=\"shop\" \
         src.identity=\"spiffe://cluster.local/ns/shop/sa/web\" src.cluster=\"Kubernetes\" dst.addr=10.0.0.2:15008 \
         dst.hbone_addr=10.0.0.2:80 dst.service=\"cart.shop.svc.cluster.local\" dst.workload=\"cart-1\" \
         dst.namespace=\"shop\" dst.identity=\"spiffe://cluster.local/ns/shop/sa/default\" \
         dst.cluster=\"Kubernetes\" direction=\"outbound\" bytes_sent=100 bytes_recv=2000"
    );
    assert!(duration.strip_suffix("ms\"").unwrap().parse::<u64>().is_ok(), "{duration}");
    assert_eq!((bench.total("connections_opened", "-"), bench.total("connections_closed", "-")), (1, 1));
    assert_eq!((bench.total("received_bytes", "-"), bench.total("sent_bytes", "-")), (100, 2000));
    assert_eq!(bench.total("connections_failed", "-"), 0);
    assert_eq!(bench.open_sockets(), 0);
}

#[test]
fn the_server_end_logs_its_own_view_and_counts_the_same() {
    let bench = Bench::new();
    let lines = Captured::run(LogFormat::Json, "debug", || {
        let mut report = bench.accepted(Reporter::Destination);
        describe(&mut report);
        report.policy("shop/allow-web".into()).opened();
        report.request_bytes(100);
        report.response_bytes(2000);
        assert_eq!(bench.open_sockets(), 1);
        report.finish(Ok(()));
    });
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines[0]["level"].as_str(), lines[0]["message"].as_str()),
        (Some("debug"), Some("connection opened"))
    );
    assert!(lines[0].get("bytes_sent").is_none());
    let end = &lines[1];
    assert_eq!((end["level"].as_str(), end["scope"].as_str()), (Some("info"), Some("access")));
    assert_eq!(
        (end["message"].as_str(), end["direction"].as_str()),
        (Some("connection complete"), Some("inbound"))
    );
    assert_eq!((end["bytes_sent"].as_u64(), end["bytes_recv"].as_u64()), (Some(2000), Some(100)));
    assert_eq!(end["policy"].as_str(), Some("shop/allow-web"));
    assert!(end.get("error").is_none());
    assert_eq!((bench.total("received_bytes", "-"), bench.total("sent_bytes", "-")), (100, 2000));
}

#[test]
fn a_refused_connection_is_closed_and_failed_under_its_flag() {
    let bench = Bench::new();
    let lines = Captured::run(LogFormat::Json, "info", || {
        let mut report = bench.accepted(Reporter::Destination);
        describe(&mut report);
        report.opened();
        report.finish(Err(Failure::denied("denied by policy shop/deny-cart")));
    });
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (line["level"].as_str(), line["message"].as_str()),
        (Some("error"), Some("connection complete"))
    );
    assert_eq!(
        line["error"].as_str(),
        Some("connection closed due to policy rejection: denied by policy shop/deny-cart")
    );
    assert_eq!((bench.total("connections_opened", "-"), bench.total("connections_opened", "DENY")), (1, 0));
    assert_eq!((bench.total("connections_closed", "-"), bench.total("connections_closed", "DENY")), (0, 1));
    assert_eq!(bench.total("connections_failed", "DENY"), 1);
}

#[test]
fn a_connection_that_never_opened_is_a_warning_and_one_failure() {
    let bench = Bench::new();
    let lines = Captured::run(LogFormat::Plain, "info", || {
        let report = bench.accepted(Reporter::Destination);
        report.finish(Err(Failure::new(ResponseFlag::TlsFailure, "tls error: no certificate")));
        let quiet = Failure::connect("probe").with_severity(Severity::Debug);
        bench.accepted(Reporter::Destination).finish(Err(quiet));
    });
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("\twarn\taccess\tconnection failed\tsrc.addr=10.0.0.1:40000 dst.addr=10.0.0.2:15008 direction=\"inbound\" "), "{lines:?}");
    assert!(lines[0].ends_with(" error=\"tls error: no certificate\""), "{lines:?}");
    assert_eq!(
        (bench.total("connections_failed", "TLS_FAILURE"), bench.total("connections_failed", "CONNECT")),
        (1, 1)
    );
    assert_eq!(
        (bench.total("connections_opened", "-"), bench.total("connections_closed", "TLS_FAILURE")),
        (0, 0)
    );
}

#[test]
fn a_cancelled_flow_still_reports_its_end_once() {
    let bench = Bench::new();
    let lines = Captured::run(LogFormat::Plain, "info", || {
        let mut report = bench.accepted(Reporter::Source);
        describe(&mut report);
        report.opened();
        report.opened();
        report.request_bytes(7);
        drop(report);
    });
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("\terror\taccess\tconnection complete\t"), "{lines:?}");
    assert!(lines[0].ends_with(" error=\"connection closed due to connection drain\""), "{lines:?}");
    assert_eq!((bench.total("connections_opened", "-"), bench.total("connections_closed", "-")), (1, 1));
    assert_eq!((bench.total("connections_failed", "-"), bench.total("received_bytes", "-")), (0, 7));
    assert_eq!(bench.open_sockets(), 0);
}

#[test]
fn identities_are_logged_for_mutual_tls_only() {
    let bench = Bench::new();
    let lines = Captured::run(LogFormat::Plain, "info", || {
        let mut report = bench.accepted(Reporter::Source);
        describe(&mut report);
        report.security(SecurityPolicy::Unknown).opened();
        report.finish(Ok(()));
    });
    assert!(lines[0].contains("src.workload=\"web-1\"") && !lines[0].contains("identity"), "{lines:?}");
}

#[test]
fn a_hand_over_is_marked_in_the_log_and_counted_as_a_tunnel() {
    let bench = Bench::new();
    let lines = Captured::run(LogFormat::Json, "debug", || {
        for reporter in [Reporter::Source, Reporter::Destination] {
            let mut report = bench.accepted(reporter);
            describe(&mut report);
            report.same_node().opened();
            report.finish(Ok(()));
        }
    });
    assert_eq!(lines.len(), 4);
    for line in &lines {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["connection.path"].as_str(), Some("same-node"));
        assert_eq!(line["src.identity"].as_str(), Some("spiffe://cluster.local/ns/shop/sa/web"));
    }
    let (_, text) = bench.registry.encode("");
    let mut closed = text.lines().filter(|line| line.starts_with("istio_tcp_connections_closed_total{"));
    assert!(closed.all(|line| line.contains("connection_security_policy=\"mutual_tls\"")), "{text}");
}

#[test]
fn a_report_is_small_and_goes_between_threads() {
    fn between_threads<T: Send + Sync>() {}
    between_threads::<ConnectionReport>();
    assert!(size_of::<ConnectionReport>() <= 64, "{}", size_of::<ConnectionReport>());
}

proptest! {
    /// Whatever a peer or the configuration puts into a name, the line stays one line, with no control character that a
    /// terminal would obey, and with each value inside its own field.
    #[test]
    fn a24_names_stay_inside_their_fields(
        name in "[a \"=\\\\\n\r\u{1b}\u{9b}\u{202e}\u{2028}x]{0,12}",
        host in "[a \"=\\\\\n\r\u{1b}.:/x]{0,12}",
    ) {
        let bench = Bench::new();
        for format in [LogFormat::Plain, LogFormat::Json] {
            let lines = Captured::run(format, "info", || {
                let mut report = bench.accepted(Reporter::Source);
                let mut source = (*workload("web-1")).clone();
                source.name = name.as_str().into();
                report.source(source.into()).hbone_target(HboneTarget::Name(host.as_str().into(), 80)).opened();
                report.finish(Err(Failure::connect(&name)));
            });
            prop_assert_eq!(lines.len(), 1);
            let obeyed = |c: char| (c.is_control() && c != '\t') || ['\u{202e}', '\u{2028}'].contains(&c);
            prop_assert!(!lines[0].chars().any(obeyed), "{:?}", lines[0]);
            match format {
                LogFormat::Plain => {
                    let (_, error) = lines[0].rsplit_once("ms\" error=").unwrap();
                    prop_assert_eq!(error, format!("{name:?}"));
                    let (_, target) = lines[0].split_once("dst.hbone_addr=").unwrap();
                    let (target, _) = target.split_once(" direction=\"outbound\"").unwrap();
                    prop_assert!(!target.contains([' ', '"', '=']), "{}", target);
                }
                LogFormat::Json => {
                    let line: Value = serde_json::from_str(&lines[0]).unwrap();
                    prop_assert_eq!(line["error"].as_str(), Some(&*name));
                    prop_assert_eq!(line["src.workload"].as_str(), Some(&*name).filter(|name| !name.is_empty()));
                }
            }
        }
    }
}
