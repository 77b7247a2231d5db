//! May this request pass? What an external service says (Istio CUSTOM policies, Envoy ext_authz). Whoever does not answer,
//! or answers what is not understood, has not allowed it.

mod grpc;
mod http;

use std::sync::Arc;

use ::http::{HeaderMap, Response, StatusCode};
use ambit_external::authorization::HeaderChange;
use ambit_model::l7::mesh::{ExternalAuthorization, Provider, ProviderKind};
use ambit_model::l7::route::BackendRef;
use ambit_model::service::ServiceKey;
use ambit_policy::Matched;
use ambit_policy::request::Request;
use ambit_telemetry::requests::RequestFlags;
use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::body::Progress;
use crate::destinations::Wish;
use crate::network::Network;
use crate::replay::Replay;
use crate::reply::Reply;
use crate::sent::RequestBody;
use crate::session::Session;
use crate::upstream::{Version, lease, send};

/// Longest answer that is read.
const MOST: usize = 1 << 20;

/// What an allowing answer has done.
#[derive(Debug, Default)]
pub struct Allowed {
    /// Headers of the response, on its way to the client.
    pub response: Vec<HeaderChange>,
}

/// Why there is no answer to go by.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be had: the provider's setting says what becomes of the request.
    Unanswered(String),
    /// The request is refused whatever the setting: what came is not understood, or the body is too long to be judged.
    Refused(StatusCode, String),
    /// The service denies.
    Denied(Box<Reply>),
}

