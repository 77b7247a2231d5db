//! Connections that carry no requests: connect -> relay -> report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_app::outcome::{Counted, of_relay};
use ambit_hbone::Incoming;
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::report::{ConnectionReport, Failure, Severity};
use ambit_transport::{CloseReason, relay};
use http::StatusCode;

use crate::network::{Network, Stream};
use crate::session::Session;
use crate::upstream::{Upstream, open};

/// Longest wait for a connection to an endpoint (Istio's `connectTimeout`).
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Carries a connection to a port that is declared as TCP: the endpoint is dialled first, so that a failure is a status of
/// the CONNECT and not the end of a connection that seemed to stand.
pub async fn dial_first<N: Network>(session: Arc<Session<N>>, incoming: Incoming, start: Instant) {
    let mut report = session.connection_report(start);
    let upstream = match connect(&session, &mut report).await {
        Ok(upstream) => upstream,
        Err(failure) => {
            let details = "no endpoint of the service could be reached";
            if let Err(gone) = incoming.refuse(StatusCode::SERVICE_UNAVAILABLE, details) {
                tracing::debug!(%gone, "a refused client did not wait for the answer");
            }
            return report.finish(Err(failure));
        }
    };
    let outcome = match incoming.accept(None) {
        Ok(stream) => join(&session, stream, upstream, &report).await,
        Err(gone) => Err(Failure::new(ResponseFlag::None, gone).with_severity(Severity::Information)),
    };
    report.finish(outcome);
}

/// Carries a connection whose first bytes, or silence, showed that it is TCP.
pub async fn carry<N: Network, S: Stream>(session: Arc<Session<N>>, mut client: S, start: Instant) {
    let mut report = session.connection_report(start);
    let outcome = match connect(&session, &mut report).await {
        Ok(upstream) => join(&session, client, upstream, &report).await,
        Err(failure) => {
            client.abort();
            Err(failure)
        }
    };
    report.finish(outcome);
}

async fn connect<N: Network>(
    session: &Session<N>,
    report: &mut ConnectionReport,
) -> Result<Upstream<N::Stream>, Failure> {
    let snapshot = session.proxy.configuration.snapshot();
    let endpoint = session.endpoint(&snapshot).map_err(Failure::connect)?;
    // A connection may live long; an old snapshot should not live with it.
    drop(snapshot);
    report.destination(endpoint.workload.clone()).destination_address(endpoint.address);
    report.opened();
    let request = |authority| session.connect_request(authority);
    open(&session.proxy, &endpoint, request, CONNECT_PATIENCE).await.map_err(Failure::connect)
}

async fn join<N: Network, S: Stream>(
    session: &Session<N>,
    client: S,
    upstream: Upstream<N::Stream>,
    report: &ConnectionReport,
) -> Result<(), Failure> {
    let cut = async {
        session.drain.immediate().await;
        CloseReason::Drain
    };
    of_relay(relay(client, upstream, &Counted(report), session.proxy.limits(), cut).await)
}
