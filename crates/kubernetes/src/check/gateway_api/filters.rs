//! Filters of a rule or of one of its backends.

use std::collections::HashSet;

use super::references::{backend, header_name, precise_hostname};
use crate::FieldPath;
use crate::check::Complaints;
use crate::gateway_api::{
    CorsFilter, FilterType, HTTPRouteFilter, HeaderFilter, MirrorFilter, PathModifier, PathModifierType,
    RedirectFilter,
};
use crate::problem::quoted;

/// Statuses of a redirect.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

pub(super) fn list(filters: &[HTTPRouteFilter], at: &FieldPath, complaints: &mut Complaints<'_>) {
    let mut seen = HashSet::new();
    for (index, filter) in filters.iter().enumerate() {
        let path = at.index(index);
        one(filter, &path, complaints);
        let several = matches!(
            filter.kind,
            FilterType::RequestMirror | FilterType::ExtensionRef | FilterType::ExternalAuth
        );
        if !seen.insert(filter.kind) && !several {
            let reason = format!("{:?} is here twice", filter.kind);
            complaints.add(&path.key("type"), reason, "make one of both");
        }
    }
    if seen.contains(&FilterType::RequestRedirect) && seen.contains(&FilterType::URLRewrite) {
        let reason = "RequestRedirect and URLRewrite exclude each other";
        complaints.add(at, reason, "keep one of them");
    }
}

/// `type` and the field that is set agree.
fn one(filter: &HTTPRouteFilter, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let set = filter.set();
    let field = filter.kind.field();
    if !set.iter().any(|(kind, _)| *kind == filter.kind) {
        complaints.add(at, format!("{:?} needs {field}", filter.kind), format!("set {field}"));
    }
    for (_, other) in set.iter().filter(|(kind, _)| *kind != filter.kind) {
        let reason = format!("{other} does not go with type {:?}", filter.kind);
        complaints.add(&at.key(other), reason, "remove it, or correct the type");
    }
    for (name, headers) in [
        ("requestHeaderModifier", &filter.request_header_modifier),
        ("responseHeaderModifier", &filter.response_header_modifier),
    ] {
        if let Some(headers) = headers {
            header_filter(headers, &at.key(name), complaints);
        }
    }
    if let Some(mirror) = &filter.request_mirror {
        mirror_filter(mirror, &at.key("requestMirror"), complaints);
    }
    if let Some(redirect) = &filter.request_redirect {
        redirect_filter(redirect, &at.key("requestRedirect"), complaints);
    }
    if let Some(rewrite) = &filter.url_rewrite {
        let path = at.key("urlRewrite");
        host_and_path(rewrite.hostname.as_deref(), rewrite.path.as_ref(), &path, complaints);
    }
    if let Some(cors) = &filter.cors {
        cors_filter(cors, &at.key("cors"), complaints);
    }
}

fn header_filter(filter: &HeaderFilter, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (name, list) in [("set", &filter.set), ("add", &filter.add)] {
        let mut seen = HashSet::new();
        for (index, header) in list.iter().enumerate() {
            let path = at.key(name).index(index);
            complaints.expect(&path.key("name"), header_name(&header.name));
            complaints.expect(&path.key("value"), header_value(&header.value));
            if !seen.insert(header.name.to_ascii_lowercase()) {
                let reason = format!("{} is here twice, and only the first counts", quoted(&header.name));
                complaints.add(&path.key("name"), reason, "keep one");
            }
        }
    }
    for (index, name) in filter.remove.iter().enumerate() {
        complaints.expect(&at.key("remove").index(index), header_name(name));
    }
}

/// A header's value (RFC 9110 section 5.5).
fn header_value(value: &str) -> Result<(), String> {
    let fine = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if !value.is_empty() && value.bytes().all(fine) {
        return Ok(());
    }
    Err(format!("{} is not a header's value; write one line of text", quoted(value)))
}

fn mirror_filter(filter: &MirrorFilter, at: &FieldPath, complaints: &mut Complaints<'_>) {
    backend(&filter.backend_ref, &at.key("backendRef"), complaints);
    if filter.percent.is_some() && filter.fraction.is_some() {
        complaints.add(at, "percent and fraction exclude each other", "keep one of them");
    }
    if let Some(percent) = filter.percent.filter(|percent| !(0..=100).contains(percent)) {
        complaints.add(&at.key("percent"), format!("{percent} is out of range"), "use 0 to 100");
    }
    if let Some(fraction) = filter.fraction {
        let denominator = fraction.denominator.unwrap_or(100);
        if denominator < 1 || !(0..=denominator).contains(&fraction.numerator) {
            let reason = format!("{} of {denominator} is not a share", fraction.numerator);
            complaints.add(&at.key("fraction"), reason, "use 0 to the denominator, which is at least 1");
        }
    }
}

