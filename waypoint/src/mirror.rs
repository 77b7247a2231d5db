//! Copies of requests for other backends (Gateway API RequestMirror, Istio `mirrors`): sent and forgotten. They never delay
//! or fail the request that they are copied from, are not counted as a client's, and begin no spans.

use std::sync::Arc;
use std::time::Duration;

use ambit_model::l7::route::BackendRef;
use ambit_policy::request::{Head, Request, draw};
use http::Method;
use http_body::Body;
use http_body_util::BodyExt;

use crate::body::Progress;
use crate::copy::Copied;
use crate::destinations::Wish;
use crate::network::Network;
use crate::onward::Onward;
use crate::outgoing::{outgoing, version};
use crate::replay::Replay;
use crate::sent::RequestBody;
use crate::session::Session;
use crate::trace;
use crate::upstream::{lease, send};

/// Copies under way at once, of one worker: beyond, none are made.
pub const MOST: u32 = 1024;
/// Longest that a copy may take, its response included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A copy of a request.
struct Mirrored {
    to: BackendRef,
    method: Method,
    version: http::Version,
    grpc: bool,
    head: Head,
    body: Copied,
}

/// Sends copies of a request that goes on to wherever its rule says.
pub fn mirror<N: Network>(session: &Arc<Session<N>>, request: &Request, onward: &Onward, body: &Replay) {
    for mirror in onward.mirrors() {
        if !draw(mirror.share, &mut rand::rng()) {
            continue;
        }
        let Some(permit) = session.proxy.mirrors.take() else {
            tracing::debug!(service = %mirror.to.service, "too many mirrored requests are under way");
            return;
        };
        let mut head = onward.head.clone();
        trace::unsample(&mut head.headers);
        let mirrored = Mirrored {
            to: mirror.to.clone(),
            method: request.method.clone(),
            version: request.version,
            grpc: request.is_grpc(),
            head,
            body: body.copy(),
        };
        let session = session.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let service = mirrored.to.service.clone();
            let sent = tokio::time::timeout(PATIENCE, Box::pin(carry(&session, mirrored))).await;
            let why = match sent {
                Ok(Ok(())) => return,
                Ok(Err(why)) => why,
                Err(_) => "it took too long".to_owned(),
            };
            tracing::debug!(%service, why, "a mirrored request was lost");
        });
    }
}

async fn carry<N: Network>(session: &Session<N>, mirrored: Mirrored) -> Result<(), String> {
    let Mirrored { to, method, version: client, grpc, head, body } = mirrored;
    let call = session.call(Some(&to)).map_err(|why| why.to_string())?;
    let place = call.choose(Wish::default(), &mut rand::rng()).map_err(|why| why.to_string())?.clone();
    let mut held = call.begin(&place, false).ok_or("the service has no room for it")?;
    let pool = call.current.policy().connections.as_ref();
    let told = |reply: crate::reply::Reply| reply.details.into_owned();
    let version = version(call.current.protocol(), pool, client, false, grpc).map_err(told)?;
    let request = outgoing(&method, &head, None, version, RequestBody::Copy(body)).map_err(told)?;
    let own = session.proxy.own(&session.proxy.configuration.snapshot()).workload;
    let connect = |authority| session.shared_connect_request(authority, &own);
    let host = head.authority.host();
    let leased = lease(&session.proxy, &call.current, &place.endpoint, version, host, false, connect).await;
    let lease = leased.map_err(|error| {
        held.failed();
        error.to_string()
    })?;
    let progress = Arc::<Progress>::default();
    if request.body().is_end_stream() {
        progress.end();
    }
    let sent = send(lease, request, progress).await;
    let (response, lease) = sent.map_err(|(error, _)| error.to_string())?;
    held.answered(None);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| error.to_string())?;
    }
    lease.release();
    Ok(())
}
