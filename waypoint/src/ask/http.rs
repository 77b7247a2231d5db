//! Asking over HTTP: the head of the request is sent, 200 allows.

use ambit_external::authorization::{Change, HeaderChange};
use ambit_model::Text;
use ambit_model::l7::mesh::{Provider, ProviderKind};
use ambit_policy::request::{Request, strip_connection};
use ambit_telemetry::requests::RequestFlags;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode, Uri};

use super::{Allowed, Failure, exchange};
use crate::network::Network;
use crate::reply::Reply;
use crate::sent::RequestBody;
use crate::session::Session;

pub(super) async fn ask<N: Network>(
    session: &Session<N>,
    provider: &Provider,
    request: &mut Request,
    told: Option<(Bytes, bool)>,
) -> Result<Allowed, Failure> {
    let ProviderKind::AuthorizeHttp {
        to_upstream_on_allow,
        to_downstream_on_deny,
        to_downstream_on_allow,
        ..
    } = &provider.kind
    else {
        return Err(Failure::Refused(
            StatusCode::FORBIDDEN,
            "the provider is not asked over HTTP".to_owned(),
        ));
    };
    let message = question(provider, request, told).ok_or_else(|| {
        Failure::Refused(StatusCode::FORBIDDEN, "the question cannot be written".to_owned())
    })?;
    let (head, body, _) = exchange(session, provider, None, message).await?;
    let (head, ()) = head.into_parts();
    let mut headers = head.headers;
    strip_connection(&mut headers, false);
    headers.remove(CONTENT_LENGTH);
    if head.status == StatusCode::OK {
        for (name, value) in chosen(&headers, to_upstream_on_allow) {
            request.headers.insert(name, value);
        }
        let told = chosen(&headers, to_downstream_on_allow);
        let change = |(name, value)| HeaderChange { name, value, change: Change::Append };
        return Ok(Allowed { response: told.map(change).collect() });
    }
    if head.status.is_server_error() {
        return Err(Failure::Unanswered(format!("it answers {}", head.status)));
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let mut reply = Reply::new(head.status, RequestFlags::UNAUTHORIZED, text, "ext_authz_denied");
    let always = [WWW_AUTHENTICATE, LOCATION];
    let goes = |name: &HeaderName| {
        to_downstream_on_deny.is_empty() || always.contains(name) || is_listed(name, to_downstream_on_deny)
    };
    reply.headers = pairs(&headers).filter(|(name, _)| goes(name)).collect();
    Err(Failure::Denied(reply.into()))
}

/// The request as it is asked about: its method, host and path, and of its headers those that are asked for.
fn question(
    provider: &Provider,
    request: &Request,
    told: Option<(Bytes, bool)>,
) -> Option<http::Request<RequestBody>> {
    let ProviderKind::AuthorizeHttp { path_prefix, include_request_headers, additional_headers, .. } =
        &provider.kind
    else {
        return None;
    };
    let target = match request.query() {
        Some(query) => format!("{path_prefix}{}?{query}", request.path()),
        None => format!("{path_prefix}{}", request.path()),
    };
    let (body, whole) = told.map_or((Bytes::new(), None), |(body, whole)| (body, Some(whole)));
    let mut message = http::Request::new(RequestBody::own(body));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = Uri::from(PathAndQuery::try_from(target).ok()?);
    let headers = message.headers_mut();
    headers.insert(HOST, HeaderValue::try_from(request.authority().as_str()).ok()?);
    for (name, value) in pairs(&request.headers) {
        if name == AUTHORIZATION || is_listed(&name, include_request_headers) {
            headers.append(name, value);
        }
    }
    headers.remove(CONTENT_LENGTH);
    strip_connection(headers, false);
    if let Some(whole) = whole {
        let partly = HeaderValue::from_static(if whole { "false" } else { "true" });
        headers.insert("x-envoy-auth-partial-body", partly);
    }
    for (name, value) in additional_headers {
        headers.insert(HeaderName::try_from(&**name).ok()?, HeaderValue::try_from(&**value).ok()?);
    }
    Some(message)
}

fn chosen(headers: &HeaderMap, list: &[Text]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    pairs(headers).filter(|(name, _)| is_listed(name, list))
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    headers.iter().map(|(name, value)| (name.clone(), value.clone()))
}

/// Whether a name is in a list of names, of which `*` may begin or end.
fn is_listed(name: &HeaderName, list: &[Text]) -> bool {
    let name = name.as_str();
    list.iter().any(|listed| {
        let listed = listed.to_ascii_lowercase();
        match (listed.strip_prefix('*'), listed.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (None, Some(begin)) => name.starts_with(begin),
            (None, None) => name == listed,
        }
    })
}
