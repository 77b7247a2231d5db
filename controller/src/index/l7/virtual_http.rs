//! One rule of a VirtualService's `http`.

use ambit_kubernetes::istio::{
    CorsPolicy, DerivePort, DirectResponse, FaultInjection, HeaderOperations, Headers, HttpRedirect,
    HttpRetry, HttpRewrite, HttpRoute, HttpRouteDestination, UnmatchedPreflights,
};
use ambit_model::Text;
use ambit_model::l7::matching::{Share, ValueMatch};
use ambit_model::l7::route::{
    Abort, Action, Backend, Cors, Fault, Filter, HeaderChange, Mirror, PathRewrite, Redirect, RedirectPort,
    Retry, RetryCondition, Rewrite, Rule, Timeouts,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::notes::Unheard;
use super::virtual_destinations::Names;
use super::{shares, virtual_matches};

/// What conditions a request is tried again on where nothing is said (Istio).
const USUAL_RETRIES: [RetryCondition; 4] = [
    RetryCondition::ConnectFailure,
    RetryCondition::RefusedStream,
    RetryCondition::Unavailable,
    RetryCondition::Cancelled,
];

/// The rule; `None` where none of its matches is about traffic inside the mesh.
pub(super) fn rule(
    written: &HttpRoute,
    field: &str,
    names: &Names<'_>,
    unheard: &mut Unheard<'_>,
) -> Option<Rule> {
    let matches = virtual_matches::http(&written.matches, field, unheard)?;
    let mut rule = Rule {
        name: (!written.name.is_empty()).then(|| written.name.as_str().into()),
        matches,
        ..Rule::new(action(written, field, names, unheard))
    };
    filters(written, field, names, unheard, &mut rule.filters);
    let retries = written.retries.as_ref();
    rule.timeouts = Timeouts {
        request: written.timeout.map(|time| time.get()),
        backend_request: retries.and_then(|retries| retries.per_try_timeout).map(|time| time.get()),
    };
    rule.retry = retries.map(|retries| retry(retries, field, unheard));
    rule.invalid = unheard.invalid.take();
    Some(rule)
}

fn action(written: &HttpRoute, field: &str, names: &Names<'_>, unheard: &mut Unheard<'_>) -> Action {
    if let Some(redirect) = &written.redirect {
        return Action::Redirect(self::redirect(redirect));
    }
    if let Some(response) = &written.direct_response {
        return respond(response, field, unheard);
    }
    let alone = written.route.len() == 1;
    let mut backends = Vec::with_capacity(written.route.len());
    for (at, one) in written.route.iter().enumerate() {
        backends.push(backend(one, alone, &format!("{field}.route[{at}]"), names, unheard));
    }
    Action::Forward(backends)
}

fn backend(
    written: &HttpRouteDestination,
    alone: bool,
    field: &str,
    names: &Names<'_>,
    unheard: &mut Unheard<'_>,
) -> Backend {
    let (to, invalid) = names.resolve(&written.destination, &format!("{field}.destination"), unheard);
    let mut filters = Vec::new();
    headers(written.headers.as_ref(), &mut filters);
    // The weight of an only destination does not count.
    let weight = if alone { 1 } else { u32::try_from(written.weight).unwrap_or(0) };
    Backend { to, weight, filters, invalid }
}

fn redirect(written: &HttpRedirect) -> Redirect {
    let (host, in_host) = match written.authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.ends_with(':') => {
            (host, port.parse().ok())
        }
        _ => (written.authority.as_str(), None),
    };
    let text = |text: &str| (!text.is_empty()).then(|| Text::from(text));
    let path = text(&written.prefix_rewrite).map(PathRewrite::Prefix);
    let port = match (written.port.or(in_host), written.derive_port) {
        (Some(port), _) => RedirectPort::Fixed(port),
        (None, Some(DerivePort::FromRequestPort)) => RedirectPort::Request,
        // A redirect to another host does not take the port along.
        (None, Some(DerivePort::FromProtocolDefault)) => RedirectPort::Scheme,
        (None, None) if !host.is_empty() => RedirectPort::Scheme,
        (None, None) => RedirectPort::Automatic,
    };
    Redirect {
        scheme: text(&written.scheme),
        host: text(host),
        path: path.or_else(|| text(&written.uri).map(PathRewrite::Full)),
        port,
        status: written.redirect_code.and_then(|code| u16::try_from(code).ok()).unwrap_or(301),
    }
}

