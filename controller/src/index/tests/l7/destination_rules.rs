//! DestinationRules, as waypoints are told.

use std::time::Duration;

use ambit_model::l7::destination_rule::{
    Algorithm, ConnectionPool, HashKey, HashRing, LoadBalancer, Locality, OutlierDetection, RetryBudget,
    Warmup,
};
use ambit_model::l7::{DestinationRule, Resource, Share};

use super::{Index, istio, mesh};

impl Index {
    fn destination_rules(&self) -> Vec<DestinationRule> {
        let rules = self.l7().into_iter().filter_map(|resource| match &**resource {
            Resource::DestinationRule(rule) => Some((**rule).clone()),
            _ => None,
        });
        rules.collect()
    }
}

fn rule(spec: &str) -> (Option<DestinationRule>, Vec<String>) {
    let index = mesh(&istio("networking", "DestinationRule", "d", spec));
    (index.destination_rules().pop(), index.told())
}

#[test]
fn every_block_is_told() {
    let (rule, notes) = rule(
        "host: cart\ntrafficPolicy:\n  loadBalancer:\n    consistentHash: {httpCookie: {name: c, path: /, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}, maglev: {}}\n    \
         localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [zone]}\n  \
         connectionPool:\n    tcp: {maxConnections: 1, connectTimeout: 30ms, maxConnectionDuration: 1h, idleTimeout: 2h, tcpKeepalive: {time: 1m}}\n    \
         http: {http1MaxPendingRequests: 2, http2MaxRequests: 3, maxRequestsPerConnection: 4, maxRetries: 5, idleTimeout: 6s, maxConcurrentStreams: 7, h2UpgradePolicy: UPGRADE}\n  \
         outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, splitExternalLocalOriginErrors: true, interval: 1s, baseEjectionTime: 2s, maxEjectionPercent: 50, minHealthPercent: 30}\n  \
         retryBudget: {percent: 12.5, budgetInterval: 10s}\n  proxyProtocol: {version: V2}\n  tls: {mode: SIMPLE, sni: s, subjectAltNames: [san], insecureSkipVerify: true}\n  \
         portLevelSettings:\n  - {port: {number: 7070}, loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 10s}}}\n\
         subsets:\n- {name: v1, labels: {version: v1}, trafficPolicy: {outlierDetection: {}}}",
    );
    assert_eq!(notes, [""; 0]);
    let rule = rule.unwrap();
    assert_eq!((&*rule.host, rule.created, &rule.invalid), ("cart.shop.svc.cluster.local", 60, &None));
    assert!(rule.visible_to.is_empty());
    let seconds = Duration::from_secs;
    let expected = ConnectionPool {
        max_connections: Some(1),
        connect_timeout: Some(Duration::from_millis(30)),
        tcp_idle_timeout: Some(seconds(7200)),
        max_duration: Some(seconds(3600)),
        max_pending: Some(2),
        max_requests: Some(3),
        max_requests_per_connection: Some(4),
        max_retries: Some(5),
        http_idle_timeout: Some(seconds(6)),
        max_streams: Some(7),
        upgrade: Some(true),
        use_client_protocol: false,
        keepalive: Some((seconds(60), seconds(75), 9)),
    };
    assert_eq!(rule.policy.connections, Some(expected));
    let cookie = HashKey::Cookie {
        name: "c".into(),
        path: "/".into(),
        ttl: Some(Duration::ZERO),
        attributes: vec![("SameSite".into(), "Lax".into())],
    };
    let balancer = LoadBalancer {
        algorithm: Algorithm::Hash { of: cookie, ring: HashRing::Maglev(65537) },
        warmup: None,
        locality: Some(Locality {
            distribute: Vec::new(),
            failover: vec![("a".into(), "b".into())],
            failover_priority: vec!["zone".into()],
            enabled: true,
        }),
    };
    assert_eq!(rule.policy.load_balancer, Some(balancer));
    let outlier = OutlierDetection {
        consecutive_5xx: 0,
        consecutive_gateway: 2,
        consecutive_local: Some(5),
        interval: seconds(1),
        base_ejection: seconds(2),
        max_ejection_percent: 50,
        min_health_percent: 30,
    };
    assert_eq!(rule.policy.outlier, Some(outlier));
    let share = Share { numerator: 125_000, denominator: 1_000_000 };
    let budget = RetryBudget { share, minimum: 3, interval: Some(seconds(10)) };
    assert_eq!((rule.policy.retry_budget, rule.policy.proxy_protocol), (Some(budget), Some(2)));
    let tls = rule.policy.tls.unwrap();
    assert_eq!((tls.server_name.as_deref(), tls.names, tls.insecure), (Some("s"), vec!["san".into()], true));
    let (port, policy) = &rule.ports[0];
    let balancer = policy.load_balancer.as_ref().unwrap();
    assert_eq!((*port, &balancer.algorithm), (7070, &Algorithm::RoundRobin));
    assert_eq!(balancer.warmup, Some(Warmup { duration: seconds(10), minimum: 10.0, aggression: 1.0 }));
    assert!(policy.tls.is_none() && policy.retry_budget == Some(budget));
    let subset = &rule.subsets[0];
    assert_eq!((&*subset.name, &subset.labels[..]), ("v1", &[("version".into(), "v1".into())][..]));
    let usual = OutlierDetection {
        consecutive_5xx: 5,
        consecutive_gateway: 0,
        consecutive_local: None,
        interval: seconds(10),
        base_ejection: seconds(30),
        max_ejection_percent: 10,
        min_health_percent: 0,
    };
    assert_eq!(subset.policy.outlier, Some(usual));
}

