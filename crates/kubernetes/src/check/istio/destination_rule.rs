//! DestinationRules.

use std::collections::HashSet;

use super::values::{at_most, duration, duration_or_none, export_to, host, not_negative, percent};
use crate::FieldPath;
use crate::check::Complaints;
use crate::istio::{
    ClientTls, ConnectionPool, DestinationRuleSpec, OutlierDetection, TlsMode, TrafficPolicy,
};
use crate::name_rules;
use crate::problem::quoted;

pub(in crate::check) fn check(spec: &DestinationRuleSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    complaints.expect(&at.key("host"), host(&spec.host));
    export_to(&spec.export_to, &at.key("exportTo"), complaints);
    if let Some(selector) = &spec.workload_selector {
        crate::check::scope::selector(selector, &at.key("workloadSelector"), complaints);
    }
    if let Some(policy) = &spec.traffic_policy {
        traffic_policy(policy, &at.key("trafficPolicy"), complaints);
    }
    let mut seen = HashSet::new();
    for (index, subset) in spec.subsets.iter().enumerate() {
        let path = at.key("subsets").index(index);
        complaints.expect(&path.key("name"), name_rules::dns_label(&subset.name));
        if !seen.insert(&subset.name) {
            let reason = format!("the subset {} is here twice", quoted(&subset.name));
            complaints.add(&path.key("name"), reason, "rename one of them");
        }
        if let Some(policy) = &subset.traffic_policy {
            traffic_policy(policy, &path.key("trafficPolicy"), complaints);
        }
    }
}

fn traffic_policy(policy: &TrafficPolicy, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let blocks = Blocks {
        load_balancer: policy.load_balancer.as_ref(),
        connection_pool: policy.connection_pool.as_ref(),
        outlier_detection: policy.outlier_detection.as_ref(),
        tls: policy.tls.as_ref(),
    };
    blocks.check(at, complaints);
    let mut seen = HashSet::new();
    for (index, one) in policy.port_level_settings.iter().enumerate() {
        let path = at.key("portLevelSettings").index(index);
        match one.port {
            Some(port) if seen.insert(port.number) => {}
            Some(port) => complaints.add(
                &path.key("port"),
                format!("the port {} is here twice", port.number),
                "make one of both",
            ),
            None => complaints.add(&path.key("port"), "no port is named", "set port.number"),
        }
        let blocks = Blocks {
            load_balancer: one.load_balancer.as_ref(),
            connection_pool: one.connection_pool.as_ref(),
            outlier_detection: one.outlier_detection.as_ref(),
            tls: one.tls.as_ref(),
        };
        blocks.check(&path, complaints);
    }
    if let Some(budget) = &policy.retry_budget {
        let path = at.key("retryBudget");
        if let Some(share) = budget.percent {
            complaints.expect(&path.key("percent"), percent(share));
        }
        duration_or_none(budget.budget_interval, &path.key("budgetInterval"), complaints);
    }
}

/// What a policy says for all ports, or for one.
struct Blocks<'a> {
    load_balancer: Option<&'a crate::istio::LoadBalancer>,
    connection_pool: Option<&'a ConnectionPool>,
    outlier_detection: Option<&'a OutlierDetection>,
    tls: Option<&'a ClientTls>,
}

impl Blocks<'_> {
    fn check(&self, at: &FieldPath, complaints: &mut Complaints<'_>) {
        if let Some(block) = self.load_balancer {
            super::load_balancer::check(block, &at.key("loadBalancer"), complaints);
        }
        if let Some(block) = self.connection_pool {
            connection_pool(block, &at.key("connectionPool"), complaints);
        }
        if let Some(block) = self.outlier_detection {
            outlier_detection(block, &at.key("outlierDetection"), complaints);
        }
        if let Some(block) = self.tls {
            tls(block, &at.key("tls"), complaints);
        }
    }
}