fn respond(written: &DirectResponse, field: &str, unheard: &mut Unheard<'_>) -> Action {
    let body = written.body.as_ref();
    let text = body.and_then(|body| body.string.clone());
    let bytes = body.and_then(|body| body.bytes.as_ref());
    let decoded =
        bytes.map(|bytes| STANDARD.decode(bytes).ok().and_then(|bytes| String::from_utf8(bytes).ok()));
    if decoded == Some(None) {
        unheard.refuse(
            &format!("{field}.directResponse.body.bytes"),
            "only bodies that are text are answered here",
        );
    }
    let body = text.or(decoded.flatten()).unwrap_or_default();
    Action::Respond { status: u16::try_from(written.status).unwrap_or(500), body: body.into() }
}

/// In the order in which they take effect.
fn filters(
    written: &HttpRoute,
    field: &str,
    names: &Names<'_>,
    unheard: &mut Unheard<'_>,
    filters: &mut Vec<Filter>,
) {
    filters.extend(written.cors_policy.as_ref().map(|policy| Filter::Cors(cors(policy))));
    filters.extend(written.fault.as_ref().map(|one| Filter::Fault(fault(one, field, unheard))));
    headers(written.headers.as_ref(), filters);
    filters.extend(written.rewrite.as_ref().map(|one| Filter::Rewrite(rewrite(one))));
    if let Some(destination) = &written.mirror {
        let old = written.mirror_percent.map(f64::from);
        let share = written.mirror_percentage.map(|percentage| percentage.value).or(old);
        let (to, invalid) = names.resolve(destination, &format!("{field}.mirror"), unheard);
        filters.push(Filter::Mirror(Mirror {
            to,
            share: share.map_or(Share::ALL, shares::percent),
            invalid,
        }));
    }
    for (at, one) in written.mirrors.iter().enumerate() {
        let field = format!("{field}.mirrors[{at}].destination");
        let (to, invalid) = names.resolve(&one.destination, &field, unheard);
        let share = one.percentage.map_or(Share::ALL, |percentage| shares::percent(percentage.value));
        filters.push(Filter::Mirror(Mirror { to, share, invalid }));
    }
}

fn headers(written: Option<&Headers>, filters: &mut Vec<Filter>) {
    let Some(written) = written else { return };
    filters.extend(written.request.as_ref().map(|change| Filter::Request(header_change(change))));
    filters.extend(written.response.as_ref().map(|change| Filter::Response(header_change(change))));
}

fn header_change(written: &HeaderOperations) -> HeaderChange {
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(name, value)| (name.to_ascii_lowercase().into(), value.as_str().into())).collect()
    };
    HeaderChange {
        set: pairs(&written.set),
        add: pairs(&written.add),
        remove: written.remove.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
    }
}

fn rewrite(written: &HttpRewrite) -> Rewrite {
    let by_expression = written.uri_regex_rewrite.as_ref().map(|regex| PathRewrite::Regex {
        pattern: regex.matches.as_str().into(),
        replacement: regex.rewrite.as_str().into(),
    });
    let prefix = || (!written.uri.is_empty()).then(|| PathRewrite::Prefix(written.uri.as_str().into()));
    Rewrite {
        host: (!written.authority.is_empty()).then(|| written.authority.as_str().into()),
        path: by_expression.or_else(prefix),
    }
}

