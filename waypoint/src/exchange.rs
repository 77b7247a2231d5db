//! One request, from its head to the head of its response: prepare -> forward -> respond. The report goes with the body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_model::service::AppProtocol;
use ambit_telemetry::requests::{RequestFlags, RequestReport, Words, is_logged};
use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE, USER_AGENT};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use crate::body::{RequestBody, ResponseBody, grpc_status, head_size};
use crate::headers::{FORWARDED_FOR, REQUEST_ID, is_grpc, prepare, strip_response, upgrade};
use crate::network::Network;
use crate::reply::Reply;
use crate::session::{Nobody, Session};
use crate::switch::switch;
use crate::upstream::{Lease, SendError, Version, lease, send};

/// Longest wait for a connection to an endpoint (Istio's `connectTimeout`).
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// What is known of a request once its head has been read.
#[derive(Debug)]
struct Asked {
    grpc: bool,
    /// The protocol that the client wants to change to.
    upgrade: Option<HeaderValue>,
    authority: Authority,
}

/// Answers a request.
pub async fn exchange<N: Network>(
    session: Arc<Session<N>>,
    mut request: Request<Incoming>,
) -> Response<ResponseBody> {
    let start = Instant::now();
    let mut report = session.request_report(start);
    report.bytes().request(request_size(&request));
    if is_logged() {
        report.words(words(&request));
    }
    let grpc = is_grpc(request.headers());
    if grpc {
        report.grpc();
    }
    let switching = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let asked = match asked(&head, grpc) {
        Ok(asked) => asked,
        Err(reply) => return reply.response(grpc, report),
    };
    let body = RequestBody::new(body, report.bytes());
    match forward(&session, &asked, head, body, &mut report).await {
        Ok((response, _lease)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switch(&session, switching, response, report)
        }
        Ok((response, lease)) => respond(response, lease, report, grpc),
        Err(reply) => reply.response(grpc, report),
    }
}

/// Reads what decides how the request is treated.
fn asked(head: &Parts, grpc: bool) -> Result<Asked, Reply> {
    if head.method == Method::CONNECT {
        let text = "this proxy opens no tunnels for requests";
        return Err(Reply::new(StatusCode::NOT_FOUND, RequestFlags::NO_ROUTE, text, "route_not_found"));
    }
    let authority = match head.uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => head.headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok()),
    };
    let authority = authority.ok_or_else(|| {
        Reply::new(StatusCode::BAD_REQUEST, RequestFlags::CLIENT_PROTOCOL, "", "missing_host_header")
    })?;
    Ok(Asked { grpc, upgrade: upgrade(head), authority })
}

/// Sends the request to an endpoint.
async fn forward<N: Network>(
    session: &Session<N>,
    asked: &Asked,
    head: Parts,
    body: RequestBody,
    report: &mut RequestReport,
) -> Result<(Response<Incoming>, Lease), Reply> {
    let snapshot = session.proxy.configuration.snapshot();
    let own = session.proxy.own(&snapshot).workload;
    let endpoint = session.endpoint(&snapshot).map_err(nobody)?;
    drop(snapshot);
    report.upstream(endpoint.workload.clone(), endpoint.address);
    let version = version(session.target.protocol(), head.version, asked)?;
    let progress = body.progress();
    let mut request = outgoing(session, asked, head, version, body)?;
    let sent = Instant::now();
    let mut fresh = false;
    loop {
        let connect = |authority| session.shared_connect_request(authority, &own);
        let lease = lease(&session.proxy, &endpoint, version, fresh, connect, CONNECT_PATIENCE);
        let lease = lease.await.map_err(|error| error.reply())?;
        match send(lease, request, progress.clone()).await {
            Ok(answered) => {
                report.upstream_time(sent.elapsed());
                return Ok(answered);
            }
            // A kept connection that the endpoint closed meanwhile. Nothing was sent, so a new one is no second try.
            Err(SendError::Gone(Some(back))) if !fresh => (request, fresh) = (*back, true),
            Err(error) => return Err(error.reply()),
        }
    }
}

fn nobody(nobody: Nobody) -> Reply {
    let details = format!("no_healthy_upstream{{{nobody}}}");
    match nobody {
        Nobody::Gone(_) => Reply::new(StatusCode::SERVICE_UNAVAILABLE, RequestFlags::NO_CLUSTER, "", details),
        Nobody::Moved(_) | Nobody::NoEndpoint(_) | Nobody::NoWay(_) => Reply::no_endpoint(details),
    }
}

/// What the endpoint is spoken to in: what its port declares, else what the client speaks.
fn version(declared: AppProtocol, client: http::Version, asked: &Asked) -> Result<Version, Reply> {
    let version = match declared {
        _ if asked.upgrade.is_some() => Version::Http1,
        AppProtocol::Http2 | AppProtocol::Grpc => Version::Http2,
        AppProtocol::Http11 => Version::Http1,
        AppProtocol::Unknown | AppProtocol::Tcp | AppProtocol::Tls if client == http::Version::HTTP_2 => {
            Version::Http2
        }
        AppProtocol::Unknown | AppProtocol::Tcp | AppProtocol::Tls => Version::Http1,
    };
    if asked.grpc && version == Version::Http1 {
        // Its trailers, with the status of the call, would be lost.
        let text = "the port is declared as HTTP/1.1, over which gRPC does not go: declare it as grpc";
        let flags = RequestFlags::ENDPOINT_PROTOCOL;
        return Err(Reply::new(StatusCode::BAD_GATEWAY, flags, text, "grpc_over_http1"));
    }
    Ok(version)
}

/// The request as the endpoint gets it.
fn outgoing<N: Network>(
    session: &Session<N>,
    asked: &Asked,
    mut head: Parts,
    version: Version,
    body: RequestBody,
) -> Result<Request<RequestBody>, Reply> {
    prepare(&mut head.headers, session.certificate_header.as_ref(), &mut rand::rng());
    let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let bad = |_| Reply::new(StatusCode::BAD_REQUEST, RequestFlags::CLIENT_PROTOCOL, "", "invalid_path");
    match version {
        Version::Http1 => {
            head.version = http::Version::HTTP_11;
            let host = HeaderValue::try_from(asked.authority.as_str());
            head.headers.insert(HOST, host.map_err(|_| bad(()))?);
            head.uri = Uri::from(path);
            if let Some(to) = &asked.upgrade {
                head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                head.headers.insert(UPGRADE, to.clone());
            }
        }
        Version::Http2 => {
            head.version = http::Version::HTTP_2;
            head.headers.remove(HOST);
            let mut uri = http::uri::Parts::default();
            uri.scheme = Some(Scheme::HTTP);
            uri.authority = Some(asked.authority.clone());
            uri.path_and_query = Some(path);
            head.uri = Uri::from_parts(uri).map_err(|_| bad(()))?;
        }
    }
    head.extensions.clear();
    Ok(Request::from_parts(head, body))
}

/// The endpoint's response on its way to the client.
fn respond(
    response: Response<Incoming>,
    lease: Lease,
    mut report: RequestReport,
    grpc: bool,
) -> Response<ResponseBody> {
    let (mut head, body) = response.into_parts();
    strip_response(&mut head.headers);
    head.version = http::Version::HTTP_11;
    head.extensions.clear();
    report.code(head.status.as_u16()).details("via_upstream");
    if grpc && let Some(status) = grpc_status(&head.headers) {
        report.grpc_status(status);
    }
    report.bytes().response(head_size(&head.headers));
    Response::from_parts(head, ResponseBody::endpoint(body, lease, report, grpc))
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
