//! Sending a request to an endpoint of its backend, and the response back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_model::Text;
use ambit_model::l7::route::{BackendRef, Timeouts};
use ambit_model::service::AppProtocol;
use ambit_policy::request::retry::{Due, End, Ended, Next, Retries, RetryPolicy, Why};
use ambit_policy::request::{
    Choice, CompiledRule, Head, Request as Canonical, Timers, strip_connection, told_status,
};
use ambit_telemetry::requests::{RequestFlags, RequestReport};
use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use smallvec::SmallVec;

use crate::body::{Progress, ResponseBody, head_size};
use crate::endpoint::Endpoint;
use crate::network::Network;
use crate::replay::{Replay, RequestBody};
use crate::reply::Reply;
use crate::session::{Nobody, Session};
use crate::upstream::{Lease, Version, lease, send};

/// Longest wait for a connection to an endpoint (Istio's `connectTimeout`).
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Draws of another endpoint for a retry (Istio's `hostSelectionRetryMaxAttempts`).
const RESELECTIONS: usize = 5;

/// A request that goes on: as its backend will see it, and what is done to the response.
#[derive(Debug)]
pub struct Onward {
    head: Head,
    /// `None`: what the client asked for.
    backend: Option<BackendRef>,
    rule: Option<(Arc<CompiledRule>, usize)>,
    /// The origin that may read the response.
    origin: Option<HeaderValue>,
}

/// A response whose body is still to come.
#[derive(Debug)]
pub struct Answered {
    /// Its head.
    pub response: Response<Incoming>,
    /// The connection that it comes on.
    pub lease: Lease,
    /// How its request went on.
    pub onward: Onward,
    /// When it must have ended.
    pub deadline: Option<tokio::time::Instant>,
}

impl Onward {
    /// To what the client asked for, as it is.
    pub fn to_itself(request: &Canonical) -> Self {
        Self { head: Head::new(request, 0), backend: None, rule: None, origin: None }
    }

    /// To the rule's backend of this number.
    pub fn by_rule(
        head: Head,
        rule: Arc<CompiledRule>,
        number: usize,
        backend: BackendRef,
        origin: Option<HeaderValue>,
    ) -> Self {
        Self { head, backend: Some(backend), rule: Some((rule, number)), origin }
    }

    fn timeouts(&self) -> Timeouts {
        self.rule.as_ref().map_or_else(Timeouts::default, |(rule, _)| rule.rule().timeouts)
    }

    fn retries<N: Network>(&self, session: &Session<N>) -> RetryPolicy {
        let own = self.rule.as_ref().and_then(|(rule, _)| rule.rule().retry.as_ref());
        match own {
            Some(retry) => RetryPolicy::of_rule(retry),
            None => RetryPolicy::of_mesh(session.proxy.rules.mesh().retry.as_ref()),
        }
    }

    /// The endpoint's response on its way to the client.
    pub fn respond(
        self,
        response: Response<Incoming>,
        lease: Lease,
        deadline: Option<tokio::time::Instant>,
        mut report: RequestReport,
        grpc: bool,
    ) -> Response<ResponseBody> {
        let (mut head, body) = response.into_parts();
        strip_connection(&mut head.headers, false);
        head.headers.remove(http::header::TE);
        if let Some((rule, number)) = &self.rule {
            if let Choice::Backend { filters, .. } = rule.backend(*number) {
                filters.change_response(&mut head.headers);
            }
            rule.filters().change_response(&mut head.headers);
            if let (Some(cors), Some(origin)) = (rule.filters().cors(), &self.origin) {
                cors.decorate(origin, &mut head.headers);
            }
        }
        head.version = http::Version::HTTP_11;
        head.extensions.clear();
        report.code(head.status.as_u16()).details("via_upstream");
        if grpc && let Some(status) = told_status(&head.headers) {
            report.grpc_status(status);
        }
        report.bytes().response(head_size(&head.headers));
        Response::from_parts(head, ResponseBody::endpoint(body, lease, report, grpc, deadline))
    }
}

/// Sends the request on, as often as its policy has it, and waits for the head of its response.
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
    let mut fresh = false;
    loop {
        let avoid = if policy.avoids_previous() { &tried[..] } else { &[] };
        let (endpoint, protocol) = endpoint(session, onward.backend.as_ref(), avoid, report)?;
        report.upstream(endpoint.workload.clone(), endpoint.address);
        tried.push(endpoint.address);
        let version = version(protocol, request.version, upgrade.is_some(), grpc)?;
        let (try_body, progress) = body.body();
        let outgoing = outgoing(request, &onward.head, upgrade.clone(), version, try_body)?;
        let began = start.elapsed();
        let due = timers.due(began);
        let outcome = within(due, attempt(session, &endpoint, version, outgoing, progress, fresh)).await;
        let end = match &outcome {
            Ok(((response, _), _)) => {
                End::Response { status: response.status(), grpc: told_status(response.headers()) }
            }
            Err((_, end)) => *end,
        };
        let ended = Ended { end, replayable: body.is_possible() };
        let left = timers.left(start.elapsed());
        let next = retries.after(&policy, &ended, left, true, &mut rand::rng());
        match next {
            Next::Again(pause) => {
                fresh = matches!(end, End::Reset { sent: false, .. });
                drop(outcome);
                tokio::time::sleep(pause).await;
            }
            Next::Give(why) => {
                if why == Why::Exhausted {
                    report.flag(RequestFlags::RETRIES_EXCEEDED);
                }
                let ((response, lease), deadline) = outcome.map_err(|(reply, _)| reply)?;
                report.upstream_time(start.elapsed().saturating_sub(began));
                return Ok(Answered { response, lease, onward, deadline });
            }
        }
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

/// Where the request goes, and what its port declares.
fn endpoint<N: Network>(
    session: &Session<N>,
    backend: Option<&BackendRef>,
    avoid: &[SocketAddr],
    report: &mut RequestReport,
) -> Result<(Endpoint, AppProtocol), Reply> {
    let snapshot = session.proxy.configuration.snapshot();
    let Some(backend) = backend else {
        let endpoint = another(avoid, || session.endpoint(&snapshot)).map_err(nobody)?;
        return Ok((endpoint, session.target.protocol()));
    };
    let port = if backend.port == 0 { session.target.port() } else { backend.port };
    let service = snapshot.service(&backend.service).cloned();
    let service = service.ok_or_else(|| nobody(Nobody::Gone(backend.service.clone())))?;
    report.service(service.clone(), port);
    if let Some(subset) = &backend.subset {
        return Err(no_subset(subset));
    }
    let listed = service.ports.iter().find(|listed| listed.service_port == port);
    let protocol = listed.map(|listed| listed.protocol).unwrap_or_default();
    let endpoint = another(avoid, || session.endpoint_of(&snapshot, &service, port)).map_err(nobody)?;
    Ok((endpoint, protocol))
}

/// An endpoint that was not tried, if one is found in a few draws (Envoy's `previous_hosts`).
fn another(avoid: &[SocketAddr], draw: impl Fn() -> Result<Endpoint, Nobody>) -> Result<Endpoint, Nobody> {
    let mut drawn = draw()?;
    for _ in 0..RESELECTIONS {
        if !avoid.contains(&drawn.address) {
            break;
        }
        drawn = draw()?;
    }
    Ok(drawn)
}

fn no_subset(subset: &Text) -> Reply {
    Reply::no_endpoint(format!("no_healthy_upstream{{no DestinationRule defines subset {subset}}}"))
}

fn nobody(nobody: Nobody) -> Reply {
    let details = format!("no_healthy_upstream{{{nobody}}}");
    match nobody {
        Nobody::Gone(_) | Nobody::Uncallable(_) => {
            Reply::new(StatusCode::SERVICE_UNAVAILABLE, RequestFlags::NO_CLUSTER, "", details)
        }
        Nobody::Moved(_) | Nobody::NoEndpoint(_) | Nobody::NoWay(_) => Reply::no_endpoint(details),
    }
}

/// One try.
async fn attempt<N: Network>(
    session: &Session<N>,
    endpoint: &Endpoint,
    version: Version,
    request: Request<RequestBody>,
    progress: Arc<Progress>,
    fresh: bool,
) -> Result<(Response<Incoming>, Lease), (Reply, End)> {
    let own = session.proxy.own(&session.proxy.configuration.snapshot()).workload;
    let connect = |authority| session.shared_connect_request(authority, &own);
    let lease = lease(&session.proxy, endpoint, version, fresh, connect, CONNECT_PATIENCE).await;
    let lease = lease.map_err(|error| (error.reply(), End::ConnectFailed))?;
    let sent = send(lease, request, progress).await;
    sent.map_err(|(error, reused)| (error.reply(), error.end(reused)))
}

/// What the endpoint is spoken to in: what its port declares, else what the client speaks.
fn version(
    declared: AppProtocol,
    client: http::Version,
    upgrade: bool,
    grpc: bool,
) -> Result<Version, Reply> {
    let version = match declared {
        _ if upgrade => Version::Http1,
        AppProtocol::Http2 | AppProtocol::Grpc => Version::Http2,
        AppProtocol::Http11 => Version::Http1,
        AppProtocol::Unknown | AppProtocol::Tcp | AppProtocol::Tls if client == http::Version::HTTP_2 => {
            Version::Http2
        }
        AppProtocol::Unknown | AppProtocol::Tcp | AppProtocol::Tls => Version::Http1,
    };
    if grpc && version == Version::Http1 {
        // Its trailers, with the status of the call, would be lost.
        let text = "the port is declared as HTTP/1.1, over which gRPC does not go: declare it as grpc";
        let flags = RequestFlags::ENDPOINT_PROTOCOL;
        return Err(Reply::new(StatusCode::BAD_GATEWAY, flags, text, "grpc_over_http1"));
    }
    Ok(version)
}

/// The request as the endpoint gets it.
fn outgoing(
    asked: &Canonical,
    head: &Head,
    upgrade: Option<HeaderValue>,
    version: Version,
    body: RequestBody,
) -> Result<Request<RequestBody>, Reply> {
    let bad = || Reply::misconfigured("rewritten_request_invalid");
    let mut request = Request::new(body);
    *request.method_mut() = asked.method.clone();
    *request.headers_mut() = head.headers.clone();
    let target = PathAndQuery::try_from(head.target()).map_err(|_| bad())?;
    match version {
        Version::Http1 => {
            *request.version_mut() = http::Version::HTTP_11;
            *request.uri_mut() = Uri::from(target);
            let headers = request.headers_mut();
            headers.insert(HOST, HeaderValue::try_from(head.authority.as_str()).map_err(|_| bad())?);
            if let Some(to) = upgrade {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, to);
            }
        }
        Version::Http2 => {
            *request.version_mut() = http::Version::HTTP_2;
            request.headers_mut().remove(HOST);
            request.headers_mut().remove(CONNECTION);
            request.headers_mut().remove(UPGRADE);
            let mut uri = http::uri::Parts::default();
            uri.scheme = Some(Scheme::HTTP);
            uri.authority = Some(Authority::try_from(head.authority.as_str()).map_err(|_| bad())?);
            uri.path_and_query = Some(target);
            *request.uri_mut() = Uri::from_parts(uri).map_err(|_| bad())?;
        }
    }
    Ok(request)
}