fn connection_pool(pool: &ConnectionPool, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if pool.tcp.is_none() && pool.http.is_none() {
        complaints.add(at, "it says nothing", "set tcp or http, or remove it");
    }
    if let Some(tcp) = &pool.tcp {
        let at = at.key("tcp");
        not_negative(tcp.max_connections, &at.key("maxConnections"), complaints);
        for (value, name) in
            [(tcp.connect_timeout, "connectTimeout"), (tcp.max_connection_duration, "maxConnectionDuration")]
        {
            duration(value, &at.key(name), complaints);
        }
        if let Some(keepalive) = &tcp.tcp_keepalive {
            let at = at.key("tcpKeepalive");
            duration(keepalive.time, &at.key("time"), complaints);
            duration(keepalive.interval, &at.key("interval"), complaints);
        }
    }
    if let Some(http) = &pool.http {
        let at = at.key("http");
        for (value, name) in [
            (http.http1_max_pending_requests, "http1MaxPendingRequests"),
            (http.http2_max_requests, "http2MaxRequests"),
            (http.max_requests_per_connection, "maxRequestsPerConnection"),
            (http.max_retries, "maxRetries"),
            (http.max_concurrent_streams, "maxConcurrentStreams"),
        ] {
            not_negative(value, &at.key(name), complaints);
        }
        if http.use_client_protocol && http.h2_upgrade_policy == crate::istio::H2Upgrade::Upgrade {
            let reason = "useClientProtocol and h2UpgradePolicy UPGRADE exclude each other";
            complaints.add(&at.key("useClientProtocol"), reason, "keep one of them");
        }
    }
}

fn outlier_detection(outlier: &OutlierDetection, at: &FieldPath, complaints: &mut Complaints<'_>) {
    duration(outlier.interval, &at.key("interval"), complaints);
    duration(outlier.base_ejection_time, &at.key("baseEjectionTime"), complaints);
    for (value, name) in [
        (outlier.max_ejection_percent, "maxEjectionPercent"),
        (outlier.min_health_percent, "minHealthPercent"),
    ] {
        at_most(value, 100, &at.key(name), complaints);
    }
    if outlier.consecutive_local_origin_failures.is_some() && !outlier.split_external_local_origin_errors {
        let reason = "without splitExternalLocalOriginErrors this has no effect";
        let path = at.key("consecutiveLocalOriginFailures");
        complaints.add(&path, reason, "set splitExternalLocalOriginErrors, or remove it");
    }
    for (index, code) in outlier.outlier_detection_http_error_codes.iter().enumerate() {
        if !(100..=599).contains(code) {
            let path = at.key("outlierDetectionHttpErrorCodes").index(index);
            complaints.add(&path, format!("{code} is not a status"), "use 100 to 599");
        }
    }
}

fn tls(tls: &ClientTls, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let files = [
        ("clientCertificate", &tls.client_certificate),
        ("privateKey", &tls.private_key),
        ("caCertificates", &tls.ca_certificates),
        ("caCrl", &tls.ca_crl),
    ];
    if !tls.credential_name.is_empty() && files.iter().any(|(_, value)| !value.is_empty()) {
        complaints.add(&at.key("credentialName"), "it excludes files", "keep the one or the others");
    }
    match tls.mode {
        TlsMode::Mutual if tls.credential_name.is_empty() => {
            for (name, value) in &files[..2] {
                if value.is_empty() {
                    complaints.add(&at.key(name), "MUTUAL needs it", "set it, or credentialName");
                }
            }
        }
        TlsMode::Simple => {
            for (name, value) in &files[..2] {
                if !value.is_empty() {
                    complaints.add(&at.key(name), "SIMPLE shows no certificate", "use MUTUAL, or remove it");
                }
            }
        }
        TlsMode::IstioMutual => {
            let others = [("credentialName", &tls.credential_name), ("sni", &tls.sni)];
            for (name, value) in files.iter().chain(&others[..1]) {
                if !value.is_empty() {
                    complaints.add(&at.key(name), "ISTIO_MUTUAL uses the mesh's certificates", "remove it");
                }
            }
        }
        TlsMode::Mutual | TlsMode::Disable => {}
    }
    for (index, name) in tls.subject_alt_names.iter().enumerate() {
        if name.is_empty() {
            complaints.add(
                &at.key("subjectAltNames").index(index),
                "an empty name",
                "write a name, or remove it",
            );
        }
    }
}