/// Asks every service that policies name for this request, one after the other. The request is changed as they say.
///
/// # Errors
/// One of them does not allow it: what the client is told.
pub async fn ask<N: Network>(
    session: &Session<N>,
    asked: impl IntoIterator<Item = (ambit_model::Text, Matched)>,
    request: &mut Request,
    body: &Replay,
) -> Result<Allowed, Reply> {
    let mesh = session.proxy.rules.mesh();
    let mut allowed = Allowed::default();
    for (name, policy) in asked {
        let provider = mesh.providers.iter().find(|provider| provider.name == name);
        let Some((provider, common)) = provider.and_then(|each| Some((each, common(each)?))) else {
            let why = format!("{policy}: no provider {name} that authorizes is in the mesh's configuration");
            return Err(denied(StatusCode::FORBIDDEN, &why));
        };
        let asking = Box::pin(one(session, provider, common, request, body));
        let failure = match tokio::time::timeout(common.timeout, asking).await {
            Ok(Ok(more)) => {
                allowed.response.extend(more.response);
                continue;
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Unanswered(format!("no answer within {:?}", common.timeout)),
        };
        match failure {
            Failure::Unanswered(why) if common.fail_open => {
                tracing::warn!(provider = %name, why, "a request passes although nobody answers for it");
            }
            Failure::Unanswered(why) => {
                let status = StatusCode::from_u16(common.status_on_error).unwrap_or(StatusCode::FORBIDDEN);
                return Err(denied(status, &format!("{policy}: {name}: {why}")));
            }
            Failure::Refused(status, why) => return Err(denied(status, &format!("{policy}: {name}: {why}"))),
            Failure::Denied(reply) => return Err(*reply),
        }
    }
    Ok(allowed)
}

fn common(provider: &Provider) -> Option<&ExternalAuthorization> {
    match &provider.kind {
        ProviderKind::AuthorizeGrpc(common) | ProviderKind::AuthorizeHttp { common, .. } => Some(common),
        ProviderKind::Spans { .. } => None,
    }
}

fn denied(status: StatusCode, why: &str) -> Reply {
    Reply::new(status, RequestFlags::UNAUTHORIZED, "", format!("ext_authz_error{{{why}}}"))
}

async fn one<N: Network>(
    session: &Session<N>,
    provider: &Provider,
    common: &ExternalAuthorization,
    request: &mut Request,
    body: &Replay,
) -> Result<Allowed, Failure> {
    let told = match common.body {
        None => None,
        Some((most, partly)) => {
            let read = body.ahead(most as usize, partly).await;
            let (bytes, whole) =
                read.map_err(|error| Failure::Refused(StatusCode::BAD_REQUEST, error.to_string()))?;
            if !whole && !partly {
                let why = format!("the body is longer than the {most} bytes that may be looked at");
                return Err(Failure::Refused(StatusCode::PAYLOAD_TOO_LARGE, why));
            }
            Some((bytes, whole))
        }
    };
    match &provider.kind {
        ProviderKind::AuthorizeGrpc(_) => grpc::ask(session, provider, request, told).await,
        ProviderKind::AuthorizeHttp { .. } => http::ask(session, provider, request, told).await,
        ProviderKind::Spans { .. } => {
            Err(Failure::Refused(StatusCode::FORBIDDEN, "the provider does not authorize".to_owned()))
        }
    }
}

/// Sends a request of ours to the provider's service, and reads the answer in full.
async fn exchange<N: Network>(
    session: &Session<N>,
    provider: &Provider,
    version: Option<Version>,
    request: ::http::Request<RequestBody>,
) -> Result<(Response<()>, Bytes, Option<HeaderMap>), Failure> {
    let failed = |why: String| Failure::Unanswered(why);
    let service = service(session, provider)
        .ok_or_else(|| failed(format!("service {} is not known", provider.service)))?;
    let to = BackendRef { service, port: provider.port, subset: None };
    let call = session.call(Some(&to)).map_err(|why| failed(why.to_string()))?;
    let place =
        call.choose(Wish::default(), &mut rand::rng()).map_err(|why| failed(why.to_string()))?.clone();
    let mut held = call.begin(&place, false).ok_or_else(|| failed("the service has no room".to_owned()))?;
    let version = version.unwrap_or_else(|| match call.current.protocol() {
        ambit_model::service::AppProtocol::Http2 | ambit_model::service::AppProtocol::Grpc => Version::Http2,
        _ => Version::Http1,
    });
    let own = session.proxy.own(&session.proxy.configuration.snapshot()).workload;
    let connect = |authority| session.shared_connect_request(authority, &own);
    let host = &to.service.hostname;
    let leased = lease(&session.proxy, &call.current, &place.endpoint, version, host, false, connect).await;
    let leased = leased.map_err(|error| {
        held.failed();
        failed(error.to_string())
    })?;
    let progress = Arc::<Progress>::default();
    let request = crate::outgoing::addressed(request, version)
        .ok_or_else(|| failed("the question cannot be written".to_owned()))?;
    let sent = send(leased, request, progress.clone()).await;
    let (response, lease) = sent.map_err(|(error, _)| {
        held.failed();
        failed(error.to_string())
    })?;
    held.answered(Some(ambit_policy::request::outlier::Outcome::Status(response.status().as_u16())));
    let (head, body) = response.into_parts();
    let (bytes, trailers) = read(body).await.map_err(failed)?;
    // It was written here in one piece.
    progress.end();
    lease.release();
    Ok((Response::from_parts(head, ()), bytes, trailers))
}

async fn read(body: Incoming) -> Result<(Bytes, Option<HeaderMap>), String> {
    if body.size_hint().lower() > MOST as u64 {
        return Err("the answer is too long".to_owned());
    }
    let collected = Limited::new(body, MOST).collect().await.map_err(|error| error.to_string())?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}

/// The provider's service: `namespace/host`, or a host, of which the nearest counts.
fn service<N: Network>(session: &Session<N>, provider: &Provider) -> Option<ServiceKey> {
    let snapshot = session.proxy.configuration.snapshot();
    let (namespace, host) = match provider.service.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, &*provider.service),
    };
    let named = snapshot.services_named(host).iter();
    let admitted =
        named.filter(|service| namespace.is_none_or(|namespace| *service.key.namespace == *namespace));
    let own = &session.proxy.settings.namespace;
    let nearest = admitted.max_by_key(|service| (service.key.namespace == *own, service.canonical));
    nearest.map(|service| service.key.clone())
}

/// The provider's host, as it is asked for.
fn host(provider: &Provider) -> String {
    let host = provider.service.rsplit('/').next().unwrap_or_default();
    format!("{host}:{}", provider.port)
}