fn redirect_filter(filter: &RedirectFilter, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if let Some(scheme) = filter.scheme.as_deref().filter(|scheme| !["http", "https"].contains(scheme)) {
        let reason = format!("{} is not a scheme to redirect to", quoted(scheme));
        complaints.add(&at.key("scheme"), reason, "use http or https");
    }
    if let Some(status) = filter.status_code.filter(|status| !REDIRECTS.contains(status)) {
        let reason = format!("{status} is not the status of a redirect");
        complaints.add(&at.key("statusCode"), reason, "use 301, 302, 303, 307 or 308");
    }
    host_and_path(filter.hostname.as_deref(), filter.path.as_ref(), at, complaints);
}

fn host_and_path(
    hostname: Option<&str>,
    modifier: Option<&PathModifier>,
    at: &FieldPath,
    complaints: &mut Complaints<'_>,
) {
    if let Some(hostname) = hostname {
        complaints.expect(&at.key("hostname"), precise_hostname(hostname));
    }
    let Some(modifier) = modifier else { return };
    let at = at.key("path");
    let fields = [
        (PathModifierType::ReplaceFullPath, "replaceFullPath", &modifier.replace_full_path),
        (PathModifierType::ReplacePrefixMatch, "replacePrefixMatch", &modifier.replace_prefix_match),
    ];
    for (kind, name, value) in fields {
        match (kind == modifier.kind, value) {
            (true, None) => complaints.add(&at, format!("{kind:?} needs {name}"), format!("set {name}")),
            (false, Some(_)) => {
                let reason = format!("{name} does not go with type {:?}", modifier.kind);
                complaints.add(&at.key(name), reason, "remove it, or correct the type");
            }
            _ => {}
        }
        if let Some(value) = value.as_deref().filter(|value| !is_path(value)) {
            let reason = format!("{} is not a path", quoted(value));
            complaints.add(&at.key(name), reason, "write one without ?, # and spaces");
        }
    }
}

/// What a path may be replaced with: it becomes part of a request line or of a Location.
fn is_path(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
}

fn cors_filter(filter: &CorsFilter, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, origin) in filter.allow_origins.iter().enumerate() {
        complaints.expect(&at.key("allowOrigins").index(index), origin_pattern(origin));
    }
    for (name, list) in [
        ("allowMethods", &filter.allow_methods),
        ("allowOrigins", &filter.allow_origins),
        ("allowHeaders", &filter.allow_headers),
    ] {
        if list.len() > 1 && list.iter().any(|value| value == "*") {
            complaints.add(&at.key(name), "* stands beside others", "keep * alone, or remove it");
        }
    }
    for (index, method) in filter.allow_methods.iter().enumerate() {
        if method != "*" && !super::matches::METHODS.contains(&method.as_str()) {
            let reason = format!("{} is not a method", quoted(method));
            complaints.add(&at.key("allowMethods").index(index), reason, "use one such as GET, or *");
        }
    }
    for (name, list) in [("allowHeaders", &filter.allow_headers), ("exposeHeaders", &filter.expose_headers)] {
        for (index, header) in list.iter().enumerate() {
            complaints.expect(&at.key(name).index(index), header_name(header));
        }
    }
    if filter.max_age == Some(0) {
        complaints.add(&at.key("maxAge"), "0 is out of range", "use at least 1, or leave it out for 5");
    }
}

/// `*`, or `scheme://host[:port]` whose host may begin with `*`.
fn origin_pattern(origin: &str) -> Result<(), String> {
    if origin == "*" {
        return Ok(());
    }
    let invalid = || {
        let wanted = "write scheme://host or scheme://host:port, or * alone";
        Err(format!("{} is not an origin; {wanted}", quoted(origin)))
    };
    let Some((scheme, rest)) = origin.split_once("://") else { return invalid() };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let scheme_fine = !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    let port_fine = port.is_none_or(|port| port == "*" || port.parse::<u16>().is_ok_and(|port| port > 0));
    let host = host.strip_prefix("*.").unwrap_or(host);
    let host_fine = host == "*" || crate::name_rules::dns_subdomain(&host.to_ascii_lowercase()).is_ok();
    if scheme_fine && host_fine && port_fine { Ok(()) } else { invalid() }
}
