//! The plaintext flow: a connection to a pod that did not come through the mesh. accept -> authorize without identity ->
//! connect -> relay -> report.

use std::sync::Arc;
use std::time::Instant;

use ambit_app::outcome::{Counted, of_relay};
use ambit_model::traffic::{Connection, ports};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::labels::Reporter;
use ambit_telemetry::report::{ConnectionReport, Failure};
use ambit_transport::{Watch, relay};

use crate::admit::admit;
use crate::connections::{Carried, Seen, Way};
use crate::inbound_service::service;
use crate::network::{Ends, Network, Stream};
use crate::outcome::conclude;
use crate::pod::Pod;
use crate::proxy::Proxy;

/// Carries one plaintext connection to the pod's application, and reports it.
pub async fn plaintext<N: Network, S: Stream>(
    proxy: Arc<Proxy<N>>,
    pod: Arc<Pod>,
    mut client: S,
    ends: Ends,
    drain: Watch,
) {
    let Ends { peer, destination } = ends;
    let mut report =
        ConnectionReport::accepted(&proxy.traffic, Reporter::Destination, Instant::now(), peer, destination);
    let outcome = carry(&proxy, &pod, &mut client, ends, &drain, &mut report).await;
    conclude(client, report, outcome);
}

async fn carry<N: Network, S: Stream>(
    proxy: &Proxy<N>,
    pod: &Arc<Pod>,
    client: &mut S,
    Ends { peer, destination }: Ends,
    drain: &Watch,
    report: &mut ConnectionReport,
) -> Result<(), Failure> {
    if ports::is_proxy(destination.port()) {
        return Err(Failure::connect(format_args!("{destination} is a port of the proxy itself")));
    }
    let own = pod.known(&proxy.configuration).await;
    let own = own.map_err(|unknown| Failure::new(ResponseFlag::IdentityError, unknown))?;
    report.destination(own.clone());
    let snapshot = proxy.configuration.snapshot();
    if let Some(source) = snapshot.workload_at(&own.network, peer.ip()) {
        report.source(source.clone());
    }
    if let Some(service) = service(&snapshot, &own, destination.port(), None) {
        report.service(service);
    }
    drop(snapshot);
    let connection =
        Connection { source_ip: peer.ip(), network: own.network.clone(), source_identity: None, destination };
    report.opened();
    let mut place = Box::pin(admit(proxy, pod, &own, &connection, report)).await.map_err(Failure::denied)?;
    let options = proxy.application_options(peer.ip(), destination);
    let dialled = proxy.unless_cut(pod, drain, proxy.network.dial(pod, &options, destination)).await?;
    let application = dialled.map_err(Failure::connect)?;
    let seen = Seen { way: Way::Inbound(None), source: peer, actual: destination, carried: Carried::Plain };
    let _line = proxy.connections.list(pod, seen);
    let close = async {
        tokio::select! {
            reason = place.closed() => reason,
            reason = proxy.cut(pod, drain) => reason,
        }
    };
    of_relay(relay(client, application, &Counted(report), proxy.limits(), close).await)
}
