//! The inbound flow: a tunnel of another proxy, and each connection in it. accept (TLS, CONNECT) -> target -> authorize ->
//! connect -> relay -> report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_hbone::{Authority, Baggage, Incoming};
use ambit_identity::tls::{self, TlsStream};
use ambit_model::traffic::Connection;
use ambit_model::{Identity, Workload};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::labels::{Reporter, SecurityPolicy};
use ambit_telemetry::report::{ConnectionReport, Failure, HboneTarget, Severity};
use ambit_transport::{Watch, relay};
use http::StatusCode;

use crate::admit::admit;
use crate::connections::{Seen, Way};
use crate::inbound_service::service;
use crate::inbound_target::target;
use crate::network::{Ends, Network, Stream};
use crate::outcome::{Counted, of_relay};
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
    let Ends { peer, destination } = tunnel.ends;
    let worker = &tunnel.proxy.traffic;
    let mut report =
        ConnectionReport::accepted(worker, Reporter::Destination, Instant::now(), peer, destination);
    report.security(SecurityPolicy::MutualTls).source_identity(tunnel.identity.clone());
    report.hbone_target(match incoming.authority() {
        Authority::Address(address) => HboneTarget::Address(*address),
        Authority::Host { hostname, port } => HboneTarget::Name(hostname.clone(), *port),
    });
    let outcome = carry(&tunnel, incoming, &mut report).await;
    report.finish(outcome);
}

async fn carry<N: Network>(
    tunnel: &Tunnel<N>,
    mut incoming: Incoming,
    report: &mut ConnectionReport,
) -> Result<(), Failure> {
    let Tunnel { proxy, pod, ends: Ends { peer, destination: arrived }, identity, drain, .. } = tunnel;
    let snapshot = proxy.configuration.snapshot();
    let own = pod.workload(&snapshot).unwrap_or_else(|_| tunnel.own.clone());
    report.destination(own.clone());
    // The peer's workload is known by its address only where its certificate agrees; it names series, nothing else.
    let source = snapshot.workload_at(&own.network, peer.ip()).filter(|source| source.identity == *identity);
    if let Some(source) = source {
        report.source(source.clone());
    }
    let target = match target(&snapshot, &own, arrived.ip(), incoming.authority()) {
        Ok(target) => target,
        Err(bad) => {
            let (status, reason) = (bad.status(), bad.to_string());
            return Err(refuse(incoming, status, &reason, Failure::connect(reason.as_str())));
        }
    };
    let asked = incoming.forwarded_host();
    let named = || service(&snapshot, &own, target.address.port(), asked.as_deref());
    let service = target.service.clone().or_else(named);
    let hostname = service.as_ref().map(|service| service.key.hostname.clone());
    if let Some(service) = service {
        report.service(service);
    }
    // A connection may live long; an old snapshot should not live with it.
    drop(snapshot);
    let connection = Connection {
        source_ip: peer.ip(),
        network: own.network.clone(),
        source_identity: Some(identity.clone()),
        destination: target.address,
    };
    // As Istio counts: both ends are known, so the connection was opened, whatever policy and application say to it.
    report.opened();
    let mut place = match Box::pin(admit(proxy, pod, &own, &connection, report)).await {
        Ok(place) => place,
        // The client's operator learns that it was a policy, and ours which one.
        Err(reason) => {
            return Err(refuse(
                incoming,
                StatusCode::UNAUTHORIZED,
                "denied by policy",
                Failure::denied(reason),
            ));
        }
    };
    let options = proxy.application_options(peer.ip(), target.address);
    let dialled = tokio::select! {
        dialled = proxy.network.dial(pod, &options, target.address) => dialled,
        () = incoming.canceled() => {
            let text = "the client gave up before the application had accepted";
            return Err(Failure::new(ResponseFlag::None, text).with_severity(Severity::Information));
        }
    };
    let application = match dialled {
        Ok(application) => application,
        Err(error) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(refuse(
                incoming,
                status,
                "the application does not accept connections",
                Failure::connect(error),
            ));
        }
    };
    let baggage = proxy.settings.response_baggage.then(|| Baggage::from(&*own).encode()).flatten();
    let stream = incoming
        .accept(baggage)
        .map_err(|gone| Failure::new(ResponseFlag::None, gone).with_severity(Severity::Information))?;
    let seen = Seen { way: Way::Inbound(hostname), source: *peer, actual: target.address, tunnel: true };
    let _line = proxy.connections.list(pod, seen);
    let close = async {
        tokio::select! {
            reason = place.closed() => reason,
            reason = proxy.cut(pod, drain) => reason,
        }
    };
    of_relay(relay(stream, application, &Counted(report), proxy.limits(), close).await)
}

fn refuse(incoming: Incoming, status: StatusCode, details: &str, failure: Failure) -> Failure {
    if let Err(gone) = incoming.refuse(status, details) {
        tracing::debug!(%gone, "a refused client did not wait for the answer");
    }
    failure
}