fn cors(written: &CorsPolicy) -> Cors {
    let lower = |list: &[String]| list.iter().map(|name| name.to_ascii_lowercase().into()).collect();
    let old = written.allow_origin.iter().map(|origin| match origin.as_str() {
        "*" => ValueMatch::Present,
        origin => ValueMatch::Exact(origin.into()),
    });
    Cors {
        origins: written.allow_origins.iter().map(virtual_matches::text).chain(old).collect(),
        methods: written.allow_methods.iter().map(|method| method.as_str().into()).collect(),
        headers: lower(&written.allow_headers),
        expose: lower(&written.expose_headers),
        max_age: written.max_age.map(|time| time.get()),
        credentials: written.allow_credentials == Some(true),
        forward_unmatched: written.unmatched_preflights != UnmatchedPreflights::Ignore,
    }
}

fn fault(written: &FaultInjection, field: &str, unheard: &mut Unheard<'_>) -> Fault {
    let none = Share { numerator: 0, denominator: 1 };
    let mut fault = Fault::default();
    if let Some(delay) = &written.delay {
        let share = delay.percentage.map(|percentage| percentage.value).or(delay.percent.map(f64::from));
        match delay.fixed_delay {
            Some(time) => fault.delay = Some((time.get(), share.map_or(none, shares::percent))),
            None => unheard.note(&format!("{field}.fault.delay"), "only a fixedDelay is known, as in Istio"),
        }
    }
    if let Some(abort) = &written.abort {
        let http = abort.http_status.and_then(|status| u16::try_from(status).ok()).map(Abort::Http);
        let grpc =
            || abort.grpc_status.as_deref().and_then(ambit_kubernetes::istio::grpc_status).map(Abort::Grpc);
        match http.or_else(grpc) {
            Some(how) => {
                let share = abort.percentage.map_or(none, |percentage| shares::percent(percentage.value));
                fault.abort = Some((how, share));
            }
            None => unheard.note(
                &format!("{field}.fault.abort"),
                "only httpStatus and grpcStatus are known, as in Istio",
            ),
        }
    }
    fault
}

pub(super) fn retry(written: &HttpRetry, field: &str, unheard: &mut Unheard<'_>) -> Retry {
    if written.retry_remote_localities.is_some() {
        unheard.note(
            &format!("{field}.retries.retryRemoteLocalities"),
            "tries go by the service's preference of places",
        );
    }
    let (mut on, mut codes) = (Vec::new(), Vec::new());
    for word in written.retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match (condition(word), word.parse()) {
            (Some(condition), _) => on.push(condition),
            (None, Ok(code)) => codes.push(code),
            (None, Err(_)) => {
                unheard.note(&format!("{field}.retries.retryOn"), &format!("{word} is not known here"))
            }
        }
    }
    if written.retry_on.is_empty() {
        on = USUAL_RETRIES.to_vec();
    }
    Retry {
        attempts: u32::try_from(written.attempts).unwrap_or(0),
        on,
        codes,
        backoff: written.backoff.map(|time| time.get()),
        avoid_previous: written.retry_ignore_previous_hosts.unwrap_or(true),
    }
}

/// A condition by Envoy's word for it.
fn condition(word: &str) -> Option<RetryCondition> {
    Some(match word {
        "5xx" => RetryCondition::ServerError,
        "gateway-error" => RetryCondition::GatewayError,
        "reset" => RetryCondition::Reset,
        "reset-before-request" => RetryCondition::ResetBeforeRequest,
        "connect-failure" => RetryCondition::ConnectFailure,
        "refused-stream" => RetryCondition::RefusedStream,
        "retriable-4xx" => RetryCondition::Retriable4xx,
        "retriable-status-codes" => RetryCondition::StatusCodes,
        "cancelled" => RetryCondition::Cancelled,
        "deadline-exceeded" => RetryCondition::DeadlineExceeded,
        "resource-exhausted" => RetryCondition::ResourceExhausted,
        "internal" => RetryCondition::Internal,
        "unavailable" => RetryCondition::Unavailable,
        _ => return None,
    })
}
