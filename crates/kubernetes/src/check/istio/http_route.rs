//! What a VirtualService does with requests.

use super::values::{at_most, duration, duration_or_none, host, percent};
use super::virtual_service::{destination, gateways, weights};
use crate::FieldPath;
use crate::check::Complaints;
use crate::check::gateway_api::{expression, header_name};
use crate::istio::{
    CorsPolicy, FaultInjection, HeaderOperations, Headers, HttpMatchRequest, HttpRedirect, HttpRetry,
    HttpRoute, StringMatch, grpc_status,
};
use crate::problem::quoted;

/// Envoy's words for what is tried again.
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];
/// Longest body that is answered, in bytes (Istio).
const LONGEST_BODY: usize = 1 << 20;

pub(super) fn check(route: &HttpRoute, at: &FieldPath, complaints: &mut Complaints<'_>) {
    action(route, at, complaints);
    for (index, one) in route.matches.iter().enumerate() {
        matches(one, &at.key("match").index(index), complaints);
    }
    if let Some(rewrite) = &route.rewrite {
        let path = at.key("rewrite");
        match &rewrite.uri_regex_rewrite {
            Some(_) if !rewrite.uri.is_empty() => {
                complaints.add(&path, "uri and uriRegexRewrite exclude each other", "keep one of them");
            }
            Some(regex) => {
                complaints.expect(&path.key("uriRegexRewrite").key("match"), expression(&regex.matches))
            }
            None if rewrite.uri.is_empty() && rewrite.authority.is_empty() => {
                complaints.add(&path, "it rewrites nothing", "set uri or authority, or remove it");
            }
            None => {}
        }
    }
    duration_or_none(route.timeout, &at.key("timeout"), complaints);
    if let Some(retries) = &route.retries {
        retry(retries, &at.key("retries"), complaints);
    }
    if let Some(fault) = &route.fault {
        self::fault(fault, &at.key("fault"), complaints);
    }
    if route.mirror.is_some() && !route.mirrors.is_empty() {
        complaints.add(&at.key("mirror"), "mirror and mirrors exclude each other", "keep one of them");
    }
    if let Some(mirror) = &route.mirror {
        destination(mirror, &at.key("mirror"), complaints);
    }
    let shares = route
        .mirrors
        .iter()
        .enumerate()
        .map(|(index, one)| (at.key("mirrors").index(index).key("percentage"), one.percentage));
    for (path, share) in shares.chain([(at.key("mirrorPercentage"), route.mirror_percentage)]) {
        if let Some(share) = share {
            complaints.expect(&path.key("value"), percent(share.value));
        }
    }
    for (index, one) in route.mirrors.iter().enumerate() {
        destination(&one.destination, &at.key("mirrors").index(index).key("destination"), complaints);
    }
    if route.mirror_percent.is_some_and(|percent| percent > 100) {
        complaints.add(&at.key("mirrorPercent"), "it is out of range", "use 0 to 100");
    }
    if let Some(policy) = &route.cors_policy {
        cors(policy, &at.key("corsPolicy"), complaints);
    }
    headers(route.headers.as_ref(), &at.key("headers"), complaints);
}

