//! Asking over gRPC.

use std::time::SystemTime;

use ambit_external::authorization::{Answer, HeaderChange, PATH, Question};
use ambit_model::l7::mesh::Provider;
use ambit_policy::request::{Request, told_status};
use ambit_telemetry::requests::RequestFlags;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::{Method, StatusCode};

use super::{Allowed, Failure, exchange};
use crate::headers::REQUEST_ID;
use crate::network::Network;
use crate::reply::Reply;
use crate::sent::RequestBody;
use crate::session::Session;
use crate::upstream::Version;

pub(super) async fn ask<N: Network>(
    session: &Session<N>,
    provider: &Provider,
    request: &mut Request,
    told: Option<(Bytes, bool)>,
) -> Result<Allowed, Failure> {
    let question = question(session, request, told);
    let mut message = http::Request::new(RequestBody::own(question));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = http::Uri::from_static(PATH);
    let headers = message.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Ok(host) = HeaderValue::try_from(super::host(provider)) {
        headers.insert(http::header::HOST, host);
    }
    let (head, bytes, trailers) = exchange(session, provider, Some(Version::Http2), message).await?;
    let status = trailers.as_ref().and_then(told_status).or_else(|| told_status(head.headers()));
    if head.status() != StatusCode::OK || status != Some(0) {
        let why = format!("it answers {} with gRPC status {status:?}", head.status());
        return Err(Failure::Unanswered(why));
    }
    let refused = |why: String| Failure::Refused(StatusCode::FORBIDDEN, why);
    match Answer::decode(&bytes).map_err(|why| refused(why.to_string()))? {
        Answer::Allow { request: changes, remove, response } => {
            for name in remove {
                request.headers.remove(name);
            }
            for change in changes {
                change.apply(&mut request.headers);
            }
            Ok(Allowed { response })
        }
        Answer::Deny { status, headers, body } => {
            let details = "ext_authz_denied";
            let mut reply = Reply::new(status, RequestFlags::UNAUTHORIZED, body, details);
            reply.headers =
                headers.into_iter().map(|HeaderChange { name, value, .. }| (name, value)).collect();
            Err(Failure::Denied(reply.into()))
        }
    }
}

fn question<N: Network>(session: &Session<N>, request: &Request, told: Option<(Bytes, bool)>) -> Bytes {
    let path = match request.query() {
        Some(query) => format!("{}?{query}", request.path()),
        None => request.path().to_owned(),
    };
    let principal = request.client.identity.as_ref().map(ToString::to_string);
    let own = session.proxy.settings.identity.to_string();
    let id = request.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let destination = request.destination.ip.map(|ip| (ip, request.destination.port).into());
    let mut headers = request.headers.clone();
    let body = told.as_ref().map(|(body, whole)| {
        // Envoy's word for a body that is told in part.
        headers.insert(
            "x-envoy-auth-partial-body",
            HeaderValue::from_static(if *whole { "false" } else { "true" }),
        );
        &body[..]
    });
    Question {
        time: SystemTime::now(),
        client: session.client.address,
        client_principal: principal.as_deref(),
        destination,
        own_principal: &own,
        id: id.unwrap_or_default(),
        method: request.method.as_str(),
        scheme: "http",
        host: request.authority().as_str(),
        path: &path,
        protocol: match request.version {
            http::Version::HTTP_2 => "HTTP/2",
            http::Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        },
        headers: &headers,
        body,
    }
    .encode()
}
