//! How an endpoint is chosen, in DestinationRules.

use super::values::{duration, header_text};
use crate::FieldPath;
use crate::check::Complaints;
use crate::istio::{ConsistentHash, LoadBalancer, LocalitySetting};
use crate::problem::quoted;

/// Largest tables (Envoy's).
const LARGEST_RING: u64 = 8 << 20;
const LARGEST_MAGLEV: u64 = 5_000_011;

pub(super) fn check(balancer: &LoadBalancer, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if balancer.simple.is_some() && balancer.consistent_hash.is_some() {
        complaints.add(at, "simple and consistentHash exclude each other", "keep one of them");
    }
    if let Some(hash) = &balancer.consistent_hash {
        consistent_hash(hash, &at.key("consistentHash"), complaints);
    }
    if let Some(locality) = &balancer.locality_lb_setting {
        self::locality(locality, &at.key("localityLbSetting"), complaints);
    }
    duration(balancer.warmup_duration_secs, &at.key("warmupDurationSecs"), complaints);
    if let Some(warmup) = &balancer.warmup {
        let path = at.key("warmup");
        match warmup.duration {
            None => complaints.add(&path.key("duration"), "no duration", "set it"),
            some => duration(some, &path.key("duration"), complaints),
        }
        if warmup.minimum_percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            complaints.add(&path.key("minimumPercent"), "it is out of range", "use 0 to 100");
        }
        if warmup.aggression.is_some_and(|aggression| !(1.0..=1000.0).contains(&aggression)) {
            complaints.add(&path.key("aggression"), "it is out of range", "use at least 1");
        }
    }
}

fn consistent_hash(hash: &ConsistentHash, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let keys = [
        hash.http_header_name.is_some(),
        hash.http_cookie.is_some(),
        hash.use_source_ip == Some(true),
        hash.http_query_parameter_name.is_some(),
    ];
    match keys.into_iter().filter(|set| *set).count() {
        0 => complaints.add(
            at,
            "nothing is hashed",
            "set one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName",
        ),
        1 => {}
        _ => complaints.add(at, "several things are hashed", "keep one of them"),
    }
    if let Some(name) = &hash.http_header_name {
        complaints.expect(&at.key("httpHeaderName"), header_text(name));
    }
    if hash.http_query_parameter_name.as_deref() == Some("") {
        complaints.add(&at.key("httpQueryParameterName"), "an empty name", "name a parameter");
    }
    if let Some(cookie) = &hash.http_cookie {
        complaints.expect(&at.key("httpCookie").key("name"), header_text(&cookie.name));
        for (index, attribute) in cookie.attributes.iter().enumerate() {
            let fine = |text: &str| text.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b';');
            if attribute.name.is_empty() || !fine(&attribute.name) || !fine(&attribute.value) {
                let reason = format!("{} is not an attribute of a cookie", quoted(&attribute.name));
                complaints.add(&at.key("httpCookie").key("attributes").index(index), reason, "correct it");
            }
        }
    }
    if hash.ring_hash.is_some() && hash.maglev.is_some() {
        complaints.add(at, "ringHash and maglev exclude each other", "keep one of them");
    }
    let ring = hash.ring_hash.and_then(|ring| ring.minimum_ring_size).or(hash.minimum_ring_size);
    if let Some(size) = ring.filter(|size| *size > LARGEST_RING) {
        complaints.add(
            &at.key("ringHash"),
            format!("{size} is out of range"),
            format!("use at most {LARGEST_RING}"),
        );
    }
    let table = hash.maglev.and_then(|maglev| maglev.table_size);
    if let Some(size) = table.filter(|size| *size > LARGEST_MAGLEV || !is_prime(*size)) {
        let reason = format!("{size} is not a prime of at most {LARGEST_MAGLEV}");
        complaints.add(&at.key("maglev").key("tableSize"), reason, "use one such as 65537");
    }
}

fn is_prime(number: u64) -> bool {
    number > 1
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

fn locality(setting: &LocalitySetting, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if !setting.distribute.is_empty()
        && (!setting.failover.is_empty() || !setting.failover_priority.is_empty())
    {
        complaints.add(at, "distribute and failover exclude each other", "keep one of them");
    }
    for (index, one) in setting.distribute.iter().enumerate() {
        let path = at.key("distribute").index(index);
        if one.from.is_empty() {
            complaints.add(&path.key("from"), "no place", "name one, such as region/zone/*");
        }
        let sum: u64 = one.to.values().map(|weight| u64::from(*weight)).sum();
        if sum != 100 || one.to.values().any(|weight| *weight == 0) {
            complaints.add(
                &path.key("to"),
                "its weights do not make 100",
                "use weights from 1 that make 100",
            );
        }
    }
    for (index, one) in setting.failover.iter().enumerate() {
        let path = at.key("failover").index(index);
        if one.from.is_empty() || one.to.is_empty() || one.from == one.to || one.from.contains('*') {
            complaints.add(&path, "it does not lead from one region to another", "name two regions");
        }
    }
}