/// One thing happens to requests.
fn action(route: &HttpRoute, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let actions = [
        !route.route.is_empty(),
        route.redirect.is_some(),
        route.direct_response.is_some(),
        route.delegate.is_some(),
    ];
    if actions.into_iter().filter(|set| *set).count() != 1 {
        let reason = "one of route, redirect, directResponse and delegate says what happens";
        complaints.add(at, reason, "set one of them");
    }
    for (index, one) in route.route.iter().enumerate() {
        let path = at.key("route").index(index);
        destination(&one.destination, &path.key("destination"), complaints);
        headers(one.headers.as_ref(), &path.key("headers"), complaints);
    }
    weights(route.route.iter().map(|one| one.weight), &at.key("route"), complaints);
    if let Some(redirect) = &route.redirect {
        self::redirect(redirect, &at.key("redirect"), complaints);
        if route.rewrite.is_some() || route.fault.is_some() && route.retries.is_some() {
            complaints.add(&at.key("redirect"), "what is redirected is not rewritten", "remove rewrite");
        }
    }
    if let Some(response) = &route.direct_response {
        let path = at.key("directResponse");
        if !(200..=599).contains(&response.status) {
            complaints.add(
                &path.key("status"),
                format!("{} is out of range", response.status),
                "use 200 to 599",
            );
        }
        if let Some(body) = &response.body {
            if body.string.is_some() == body.bytes.is_some() {
                complaints.add(&path.key("body"), "one of string and bytes is the body", "set one of them");
            }
            let length = body.string.as_ref().or(body.bytes.as_ref()).map_or(0, String::len);
            if length > LONGEST_BODY {
                complaints.add(&path.key("body"), "it is longer than 1 MiB", "shorten it");
            }
        }
    }
    if route.delegate.as_ref().is_some_and(|delegate| delegate.name.is_empty()) {
        complaints.add(&at.key("delegate").key("name"), "no VirtualService is named", "set name");
    }
}

fn redirect(redirect: &HttpRedirect, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if let Some(code) = redirect.redirect_code.filter(|code| ![301, 302, 303, 307, 308].contains(code)) {
        let reason = format!("{code} is not the status of a redirect");
        complaints.add(&at.key("redirectCode"), reason, "use 301, 302, 303, 307 or 308");
    }
    if !["", "http", "https"].contains(&redirect.scheme.as_str()) {
        let reason = format!("{} is not a scheme to redirect to", quoted(&redirect.scheme));
        complaints.add(&at.key("scheme"), reason, "use http or https");
    }
    if redirect.port.is_some() && redirect.derive_port.is_some() {
        complaints.add(at, "port and derivePort exclude each other", "keep one of them");
    }
    if !redirect.uri.is_empty() && !redirect.prefix_rewrite.is_empty() {
        complaints.add(at, "uri and prefixRewrite exclude each other", "keep one of them");
    }
    for (name, value) in [
        ("uri", &redirect.uri),
        ("prefixRewrite", &redirect.prefix_rewrite),
        ("authority", &redirect.authority),
    ] {
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = format!("{} cannot be part of a location", quoted(value));
            complaints.add(&at.key(name), reason, "write letters, digits and marks without spaces");
        }
    }
}

fn matches(one: &HttpMatchRequest, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let single =
        [("uri", &one.uri), ("scheme", &one.scheme), ("method", &one.method), ("authority", &one.authority)];
    for (name, value) in single {
        if let Some(value) = value {
            text(value, true, &at.key(name), complaints);
        }
    }
    let named = [
        ("headers", &one.headers),
        ("queryParams", &one.query_params),
        ("withoutHeaders", &one.without_headers),
    ];
    for (field, map) in named {
        for (name, value) in map {
            let path = at.key(field).key(name);
            if field != "queryParams" && !name.starts_with("@request.auth.claims") {
                complaints.expect(&path, header_name(name));
            }
            text(value, false, &path, complaints);
        }
    }
    gateways(&one.gateways, &at.key("gateways"), complaints);
}

/// At most one comparison, and expressions that can be read.
fn text(value: &StringMatch, needed: bool, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let set = [value.exact.is_some(), value.prefix.is_some(), value.regex.is_some()];
    match set.into_iter().filter(|set| *set).count() {
        0 if needed => complaints.add(at, "it compares with nothing", "set exact, prefix or regex"),
        0 | 1 => {}
        _ => complaints.add(at, "exact, prefix and regex exclude each other", "keep one of them"),
    }
    if value.prefix.as_deref() == Some("") {
        complaints.add(&at.key("prefix"), "an empty prefix", "write one, or remove the condition");
    }
    if let Some(regex) = value.regex.as_deref().filter(|regex| *regex != "*") {
        complaints.expect(&at.key("regex"), expression(regex));
    }
}

