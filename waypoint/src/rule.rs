//! What a rule does with a request before anybody else sees it: cross-origin answers, limits, faults, redirects, answers
//! of its own; else which backend it goes to.

use std::sync::Arc;
use std::time::Instant;

use ambit_model::l7::route::{Abort, Action, Backend};
use ambit_policy::request::{Choice, CompiledRule, CorsOutcome, Head, Request, inject};
use ambit_telemetry::requests::{RequestFlags, RequestReport};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION, RETRY_AFTER};

use crate::affinity;
use crate::network::Network;
use crate::onward::Onward;
use crate::reply::Reply;
use crate::session::Session;

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// It goes to a backend.
    Onward(Box<Onward>),
    /// It is answered here.
    Answer(Reply),
}

/// Does what the rule says, which took `taken` bytes of the path.
pub async fn step<N: Network>(
    session: &Session<N>,
    request: &Request,
    rule: &Arc<CompiledRule>,
    taken: usize,
    report: &mut RequestReport,
) -> Step {
    if let Some(name) = &rule.rule().name {
        report.route(name.clone());
    } else {
        report.route(rule.route().key.name.clone());
    }
    if let Some(why) = rule.invalid() {
        return Step::Answer(Reply::misconfigured(format!("rule_invalid{{{why}}}")));
    }
    let mut origin = None;
    if let Some(cors) = rule.filters().cors() {
        match cors.receive(&request.method, &request.headers) {
            CorsOutcome::Forward(allowed) => origin = allowed,
            CorsOutcome::Answer(headers) => {
                let mut reply = Reply::new(StatusCode::OK, RequestFlags::NONE, "", "cors_preflight");
                reply.headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                return Step::Answer(reply);
            }
        }
    }
    if let Some(reply) = limited(session, request, rule) {
        return Step::Answer(reply);
    }
    if let Some(reply) = faulty(rule, report).await {
        return Step::Answer(reply);
    }
    match &rule.rule().action {
        Action::Redirect(_) => Step::Answer(redirected(request, rule, taken)),
        Action::Respond { status, body } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Step::Answer(Reply::new(status, RequestFlags::NONE, body.to_string(), "direct_response"))
        }
        Action::Forward(backends) => match kept(session, request, rule, backends) {
            Choice::Backend { index, backend, filters } => {
                let mut head = Head::new(request, taken);
                rule.filters().change_request(&mut head);
                filters.change_request(&mut head);
                let onward = Onward::by_rule(head, rule.clone(), index, backend.to.clone(), origin);
                Step::Onward(onward.into())
            }
            Choice::Invalid(why) => Step::Answer(Reply::misconfigured(format!("backend_invalid{{{why}}}"))),
            Choice::Nowhere => Step::Answer(Reply::misconfigured("no_backend")),
        },
    }
}

/// The backend that a session's endpoint belongs to, whatever its weight; a new session's is drawn.
fn kept<'r, N: Network>(
    session: &Session<N>,
    request: &Request,
    rule: &'r CompiledRule,
    backends: &[Backend],
) -> Choice<'r> {
    if let Some(known) = affinity::session(request, Some(rule)) {
        let has = |backend: &Backend| {
            session.call(Some(&backend.to)).is_ok_and(|call| call.current.has(&known.endpoint))
        };
        if let Some(index) = backends.iter().position(has)
            && let kept @ Choice::Backend { .. } = rule.backend(index)
        {
            return kept;
        }
    }
    rule.choose(&mut rand::rng())
}

fn limited<N: Network>(session: &Session<N>, request: &Request, rule: &CompiledRule) -> Option<Reply> {
    let client = || request.client.identity.as_ref().map(ToString::to_string).unwrap_or_default();
    for (number, limit) in rule.filters().rate_limits().enumerate() {
        let name = (rule.route().key.clone(), rule.index(), number);
        if let Err(wait) = session.proxy.limiters.take(name, limit, &client(), Instant::now()) {
            let text = "local_rate_limited";
            let mut reply = Reply::new(StatusCode::TOO_MANY_REQUESTS, RequestFlags::LIMITED, text, text);
            reply.headers.push((RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1))));
            return Some(reply);
        }
    }
    None
}

async fn faulty(rule: &CompiledRule, report: &mut RequestReport) -> Option<Reply> {
    for fault in rule.filters().faults() {
        let injected = inject(fault, &mut rand::rng());
        if let Some(delay) = injected.delay {
            report.flag(RequestFlags::DELAYED);
            tokio::time::sleep(delay).await;
        }
        if let Some(abort) = injected.abort {
            let flags = RequestFlags::ABORTED;
            let (text, details) = ("fault filter abort", "fault_filter_abort");
            let reply = match abort {
                Abort::Http(status) => {
                    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    Reply::new(status, flags, text, details)
                }
                Abort::Grpc(status) => {
                    let mut reply = Reply::new(StatusCode::OK, flags, text, details);
                    reply.grpc_status = Some(status);
                    reply
                }
            };
            return Some(reply);
        }
    }
    None
}

fn redirected(request: &Request, rule: &CompiledRule, taken: usize) -> Reply {
    let located = rule.redirection().and_then(|redirection| redirection.locate(request, taken));
    match located {
        Some(to) => {
            let mut reply = Reply::new(to.status, RequestFlags::NONE, "", "direct_response");
            reply.headers.push((LOCATION, to.location));
            reply
        }
        None => Reply::misconfigured("redirect_invalid"),
    }
}
