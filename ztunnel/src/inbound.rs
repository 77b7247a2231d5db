//! The inbound flow: a tunnel of another proxy, and each connection in it. accept (TLS, CONNECT) -> arrival -> relay ->
//! report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_app::outcome::{Counted, of_relay};
use ambit_hbone::Incoming;
use ambit_identity::tls::{self, TlsStream};
use ambit_model::{Identity, Workload};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::labels::Reporter;
use ambit_telemetry::report::{ConnectionReport, Failure, Severity};
use ambit_transport::{Watch, relay};

use crate::arrival::{Admitted, Arrival, Turned};
use crate::connections::Carried;
use crate::network::{Ends, Network, Stream};
use crate::pod::Pod;
use crate::proxy::Proxy;

/// Longest wait for the pod's own certificate when a tunnel arrives before it.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(5);

/// A tunnel as far as its streams need to know it.
#[derive(Debug)]
struct Tunnel<N: Network> {
    proxy: Arc<Proxy<N>>,
    pod: Arc<Pod>,
    own: Arc<Workload>,
    /// The TCP peer, and where its connection arrived.
    ends: Ends,
    /// Who it proved to be.
    identity: Identity,
    drain: Watch,
}

/// Serves one connection to port 15008 until it ends.
pub async fn tunnel<N: Network, S: Stream>(
    proxy: Arc<Proxy<N>>,
    pod: Arc<Pod>,
    stream: S,
    ends: Ends,
    drain: Watch,
) {
    let start = Instant::now();
    let Ends { peer, destination } = ends;
    let (stream, tunnel) = match Box::pin(handshake(&proxy, &pod, stream, ends, &drain)).await {
        Ok(accepted) => accepted,
        Err(failure) => {
            let report =
                ConnectionReport::accepted(&proxy.traffic, Reporter::Destination, start, peer, destination);
            report.finish(Err(failure));
            return;
        }
    };
    let tunnel = Arc::new(tunnel);
    let serve = ambit_hbone::serve(stream, &proxy.tunnel_server, drain, |incoming| {
        Box::pin(connection(tunnel.clone(), incoming))
    });
    if let Err(error) = Box::pin(serve).await {
        tracing::debug!(%peer, identity = %tunnel.identity, %error, "inbound tunnel ended");
    }
}

async fn handshake<N: Network, S: Stream>(
    proxy: &Arc<Proxy<N>>,
    pod: &Arc<Pod>,
    mut stream: S,
    ends: Ends,
    drain: &Watch,
) -> Result<(TlsStream<S>, Tunnel<N>), Failure> {
    let Some(_seat) = proxy.handshakes.take(ends.peer.ip()) else {
        stream.abort();
        return Err(Failure::new(
            ResponseFlag::TlsFailure,
            "too many handshakes are under way, in all or from this address",
        )
        .with_severity(Severity::Debug));
    };
    let unprepared = |reason: String| Failure::new(ResponseFlag::IdentityError, reason);
    let own = pod.known(&proxy.configuration).await.map_err(|unknown| unprepared(unknown.to_string()))?;
    let certificate = tokio::time::timeout(CERTIFICATE_PATIENCE, proxy.certificate(&own.identity));
    let certificate = match certificate.await {
        Ok(Ok(certificate)) => certificate,
        Ok(Err(error)) => return Err(unprepared(format!("no certificate for {}: {error}", own.identity))),
        Err(_) => {
            let waited = format!("no certificate for {} within {CERTIFICATE_PATIENCE:?}", own.identity);
            return Err(unprepared(waited));
        }
    };
    let (stream, identity) = tls::accept_with(proxy.settings.tls, stream, &certificate)
        .await
        .map_err(|error| Failure::new(ResponseFlag::TlsFailure, error).with_severity(Severity::Warning))?;
    let (proxy, pod, drain) = (proxy.clone(), pod.clone(), drain.clone());
    Ok((stream, Tunnel { proxy, pod, own, ends, identity, drain }))
}

/// One CONNECT of a tunnel, from the request to its end.
async fn connection<N: Network>(tunnel: Arc<Tunnel<N>>, incoming: Incoming) {
    let _seat = tunnel.proxy.seat();
    let arrival = Arrival {
        proxy: &tunnel.proxy,
        pod: &tunnel.pod,
        own: &tunnel.own,
        ends: tunnel.ends,
        identity: &tunnel.identity,
        authority: incoming.authority().clone(),
        asked: incoming.forwarded_host(),
        carried: Carried::Tunnel,
    };
    let mut report = arrival.report();
    let outcome = carry(&tunnel, arrival, incoming, &mut report).await;
    report.finish(outcome);
}

async fn carry<N: Network>(
    tunnel: &Tunnel<N>,
    arrival: Arrival<'_, N>,
    mut incoming: Incoming,
    report: &mut ConnectionReport,
) -> Result<(), Failure> {
    let Tunnel { proxy, pod, drain, .. } = tunnel;
    let admitted = match arrival.admit(incoming.canceled(), report).await {
        Ok(admitted) => admitted,
        Err(Turned::Away(status, details, failure)) => {
            if let Err(gone) = incoming.refuse(status, &details) {
                tracing::debug!(%gone, "a refused client did not wait for the answer");
            }
            return Err(failure);
        }
        Err(Turned::GaveUp) => return Err(Turned::gave_up()),
    };
    let Admitted { application, mut place, own, line: _line } = admitted;
    let baggage = proxy.settings.response_baggage.then(|| pod.baggage(&own)).flatten();
    let stream = incoming
        .accept(baggage)
        .map_err(|gone| Failure::new(ResponseFlag::None, gone).with_severity(Severity::Information))?;
    let close = async {
        tokio::select! {
            reason = place.closed() => reason,
            reason = proxy.cut(pod, drain) => reason,
        }
    };
    of_relay(relay(stream, application, &Counted(report), proxy.limits(), close).await)
}