fn retry(retries: &HttpRetry, at: &FieldPath, complaints: &mut Complaints<'_>) {
    at_most(Some(retries.attempts), 100, &at.key("attempts"), complaints);
    if retries.attempts == 0 && (retries.per_try_timeout.is_some() || !retries.retry_on.is_empty()) {
        complaints.add(at, "with attempts 0 nothing is tried again", "set attempts, or remove the rest");
    }
    duration_or_none(retries.per_try_timeout, &at.key("perTryTimeout"), complaints);
    duration(retries.backoff, &at.key("backoff"), complaints);
    for word in retries.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let code = word.parse::<u16>().is_ok_and(|code| (100..=599).contains(&code));
        if !code && !RETRY_ON.contains(&word) {
            let reason = format!("{} is not a condition", quoted(word));
            complaints.add(
                &at.key("retryOn"),
                reason,
                "use Envoy's, such as 5xx or connect-failure, or status codes",
            );
        }
    }
}

fn fault(fault: &FaultInjection, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if fault.delay.is_none() && fault.abort.is_none() {
        complaints.add(at, "it says nothing", "set delay or abort");
    }
    if let Some(delay) = &fault.delay {
        let path = at.key("delay");
        at_most(delay.percent, 100, &path.key("percent"), complaints);
        if let Some(share) = delay.percentage {
            complaints.expect(&path.key("percentage").key("value"), percent(share.value));
        }
        duration(delay.fixed_delay, &path.key("fixedDelay"), complaints);
    }
    if let Some(abort) = &fault.abort {
        let path = at.key("abort");
        if let Some(share) = abort.percentage {
            complaints.expect(&path.key("percentage").key("value"), percent(share.value));
        }
        if let Some(status) = abort.http_status.filter(|status| !(200..=599).contains(status)) {
            complaints.add(&path.key("httpStatus"), format!("{status} is out of range"), "use 200 to 599");
        }
        if abort.http_status.is_some() && abort.grpc_status.is_some() {
            complaints.add(&path, "httpStatus and grpcStatus exclude each other", "keep one of them");
        }
        if let Some(status) = abort.grpc_status.as_deref().filter(|status| grpc_status(status).is_none()) {
            let reason = format!("{} is not a gRPC status", quoted(status));
            complaints.add(&path.key("grpcStatus"), reason, "use one such as UNAVAILABLE");
        }
    }
}

fn cors(policy: &CorsPolicy, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, origin) in policy.allow_origins.iter().enumerate() {
        text(origin, true, &at.key("allowOrigins").index(index), complaints);
    }
    for (name, list) in [("allowHeaders", &policy.allow_headers), ("exposeHeaders", &policy.expose_headers)] {
        for (index, header) in list.iter().enumerate().filter(|(_, header)| *header != "*") {
            complaints.expect(&at.key(name).index(index), header_name(header));
        }
    }
}

fn headers(headers: Option<&Headers>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let Some(headers) = headers else { return };
    for (name, change) in [("request", &headers.request), ("response", &headers.response)] {
        if let Some(change) = change {
            header_change(change, &at.key(name), complaints);
        }
    }
}

fn header_change(change: &HeaderOperations, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (field, map) in [("set", &change.set), ("add", &change.add)] {
        for (name, value) in map {
            let path = at.key(field).key(name);
            complaints.expect(&path, header_name(name));
            if !value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)) {
                complaints.add(&path, "it is not a header's value", "write one line of text");
            }
            if name.eq_ignore_ascii_case("host") {
                complaints.expect(&path, host(value.split(':').next().unwrap_or_default()));
            }
        }
    }
    for (index, name) in change.remove.iter().enumerate() {
        complaints.expect(&at.key("remove").index(index), header_name(name));
    }
}