#[test]
fn who_obeys_a_rule() {
    let own: &[&str] = &["shop"];
    for (host, export, expected) in [
        ("cart", "", Some(&[][..])),
        ("cart", "['.']", Some(own)),
        ("cart", "[store, '.']", Some(&["store", "shop"][..])),
        ("cart", "['~']", None),
        ("stock.store.svc.cluster.local", "", Some(own)),
        ("stock.store.svc.cluster.local", "[store]", None),
        ("'*.shop.svc.cluster.local'", "", Some(&[][..])),
        ("'*.svc.cluster.local'", "", Some(own)),
    ] {
        let export = if export.is_empty() { String::new() } else { format!("\nexportTo: {export}") };
        let (rule, notes) = rule(&format!("host: {host}{export}"));
        let visible = rule.map(|rule| rule.visible_to.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            visible,
            expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            "{host} {export}"
        );
        assert_eq!(notes.is_empty(), expected.is_some(), "{notes:?}");
    }
    let root = istio("networking", "DestinationRule", "d", "host: '*.svc.cluster.local'")
        .replace("shop", "istio-system");
    assert!(mesh(&root).destination_rules()[0].visible_to.is_empty());
}

#[test]
fn what_is_not_done_is_told_and_where_it_matters_refused() {
    for (policy, note, refuses) in [
        ("tunnel: {targetHost: a, targetPort: 1}", "spec.trafficPolicy.tunnel: ", true),
        ("tls: {mode: MUTUAL, credentialName: c}", "spec.trafficPolicy.tls.credentialName: \"c\"", true),
        ("tls: {mode: SIMPLE, caCertificates: /etc/ca.pem}", "spec.trafficPolicy.tls.caCertificates", true),
        ("loadBalancer: {zoneAwareLbSetting: {enabled: true}}", "zoneAwareLbSetting", false),
        ("connectionPool: {http: {http2KeepAlive: {interval: 1s}}}", "http2KeepAlive", false),
        (
            "outlierDetection: {outlierDetectionHttpErrorCodes: [429]}",
            "outlierDetectionHttpErrorCodes",
            false,
        ),
        ("loadBalancer: {simple: RANDOM, warmup: {duration: 1s}}", "warmup", false),
    ] {
        let (rule, notes) = rule(&format!("host: cart\ntrafficPolicy: {{{policy}}}"));
        assert!(notes.len() == 1 && notes[0].contains(note), "{policy}: {notes:?}");
        let rule = rule.unwrap();
        let tls = rule.policy.tls.and_then(|tls| tls.invalid);
        assert_eq!(rule.invalid.or(tls).is_some(), refuses, "{policy}");
    }
    let (found, notes) = rule("host: cart\nworkloadSelector: {matchLabels: {a: b}}");
    assert!(found.is_none() && notes[0].contains("workloadSelector"), "{notes:?}");
    let (found, notes) = rule("host: nobody");
    assert!(
        found.is_some() && notes[0].contains("no service has the host nobody.shop.svc.cluster.local"),
        "{notes:?}"
    );
    let (found, notes) = rule(
        "host: cart\ntrafficPolicy: {tls: {mode: SIMPLE}}\nsubsets: [{name: a, trafficPolicy: {tls: {mode: DISABLE}}}]",
    );
    assert!(found.unwrap().subsets[0].policy.tls.as_ref().unwrap().invalid.is_some(), "{notes:?}");
}
