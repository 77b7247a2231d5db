//! A request as an endpoint gets it: in which version of HTTP, and how it is written. Pure.

use ambit_model::l7::destination_rule::ConnectionPool;
use ambit_model::service::AppProtocol;
use ambit_policy::request::Head;
use ambit_telemetry::requests::RequestFlags;
use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, StatusCode, Uri};

use crate::reply::Reply;
use crate::sent::RequestBody;
use crate::upstream::Version;

/// What the endpoint is spoken to in: what its port declares, unless its rules say otherwise; else what the client speaks.
///
/// # Errors
/// The request cannot go over that.
pub fn version(
    declared: AppProtocol,
    pool: Option<&ConnectionPool>,
    client: http::Version,
    upgrade: bool,
    grpc: bool,
) -> Result<Version, Reply> {
    let declared = match pool {
        Some(pool) if pool.use_client_protocol => AppProtocol::Unknown,
        Some(pool) if pool.upgrade == Some(true) => AppProtocol::Http2,
        _ => declared,
    };
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

/// A request of ours, whose target is a path and whose host is a header, in the form of the version; `None` where that
/// cannot be.
pub fn addressed(mut request: Request<RequestBody>, version: Version) -> Option<Request<RequestBody>> {
    if version == Version::Http1 {
        return Some(request);
    }
    let host = request.headers_mut().remove(HOST)?;
    *request.version_mut() = http::Version::HTTP_2;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
    uri.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    Some(request)
}

/// The request as the endpoint gets it.
///
/// # Errors
/// What filters made of it is no HTTP.
pub fn outgoing(
    method: &Method,
    head: &Head,
    upgrade: Option<HeaderValue>,
    version: Version,
    body: RequestBody,
) -> Result<Request<RequestBody>, Reply> {
    let bad = || Reply::misconfigured("rewritten_request_invalid");
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
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
