//! What a scrape shows: names, labels, formats, limits, and totals that never fall.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ambit_model::service::ServiceKey;
use ambit_model::{Identity, Service, Workload};
use ambit_telemetry::metrics::{Format, MOST_SERIES, TerminationReason, WorkloadManagerMetrics, XdsMetrics};
use ambit_telemetry::{
    Registry, Reporter, RequestFacts, RequestFlags, RequestProtocol, ResponseFlag, SecurityPolicy, Traffic,
    TrafficFacts, TrafficLimits,
};
use proptest::prelude::*;

fn facts(source: Option<&Workload>) -> TrafficFacts<'_> {
    TrafficFacts {
        reporter: Reporter::Source,
        source,
        source_identity: None,
        destination: None,
        service: None,
        flag: ResponseFlag::None,
        security: SecurityPolicy::Unknown,
        request: None,
    }
}

fn workload(name: &str) -> Workload {
    let mut workload = Workload::new(&format!("c//Pod/shop/{name}-1"), &format!("{name}-1"), "shop").unwrap();
    workload.workload_name = name.into();
    workload.canonical_name = name.into();
    workload
}

/// The samples of a scrape: name and labels to value.
fn samples(registry: &Registry) -> HashMap<String, u64> {
    let (_, text) = registry.encode("");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

/// The sum over all series of a name whose labels hold `part`.
fn total(registry: &Registry, name: &str, part: &str) -> u64 {
    let samples = samples(registry);
    let hits =
        samples.iter().filter(|(series, _)| series.split('{').next() == Some(name) && series.contains(part));
    hits.map(|(_, value)| value).sum()
}

fn registry(limits: TrafficLimits) -> (Registry, Traffic) {
    let registry = Registry::new("ztunnel", "0.1.0");
    let traffic = Traffic::register(&registry, limits);
    (registry, traffic)
}

#[test]
fn labels_are_istios_in_istios_order() {
    let (registry, traffic) = registry(TrafficLimits::default());
    let mut web = workload("web");
    web.canonical_revision = "v2".into();
    web.locality.zone = "z1".into();
    let cart = workload("cart");
    let service = Service::new("cart", ServiceKey::new("shop", "cart.shop.svc.cluster.local"));
    let identity = Identity::new("cluster.local", "shop", "web").unwrap();
    let known = TrafficFacts {
        source_identity: Some(&identity),
        destination: Some(&cart),
        service: Some(&service),
        security: SecurityPolicy::MutualTls,
        ..facts(Some(&web))
    };
    traffic.worker().series(&known).opened();
    let (_, text) = registry.encode("");
    let expected = r#"istio_tcp_connections_opened_total{reporter="source",source_workload="web",source_canonical_service="web",source_canonical_revision="v2",source_workload_namespace="shop",source_principal="spiffe://cluster.local/ns/shop/sa/web",source_app="web",source_version="v2",source_cluster="Kubernetes",destination_service="cart.shop.svc.cluster.local",destination_service_namespace="shop",destination_service_name="cart",destination_workload="cart",destination_canonical_service="cart",destination_canonical_revision="unknown",destination_workload_namespace="shop",destination_principal="spiffe://cluster.local/ns/shop/sa/default",destination_app="cart",destination_version="unknown",destination_cluster="Kubernetes",request_protocol="tcp",response_flags="-",connection_security_policy="mutual_tls",source_region="unknown",source_zone="z1",destination_region="unknown",destination_zone="unknown"} 1"#;
    assert!(text.lines().any(|line| line == expected), "{text}");
}

#[test]
fn both_formats_name_counters_as_their_specifications_do() {
    let registry = Registry::new("ztunnel", "1.2");
    let xds = XdsMetrics::register(&registry);
    xds.terminated(TerminationReason::Reconnect);
    let (kind, text) = registry.encode("text/plain");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.contains("# TYPE istio_xds_connection_terminations_total counter\n"), "{text}");
    assert!(text.contains("istio_build{component=\"ztunnel\",tag=\"1.2\"} 1\n"));
    assert!(!text.contains("EOF"));
    let (kind, text) = registry.encode("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.contains("# TYPE istio_xds_connection_terminations counter\n"));
    assert!(text.contains("istio_xds_connection_terminations_total{reason=\"Reconnect\"} 1\n"));
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn the_accept_header_decides_by_quality_then_by_order() {
    for (accept, format) in [
        ("", Format::Prometheus),
        ("*/*", Format::Prometheus),
        ("application/openmetrics-text", Format::OpenMetrics),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            Format::OpenMetrics,
        ),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.9", Format::Prometheus),
        ("application/openmetrics-text;q=x", Format::Prometheus),
        ("application/openmetrics-text;q=0", Format::Prometheus),
    ] {
        assert_eq!(Format::negotiate(accept), format, "{accept}");
    }
}

#[test]
fn shared_families_have_their_names() {
    let registry = Registry::new("ztunnel", "1.2");
    XdsMetrics::register(&registry).message("type.googleapis.com/istio.workload.Address", 100);
    let pods = WorkloadManagerMetrics::register(&registry);
    pods.active.add(3);
    pods.started.increment();
    let samples = samples(&registry);
    for (series, value) in [
        ("istio_xds_message_total{url=\"type.googleapis.com/istio.workload.Address\"}", 1),
        ("istio_xds_message_bytes_total{url=\"type.googleapis.com/istio.workload.Address\"}", 100),
        ("workload_manager_active_proxy_count", 3),
        ("workload_manager_pending_proxy_count", 0),
        ("workload_manager_proxies_started_total", 1),
        ("workload_manager_proxies_stopped_total", 0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
    assert!(samples["process_open_fds"] >= 3 && samples["process_max_fds"] >= samples["process_open_fds"]);
}

#[test]
fn a23_label_values_from_outside_are_bounded() {
    let registry = Registry::new("ztunnel", "1.2");
    let family = registry.counter_family("ambit_test", "Test", ["name"]);
    for number in 0..MOST_SERIES + 50 {
        family.with([&format!("n{number}")]).increment();
    }
    let samples = samples(&registry);
    assert_eq!(samples["ambit_test_total{name=\"overflow\"}"], 50);
    assert_eq!(samples["ambit_test_total{name=\"n0\"}"], 1);
    assert_eq!(
        samples.keys().filter(|series| series.starts_with("ambit_test_total")).count(),
        MOST_SERIES + 1
    );
}

/// An endpoint answers with whatever codes it likes.
#[test]
fn a23_series_of_requests_are_bounded_and_the_rest_overflows_by_class() {
    let (registry, traffic) = registry(TrafficLimits { series: 10, ..TrafficLimits::default() });
    let worker = traffic.worker();
    for number in 0..2000 {
        let request = RequestFacts {
            protocol: RequestProtocol::Grpc,
            code: 200 + number % 400,
            grpc_status: Some(number),
            flags: RequestFlags::NONE,
        };
        let facts = TrafficFacts { request: Some(request), ..facts(None) };
        worker.series(&facts).request(Duration::ZERO, 1, 1);
    }
    let requests = "istio_requests_total";
    assert_eq!(total(&registry, requests, ""), 2000);
    assert_eq!(total(&registry, requests, "response_code=\"300\""), 500);
    let shown = samples(&registry).keys().filter(|series| series.starts_with(requests)).count();
    assert_eq!(shown, 10 + 4);
}

#[test]
fn a23_traffic_series_are_bounded_and_the_rest_overflows_by_flag() {
    let (registry, traffic) = registry(TrafficLimits { series: 10, ..TrafficLimits::default() });
    let workers = [traffic.worker(), traffic.worker()];
    for number in 0..100 {
        let source = workload(&format!("w{number}"));
        workers[number % 2].series(&facts(Some(&source))).opened();
        workers[1].series(&facts(Some(&source)).with_flag(ResponseFlag::Deny)).failed();
    }
    // The limit leaves room for five workloads with two flags each.
    let opened = "istio_tcp_connections_opened_total";
    assert_eq!(total(&registry, opened, ""), 100);
    assert_eq!(total(&registry, opened, "source_workload=\"overflow\""), 95);
    assert_eq!(total(&registry, opened, "source_workload=\"w4\""), 1);
    let failed = "istio_tcp_connections_failed_total";
    assert_eq!(total(&registry, failed, "destination_service=\"overflow\""), 95);
    assert_eq!(total(&registry, failed, "response_flags=\"DENY\""), 100);
    let shown = samples(&registry).keys().filter(|series| series.starts_with(opened)).count();
    assert_eq!(shown, 6);
}

#[test]
fn workers_count_apart_and_are_read_together() {
    let (registry, traffic) = registry(TrafficLimits::default());
    let web = workload("web");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let worker = traffic.worker();
                for _ in 0..1000 {
                    let series = worker.series(&facts(Some(&web)));
                    series.opened();
                    series.request_bytes(3);
                    series.response_bytes(5);
                    series.closed();
                }
            });
        }
    });
    assert_eq!(total(&registry, "istio_tcp_connections_opened_total", ""), 4000);
    assert_eq!(total(&registry, "istio_tcp_connections_closed_total", ""), 4000);
    assert_eq!(total(&registry, "istio_tcp_received_bytes_total", ""), 12_000);
    assert_eq!(total(&registry, "istio_tcp_sent_bytes_total", ""), 20_000);
    assert_eq!(total(&registry, "istio_tcp_connections_failed_total", ""), 0);
}

