//! Sending a request to an endpoint of its backend, as often as its policy has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_policy::request::outlier::{Outcome, http_status};
use ambit_policy::request::retry::{Due, End, Ended, Next, Retries, Why};
use ambit_policy::request::{Request as Canonical, Timers, told_status};
use ambit_telemetry::requests::{RequestFlags, RequestReport};
use http::header::HeaderValue;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use smallvec::SmallVec;

use crate::affinity::Affinity;
use crate::body::Progress;
use crate::destinations::{Call, Place, Uncallable, Wish};
use crate::network::Network;
use crate::onward::{Answered, Onward};
use crate::outgoing::{outgoing, version};
use crate::replay::Replay;
use crate::reply::Reply;
use crate::sent::RequestBody;
use crate::session::Session;
use crate::upstream::{Lease, Version, lease, send};

/// Sends the request on and waits for the head of its response.
///
/// # Errors
/// There is none: what the client is told instead.
pub async fn forward<N: Network>(
    session: &Session<N>,
    request: &Canonical,
    onward: Onward,
    upgrade: Option<HeaderValue>,
    body: Replay,
    start: Instant,
    report: &mut RequestReport,
) -> Result<Answered, Reply> {
    let grpc = request.is_grpc();
    let timers = Timers::new(&onward.timeouts(), grpc, &request.headers);
    let policy = onward.retries(session);
    if policy.is_off() {
        body.forget();
    }
    let mut retries = Retries::new(&request.method, grpc);
    let mut tried: SmallVec<[SocketAddr; 3]> = SmallVec::new();
    let (mut fresh, mut retry) = (false, false);
    let mut call = session.call(onward.backend.as_ref()).map_err(uncallable)?;
    if let (Some(_), Some(service)) = (&onward.backend, call.current.service()) {
        report.service(service.clone(), call.destination.port());
    }
    let affinity = Affinity::of(request, call.current.policy(), onward.rule(), &mut rand::rng());
    loop {
        let (place, began) = (choose(&call, &affinity, &tried, policy.avoids_previous())?, start.elapsed());
        report.upstream(place.endpoint.workload.clone(), place.endpoint.address);
        tried.push(place.endpoint.address);
        let Some(mut held) = call.begin(&place, retry) else {
            return Err(Reply::overflow(
                "as many requests as may be under way are: connectionPool.http.http2MaxRequests",
            ));
        };
        let pool = call.current.policy().connections.as_ref();
        let version = version(call.current.protocol(), pool, request.version, upgrade.is_some(), grpc)?;
        let (try_body, progress) = body.body();
        let outgoing =
            outgoing(&request.method, &onward.head, upgrade.clone(), version, RequestBody::Try(try_body))?;
        let host = onward.head.authority.host();
        let sending = attempt(session, &call, &place, (version, host), outgoing, progress, fresh);
        let outcome = within(timers.due(began), sending).await;
        let end = match &outcome {
            Ok(((response, _), _)) => {
                let status = told_status(response.headers());
                held.answered(counted(response.status(), grpc, status));
                End::Response { status: response.status(), grpc: status }
            }
            Err((reply, end)) => {
                if !reply.flags.is_ours() {
                    held.failed();
                }
                *end
            }
        };
        let ended = Ended { end, replayable: body.is_possible() };
        let left = timers.left(start.elapsed());
        let next = retries.after(&policy, &ended, left, call.may_retry(), &mut rand::rng());
        match next {
            Next::Again(pause) => {
                fresh = matches!(end, End::Reset { sent: false, .. });
                retry = true;
                drop((outcome, held));
                tokio::time::sleep(pause).await;
                call = session.call(onward.backend.as_ref()).map_err(uncallable)?;
            }
            Next::Give(why) => {
                match why {
                    Why::Exhausted => drop(report.flag(RequestFlags::RETRIES_EXCEEDED)),
                    Why::OverBudget => drop(report.flag(RequestFlags::OVERFLOW)),
                    Why::NotRetriable | Why::NotReplayable | Why::OutOfTime => {}
                }
                let ((response, mut lease), deadline) = outcome.map_err(|(reply, _)| reply)?;
                lease.hold(held);
                report.upstream_time(start.elapsed().saturating_sub(began));
                let endpoint = place.key;
                return Ok(Answered { response, lease, onward, affinity, endpoint, deadline });
            }
        }
    }
}

/// What outlier detection counts; `None` where only trailers will tell.
fn counted(status: StatusCode, grpc: bool, told: Option<u16>) -> Option<Outcome> {
    match told {
        Some(told) if grpc => Some(Outcome::Status(http_status(told))),
        None if grpc && status.is_success() => None,
        _ => Some(Outcome::Status(status.as_u16())),
    }
}

/// A response, and when it must have ended.
type Timely = ((Response<Incoming>, Lease), Option<tokio::time::Instant>);

/// Waits for a try no longer than it may take.
async fn within(
    due: Due,
    sending: impl Future<Output = Result<(Response<Incoming>, Lease), (Reply, End)>>,
) -> Result<Timely, (Reply, End)> {
    let (limit, end) = match due {
        Due::Never => return Ok((sending.await?, None)),
        Due::Try(limit) => (limit, End::TimedOut),
        Due::Request(limit) => (limit, End::Terminal),
    };
    let deadline = tokio::time::Instant::now() + limit;
    match tokio::time::timeout_at(deadline, sending).await {
        Ok(answered) => Ok((answered?, Some(deadline))),
        Err(_) => Err((timed_out(), end)),
    }
}

/// What a request is told whose time is up.
fn timed_out() -> Reply {
    let (status, flags) = (StatusCode::GATEWAY_TIMEOUT, RequestFlags::TIMED_OUT);
    Reply::new(status, flags, "upstream request timeout", "response_timeout")
}

fn choose(call: &Call, affinity: &Affinity, tried: &[SocketAddr], avoid: bool) -> Result<Place, Reply> {
    let session = affinity.session.as_ref().filter(|_| tried.is_empty());
    let wish = Wish {
        hash: affinity.hash,
        session: session.map(|session| &*session.endpoint),
        avoid: if avoid { tried } else { &[] },
    };
    call.choose(wish, &mut rand::rng()).cloned().map_err(uncallable)
}

/// What a client is told of a service that nothing can be sent to.
pub fn uncallable(why: Uncallable) -> Reply {
    let details = format!("no_healthy_upstream{{{why}}}");
    match why {
        Uncallable::Gone(_) | Uncallable::Rules(_) => {
            Reply::new(StatusCode::SERVICE_UNAVAILABLE, RequestFlags::NO_CLUSTER, "", details)
        }
        Uncallable::Moved(_)
        | Uncallable::NoEndpoint(_)
        | Uncallable::NoWay(_)
        | Uncallable::EmptySubset(_)
        | Uncallable::Ejected => Reply::no_endpoint(details),
    }
}

/// One try.
async fn attempt<N: Network>(
    session: &Session<N>,
    call: &Call,
    place: &Place,
    (version, host): (Version, &str),
    request: Request<RequestBody>,
    progress: Arc<Progress>,
    fresh: bool,
) -> Result<(Response<Incoming>, Lease), (Reply, End)> {
    let own = session.proxy.own(&session.proxy.configuration.snapshot()).workload;
    let connect = |authority| session.shared_connect_request(authority, &own);
    let lease = lease(&session.proxy, &call.current, &place.endpoint, version, host, fresh, connect).await;
    let lease = lease.map_err(|error| (error.reply(), error.end()))?;
    let sent = send(lease, request, progress).await;
    sent.map_err(|(error, reused)| (error.reply(), error.end(reused)))
}
