//! DestinationRules: how services are called.
//!
//! A rule of a service's own namespace, or of the root namespace, is for all clients that it is exported to. One of
//! another namespace is for clients of that namespace alone, as in Istio: there nobody else looks for it.

use ambit_kubernetes::istio::{
    ConnectionPool as WrittenPool, DestinationRule as Written, OutlierDetection as WrittenOutlier,
    PortTrafficPolicy, ProxyProtocolVersion, RetryBudget as WrittenBudget, Subset as WrittenSubset, TlsMode,
    TrafficPolicy as WrittenPolicy,
};
use ambit_model::Text;
use ambit_model::l7::destination_rule::{
    ConnectionPool, OutlierDetection, RetryBudget, Subset, TrafficPolicy, UpstreamTls,
};
use ambit_model::l7::{DestinationRule, ObjectKind};
use std::time::Duration;

use super::notes::Unheard;
use super::{Author, View, hosts, load_balancers, shares};
use crate::index::condition::unmet;

/// Every rule that somebody obeys.
pub(super) fn rules(view: &View<'_>, notes: &mut Vec<String>) -> Vec<DestinationRule> {
    view.objects.istio.destination_rules.iter().filter_map(|written| rule(written, view, notes)).collect()
}

fn rule(written: &Written, view: &View<'_>, notes: &mut Vec<String>) -> Option<DestinationRule> {
    let author = Author { kind: ObjectKind::DestinationRule, metadata: &written.metadata };
    let (spec, namespace) = (&written.spec, written.metadata.namespace.as_str());
    let mut refuse = |reason: &str, text: &str| notes.push(unmet(&author, "Accepted", reason, text));
    if spec.workload_selector.is_some() {
        refuse(
            "UnsupportedValue",
            "spec.workloadSelector: it is for sidecars, so waypoints do not use the rule",
        );
        return None;
    }
    let host = hosts::in_full(&spec.host, namespace, view);
    let own = namespace == view.objects.mesh.root_namespace || hosts::is_of(&host, namespace, view);
    let Some(mut visible_to) = hosts::exported(&spec.export_to, namespace) else {
        refuse("UnsupportedValue", "spec.exportTo: it is exported to nobody");
        return None;
    };
    if hosts::services(&host, namespace, view).is_empty() {
        refuse("TargetNotFound", &format!("spec.host: no service has the host {host}"));
    }
    if !own && (visible_to.is_empty() || visible_to.iter().any(|name| **name == *namespace)) {
        visible_to = vec![namespace.into()];
    } else if !own {
        refuse(
            "UnsupportedValue",
            "spec.exportTo: a rule for another namespace's service is for its own clients only",
        );
        return None;
    }
    let mut unheard = Unheard::new(&author);
    let policy = policy(spec.traffic_policy.as_ref(), "spec.trafficPolicy", &mut unheard);
    let whole = policy.all.tls.is_some();
    let subsets = spec.subsets.iter().enumerate();
    let subsets = subsets.map(|(at, one)| subset(one, at, whole, &mut unheard)).collect();
    let rule = DestinationRule {
        key: author.key(),
        created: author.created(),
        host,
        visible_to,
        policy: policy.all,
        ports: policy.ports,
        subsets,
        invalid: unheard.invalid.take(),
    };
    notes.extend(unheard.notes);
    Some(rule)
}

fn subset(written: &WrittenSubset, at: usize, tls: bool, unheard: &mut Unheard<'_>) -> Subset {
    let at = format!("spec.subsets[{at}].trafficPolicy");
    let mut policy = policy(written.traffic_policy.as_ref(), &at, unheard);
    let own = written.traffic_policy.as_ref().and_then(|policy| policy.tls.as_ref());
    if tls && own.is_some_and(|own| matches!(own.mode, TlsMode::Disable | TlsMode::IstioMutual)) {
        let why = "a subset cannot do without the rule's TLS here, so its requests are answered 503";
        policy.all.tls = Some(UpstreamTls { invalid: Some(why.into()), ..UpstreamTls::default() });
        unheard.note(&format!("{at}.tls"), why);
    }
    let labels = written.labels.iter();
    Subset {
        name: written.name.as_str().into(),
        labels: labels.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
        policy: policy.all,
        ports: policy.ports,
    }
}

#[derive(Default)]
struct Policies {
    all: TrafficPolicy,
    ports: Vec<(u16, TrafficPolicy)>,
}

fn policy(written: Option<&WrittenPolicy>, at: &str, unheard: &mut Unheard<'_>) -> Policies {
    let Some(written) = written else { return Policies::default() };
    let whole = PortTrafficPolicy {
        port: None,
        load_balancer: written.load_balancer.clone(),
        connection_pool: written.connection_pool.clone(),
        outlier_detection: written.outlier_detection.clone(),
        tls: written.tls.clone(),
    };
    let mut all = blocks(&whole, at, unheard);
    all.retry_budget = written.retry_budget.as_ref().map(budget);
    all.proxy_protocol = written.proxy_protocol.map(|protocol| match protocol.version {
        ProxyProtocolVersion::V1 => 1,
        ProxyProtocolVersion::V2 => 2,
    });
    if written.tunnel.is_some() {
        unheard.refuse(&format!("{at}.tunnel"), "tunnels through HTTP proxies are not made here");
    }
    let mut ports = Vec::new();
    for (index, one) in written.port_level_settings.iter().enumerate() {
        let Some(port) = one.port else { continue };
        let mut policy = blocks(one, &format!("{at}.portLevelSettings[{index}]"), unheard);
        // These two are not a port's to say.
        policy.retry_budget = all.retry_budget;
        policy.proxy_protocol = all.proxy_protocol;
        ports.push((port.number, policy));
    }
    Policies { all, ports }
}