#[test]
fn open_sockets_are_counted_until_they_are_dropped() {
    let (registry, traffic) = registry(TrafficLimits::default());
    let (one, other) = (traffic.worker(), traffic.worker());
    let sockets =
        [one.socket(Reporter::Source), other.socket(Reporter::Source), one.socket(Reporter::Destination)];
    assert_eq!(samples(&registry)["istio_tcp_sockets_open{reporter=\"source\"}"], 2);
    assert_eq!(samples(&registry)["istio_tcp_sockets_open{reporter=\"destination\"}"], 1);
    drop(sockets);
    assert_eq!(samples(&registry)["istio_tcp_sockets_open{reporter=\"source\"}"], 0);
}

#[test]
fn series_that_read_alike_are_shown_once() {
    let (registry, traffic) = registry(TrafficLimits::default());
    let worker = traffic.worker();
    let (mut nameless, mut unknown) = (workload("web"), workload("web"));
    nameless.canonical_name = "".into();
    unknown.canonical_name = "unknown".into();
    worker.series(&facts(Some(&nameless))).opened();
    worker.series(&facts(Some(&unknown))).opened();
    let (_, text) = registry.encode("");
    let lines: Vec<_> =
        text.lines().filter(|line| line.starts_with("istio_tcp_connections_opened_total{")).collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with(" 2"));
}

