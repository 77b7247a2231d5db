//! One request, from its head to the head of its response: read -> judge -> route -> filter -> forward -> respond. The
//! report goes with the body.

use std::sync::Arc;
use std::time::Instant;

use ambit_policy::request::strip_claims_about_the_client;
use ambit_policy::request::{Outcome, Raw, Refusal, Request as Canonical, Scheme, strip_connection};
use ambit_telemetry::requests::{RequestFlags, Words, is_logged};
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::{ResponseBody, head_size};
use crate::forward::forward;
use crate::headers::{
    CLIENT_CERT, FORWARDED_FOR, FORWARDED_PROTO, REQUEST_ID, from_outside, request_id, upgrade,
};
use crate::ingress::Entrance;
use crate::judge::judge;
use crate::mirror::mirror;
use crate::network::Network;
use crate::onward::Onward;
use crate::replay::Replay;
use crate::reply::Reply;
use crate::rule::{Step, step};
use crate::session::Session;
use crate::switch::switch;

/// Answers a request.
pub async fn exchange<N: Network>(
    session: Arc<Session<N>>,
    mut request: Request<Incoming>,
) -> Response<ResponseBody> {
    let start = Instant::now();
    let mut report = session.request_report(start);
    report.bytes().request(request_size(&request));
    let rules = session.rules();
    if is_logged() && rules.log_from < u16::MAX {
        report.words(words(&request)).log_from(rules.log_from);
    }
    let switching = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let upgrade = upgrade(&head);
    let mut asked = match read(&session, head, upgrade.is_some()) {
        Ok(asked) => asked,
        Err((refusal, grpc)) => return refused(refusal).response(grpc, report),
    };
    let grpc = asked.is_grpc();
    if grpc {
        report.grpc();
    }
    let body = Replay::new(body, report.bytes());
    let rules = match session.entrance().map(|entrance| session.listener_rules(entrance, &asked)) {
        None => rules,
        Some(Ok(rules)) => rules,
        Some(Err(nobody)) => return nobody.reply().response(grpc, report),
    };
    let allowed = match judge(&session, &rules, &mut asked, &body).await {
        Ok(allowed) => allowed,
        Err(reply) => return reply.response(grpc, report),
    };
    let onward = match rules.routes(session.target.port()).route(&asked) {
        Outcome::NoRoutes if session.entrance().is_none() => Ok(Onward::to_itself(&asked)),
        Outcome::NoRoutes | Outcome::NoMatch => {
            Err(Reply::new(StatusCode::NOT_FOUND, RequestFlags::NO_ROUTE, "", "route_not_found"))
        }
        Outcome::Unreadable(why) => Err(Reply::misconfigured(format!("route_unreadable{{{why}}}"))),
        Outcome::Rule { rule, taken } => match step(&session, &asked, rule, taken, &mut report).await {
            Step::Onward(onward) => Ok(*onward),
            Step::Answer(reply) => Err(reply),
        },
    };
    let answered = match onward {
        Ok(onward) => {
            mirror(&session, &asked, &onward, &body);
            forward(&session, &asked, onward, upgrade, body, start, &mut report).await
        }
        Err(reply) => Err(reply),
    };
    let mut response = match answered {
        Ok(answered) if answered.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switch(&session, switching, answered, report)
        }
        Ok(answered) => answered.respond(report, grpc),
        Err(reply) => reply.response(grpc, report),
    };
    for change in &allowed.response {
        change.apply(response.headers_mut());
    }
    response
}

/// The canonical request, with what this proxy says of it and without what no client may say.
fn read<N: Network>(session: &Session<N>, head: Parts, upgrade: bool) -> Result<Canonical, (Refusal, bool)> {
    let Parts { method, uri, version, mut headers, .. } = head;
    let grpc = crate::headers::is_grpc(&headers);
    strip_claims_about_the_client(&mut headers);
    let entrance = session.entrance();
    let scheme = entrance.map_or(Scheme::Http, Entrance::scheme);
    if entrance.is_some() {
        from_outside(&mut headers, session.client.address.ip(), scheme);
    }
    let raw = Raw { method, uri: &uri, version, headers, scheme };
    let level = session.proxy.rules.mesh().normalization;
    let (caller, destination) = (session.caller.clone(), session.destination.clone());
    let mut request = Canonical::new(raw, level, caller, destination).map_err(|refusal| (refusal, grpc))?;
    strip_connection(&mut request.headers, upgrade);
    request.headers.remove(http::header::EXPECT);
    if let Some(identity) = &session.certificate_header {
        request.headers.insert(CLIENT_CERT, identity.clone());
    }
    if !request.headers.contains_key(REQUEST_ID) {
        request.headers.insert(REQUEST_ID, request_id(&mut rand::rng()));
    }
    if !request.headers.contains_key(FORWARDED_PROTO) {
        request.headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    Ok(request)
}

fn refused(refusal: Refusal) -> Reply {
    let details = format!("request_refused{{{refusal}}}");
    Reply::new(refusal.status(), RequestFlags::CLIENT_PROTOCOL, "", details)
}

fn request_size<B>(request: &Request<B>) -> u64 {
    let target = request.uri().path_and_query().map_or(1, |path| path.as_str().len());
    (request.method().as_str().len() + target) as u64 + head_size(request.headers())
}

fn words<B>(request: &Request<B>) -> Words {
    let text = |name| request.headers().get(name).map(|value: &HeaderValue| lossy(value));
    let host = || text(HOST).unwrap_or_default();
    Words {
        method: request.method().as_str().to_owned(),
        path: request.uri().path_and_query().map_or("/", PathAndQuery::as_str).to_owned(),
        protocol: match request.version() {
            http::Version::HTTP_2 => "HTTP/2",
            http::Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        },
        authority: request.uri().authority().map_or_else(host, ToString::to_string),
        user_agent: text(USER_AGENT),
        request_id: text(REQUEST_ID),
        forwarded_for: text(FORWARDED_FOR),
    }
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