fn blocks(written: &PortTrafficPolicy, at: &str, unheard: &mut Unheard<'_>) -> TrafficPolicy {
    let balancer = written.load_balancer.as_ref();
    TrafficPolicy {
        load_balancer: balancer
            .map(|balancer| load_balancers::balancer(balancer, &format!("{at}.loadBalancer"), unheard)),
        connections: written.connection_pool.as_ref().map(|pool| self::pool(pool, at, unheard)),
        outlier: written.outlier_detection.as_ref().map(|one| outlier(one, at, unheard)),
        tls: tls(written, at, unheard),
        retry_budget: None,
        proxy_protocol: None,
    }
}

/// 0 is without limit, as in Istio.
fn limit(value: Option<i32>) -> Option<u32> {
    value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0)
}

fn pool(written: &WrittenPool, at: &str, unheard: &mut Unheard<'_>) -> ConnectionPool {
    use ambit_kubernetes::istio::H2Upgrade;
    let tcp = written.tcp.clone().unwrap_or_default();
    let http = written.http.clone().unwrap_or_default();
    if http.http2_keep_alive.is_some() {
        unheard
            .note(&format!("{at}.connectionPool.http.http2KeepAlive"), "tunnels have their own, which stays");
    }
    let seconds = Duration::from_secs;
    ConnectionPool {
        max_connections: limit(tcp.max_connections),
        connect_timeout: tcp.connect_timeout.map(|time| time.get()),
        tcp_idle_timeout: tcp.idle_timeout.map(|time| time.get()),
        max_duration: tcp.max_connection_duration.map(|time| time.get()),
        max_pending: limit(http.http1_max_pending_requests),
        max_requests: limit(http.http2_max_requests),
        max_requests_per_connection: limit(http.max_requests_per_connection),
        max_retries: limit(http.max_retries),
        http_idle_timeout: http.idle_timeout.map(|time| time.get()),
        max_streams: limit(http.max_concurrent_streams),
        upgrade: match http.h2_upgrade_policy {
            H2Upgrade::Default => None,
            H2Upgrade::DoNotUpgrade => Some(false),
            H2Upgrade::Upgrade => Some(true),
        },
        use_client_protocol: http.use_client_protocol,
        // What is not said is Linux' default.
        keepalive: tcp.tcp_keepalive.map(|keepalive| {
            (
                keepalive.time.map_or(seconds(7200), |time| time.get()),
                keepalive.interval.map_or(seconds(75), |time| time.get()),
                keepalive.probes.unwrap_or(9),
            )
        }),
    }
}

fn outlier(written: &WrittenOutlier, at: &str, unheard: &mut Unheard<'_>) -> OutlierDetection {
    if !written.outlier_detection_http_error_codes.is_empty() {
        let at = format!("{at}.outlierDetection.outlierDetectionHttpErrorCodes");
        unheard.note(&at, "waypoints count 5xx, as in Istio");
    }
    let percent =
        |value: Option<i32>, usual: u32| value.map_or(usual, |value| u32::try_from(value).unwrap_or(0));
    let gateway = written.consecutive_gateway_errors.or(written.consecutive_errors);
    OutlierDetection {
        consecutive_5xx: written.consecutive_5xx_errors.unwrap_or(5),
        consecutive_gateway: gateway.unwrap_or(0),
        consecutive_local: written
            .split_external_local_origin_errors
            .then(|| written.consecutive_local_origin_failures.unwrap_or(5)),
        interval: written.interval.map_or(Duration::from_secs(10), |time| time.get()),
        base_ejection: written.base_ejection_time.map_or(Duration::from_secs(30), |time| time.get()),
        max_ejection_percent: percent(written.max_ejection_percent, 10),
        min_health_percent: percent(written.min_health_percent, 0),
    }
}

fn budget(written: &WrittenBudget) -> RetryBudget {
    RetryBudget {
        share: shares::percent(written.percent.unwrap_or(20.0)),
        minimum: written.min_retry_concurrency.unwrap_or(3),
        interval: written.budget_interval.map(|time| time.get()).filter(|time| !time.is_zero()),
    }
}

/// TLS inside the tunnel. The mesh's own is there in any case. Certificates are not read from files of the waypoint.
fn tls(written: &PortTrafficPolicy, at: &str, unheard: &mut Unheard<'_>) -> Option<UpstreamTls> {
    let written = written.tls.as_ref()?;
    if matches!(written.mode, TlsMode::Disable | TlsMode::IstioMutual) {
        return None;
    }
    let files = [
        ("clientCertificate", &written.client_certificate),
        ("privateKey", &written.private_key),
        ("caCertificates", &written.ca_certificates),
        ("caCrl", &written.ca_crl),
        ("credentialName", &written.credential_name),
    ];
    let unread = files
        .iter()
        .find(|(name, value)| !value.is_empty() && (*name, value.as_str()) != ("caCertificates", "system"));
    let invalid = unread.map(|(name, value)| {
        let why =
            "certificates are not read from files of the waypoint or Secrets, so requests are answered 503";
        unheard.note(&format!("{at}.tls.{name}"), &format!("{value:?}: {why}"));
        Text::from(format!("tls.{name} {value:?} cannot be read"))
    });
    Some(UpstreamTls {
        server_name: (!written.sni.is_empty()).then(|| written.sni.as_str().into()),
        names: written.subject_alt_names.iter().map(|name| name.as_str().into()).collect(),
        insecure: written.insecure_skip_verify == Some(true),
        invalid,
        ..UpstreamTls::default()
    })
}
