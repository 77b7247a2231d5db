//! Single values in Istio's objects.

use std::net::IpAddr;
use std::time::Duration;

use crate::FieldPath;
use crate::check::Complaints;
use crate::check::gateway_api::header_name;
use crate::istio::IstioDuration;
use crate::name_rules;
use crate::problem::quoted;

/// A host name, short or in full, with `*` or `*.` in front or `*` alone.
pub(super) fn host(text: &str) -> Result<(), String> {
    let plain = text.strip_prefix("*.").unwrap_or(if text == "*" { "any" } else { text });
    if name_rules::dns_subdomain(&plain.to_ascii_lowercase()).is_ok() && plain.parse::<IpAddr>().is_err() {
        return Ok(());
    }
    Err(format!(
        "{} is not a host; write one such as cart, cart.shop.svc.cluster.local or *.example.com",
        quoted(text)
    ))
}

pub(super) fn export_to(list: &[String], at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, value) in list.iter().enumerate() {
        if !matches!(value.as_str(), "." | "*" | "~") && name_rules::dns_label(value).is_err() {
            let reason = format!("{} is not a namespace", quoted(value));
            complaints.add(&at.index(index), reason, "use a namespace, . or *");
        }
    }
    if list.len() > 1 && list.iter().any(|value| value == "*" || value == "~") {
        complaints.add(at, "* or ~ stands beside others", "keep it alone, or remove it");
    }
}

/// At least a millisecond, if it is there.
pub(super) fn duration(value: Option<IstioDuration>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if value.is_some_and(|value| value.get() < Duration::from_millis(1)) {
        complaints.add(at, "it is too short", "use at least 1ms");
    }
}

/// Nothing, or at least a millisecond.
pub(super) fn duration_or_none(
    value: Option<IstioDuration>,
    at: &FieldPath,
    complaints: &mut Complaints<'_>,
) {
    duration(value.filter(|value| !value.get().is_zero()), at, complaints);
}

pub(super) fn not_negative(value: Option<i32>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    at_most(value, i32::MAX, at, complaints);
}

pub(super) fn at_most(value: Option<i32>, most: i32, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if let Some(value) = value.filter(|value| !(0..=most).contains(value)) {
        complaints.add(at, format!("{value} is out of range"), format!("use 0 to {most}"));
    }
}

/// A share in percent; what is no number is none.
pub(super) fn percent(value: f64) -> Result<(), String> {
    if (0.0..=100.0).contains(&value) {
        return Ok(());
    }
    Err(format!("{value} is not a share in percent; use 0 to 100"))
}

/// The name of a header or cookie.
pub(super) fn header_text(text: &str) -> Result<(), String> {
    header_name(text)
}