#[test]
fn idle_series_are_forgotten_but_not_while_a_flow_holds_them() {
    let idle = Duration::from_secs(60);
    let (registry, traffic) = registry(TrafficLimits { series: 2, idle });
    let worker = traffic.worker();
    let (web, api, job) = (workload("web"), workload("api"), workload("job"));
    let held = worker.series(&facts(Some(&web)));
    held.opened();
    worker.series(&facts(Some(&api))).opened();
    // Later than any scrape of this test by the real clock.
    let start = Instant::now() + Duration::from_secs(3600);
    let opened =
        |name| total(&registry, "istio_tcp_connections_opened_total", &format!("source_workload=\"{name}\""));
    traffic.expire(start);
    traffic.expire(start + idle - Duration::from_secs(1));
    assert_eq!((opened("web"), opened("api")), (1, 1));
    worker.series(&facts(Some(&job))).opened();
    assert_eq!((opened("job"), opened("overflow")), (0, 1));
    traffic.expire(start + idle);
    assert_eq!((opened("web"), opened("api"), opened("overflow")), (1, 0, 1));
    // The place of the forgotten one is free again; the held one counts on.
    worker.series(&facts(Some(&job))).opened();
    held.opened();
    assert_eq!((opened("web"), opened("job"), opened("overflow")), (2, 1, 1));
}

#[derive(Debug, Clone)]
enum Step {
    Count { worker: usize, name: usize, hold: bool },
    Release,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..3, 0usize..4, any::<bool>()).prop_map(|(worker, name, hold)| Step::Count { worker, name, hold }),
        1 => Just(Step::Release),
        4 => (1u64..100).prop_map(Step::Pass),
    ]
}

proptest! {
    /// While a set of labels is shown its total never falls, and nothing counted is lost as long as it is shown.
    #[test]
    fn totals_never_fall_while_they_are_shown(steps in proptest::collection::vec(step(), 1..60)) {
        let (registry, traffic) = registry(TrafficLimits { series: 100, idle: Duration::from_secs(60) });
        let workers = [traffic.worker(), traffic.worker(), traffic.worker()];
        let names: Vec<_> = (0..4).map(|number| workload(&format!("w{number}"))).collect();
        let mut expected = [0u64; 4];
        let mut held = Vec::new();
        let mut now = Instant::now() + Duration::from_secs(3600);
        traffic.expire(now);
        for step in steps {
            match step {
                Step::Count { worker, name, hold } => {
                    let series = workers[worker].series(&facts(Some(&names[name])));
                    series.opened();
                    expected[name] += 1;
                    if hold {
                        held.push(series);
                    }
                }
                Step::Release => held.clear(),
                Step::Pass(seconds) => {
                    now += Duration::from_secs(seconds);
                    traffic.expire(now);
                }
            }
            for (name, expected) in expected.iter_mut().enumerate() {
                let shown = total(&registry, "istio_tcp_connections_opened_total", &format!("source_workload=\"w{name}\""));
                prop_assert!(shown == *expected || shown == 0, "{} shown, {} counted", shown, expected);
                *expected = shown;
            }
        }
    }

    /// Whatever a name holds, a scrape stays one sample per line, and the value can be read back.
    #[test]
    fn a24_names_stay_inside_their_quotes(name in "\\PC{0,8}[\"\\\\\n\r\u{1b}]{0,4}\\PC{0,8}") {
        let registry = Registry::new("ztunnel", "1.2");
        registry.counter_family("ambit_test", "Test", ["name"]).with([&name]).increment();
        let (_, text) = registry.encode("");
        let line = text.split('\n').find(|line| line.starts_with("ambit_test_total{")).unwrap();
        let quoted = line.strip_prefix("ambit_test_total{name=\"").unwrap().strip_suffix("\"} 1").unwrap();
        let mut read = String::new();
        let mut characters = quoted.chars();
        while let Some(character) = characters.next() {
            prop_assert_ne!(character, '"');
            read.push(match character {
                '\\' => match characters.next() { Some('n') => '\n', other => other.unwrap() },
                other => other,
            });
        }
        prop_assert_eq!(read, name);
    }
}
