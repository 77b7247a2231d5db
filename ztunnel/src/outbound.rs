//! The outbound flow: a captured connection of a pod, to wherever it was going. capture -> resolve -> connect (or hand
//! over, to a pod of the same node) -> relay -> report.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_app::outcome::{Counted, of_relay};
use ambit_hbone::{Authority, ConnectRequest, Forwarded, Key, TraceParent};
use ambit_model::{Text, Workload};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::labels::{Reporter, SecurityPolicy};
use ambit_telemetry::report::{ConnectionReport, Failure, HboneTarget};
use ambit_transport::{Ahead, Watch, relay};

use crate::connections::{Carried, Seen, Way};
use crate::hand_over::{Departure, hand_over};
use crate::network::{Ends, Network, Stream};
use crate::outcome::{conclude, of_open};
use crate::pod::Pod;
use crate::proxy::Proxy;
use crate::resolve::{NextHop, resolve};
use crate::same_node::{Hop, Neighbour, neighbour};

/// Longest wait for a stream: dial, TLS, HTTP/2 and the far side's own dial together.
const OPEN_PATIENCE: Duration = Duration::from_secs(20);

/// Carries one captured connection to its end, and reports it.
pub async fn outbound<N: Network, S: Stream>(
    proxy: Arc<Proxy<N>>,
    pod: Arc<Pod>,
    mut client: S,
    ends: Ends,
    drain: Watch,
) {
    let Ends { peer, destination } = ends;
    let mut report =
        ConnectionReport::accepted(&proxy.traffic, Reporter::Source, Instant::now(), peer, destination);
    let outcome = carry(&proxy, &pod, &mut client, ends, &drain, &mut report).await;
    conclude(client, report, outcome);
}

async fn carry<N: Network, S: Stream>(
    proxy: &Proxy<N>,
    pod: &Arc<Pod>,
    client: &mut S,
    ends: Ends,
    drain: &Watch,
    report: &mut ConnectionReport,
) -> Result<(), Failure> {
    let peer = ends.peer;
    let own = pod.known(&proxy.configuration).await;
    let own = own.map_err(|unknown| Failure::new(ResponseFlag::IdentityError, unknown))?;
    report.source(own.clone());
    let (next, near) = next_hop(proxy, &own, ends);
    match next {
        NextHop::Reject(reason) => Err(Failure::connect(reason)),
        NextHop::Passthrough { address, service } => {
            if let Some(service) = service {
                report.service(service);
            }
            plainly(proxy, pod, client, ends, address, drain, report).await
        }
        NextHop::Direct { address, workload, service } => {
            report.destination(workload);
            if let Some(service) = service {
                report.service(service);
            }
            plainly(proxy, pod, client, ends, address, drain, report).await
        }
        NextHop::Hbone { gateway, authority, workload, service, expected } => {
            // Only a tunnel proves who the client is; plaintext has no principal.
            report.source_identity(own.identity.clone());
            report.destination(workload).destination_address(gateway);
            report.hbone_target(HboneTarget::Address(authority)).security(SecurityPolicy::MutualTls);
            let host = service.as_ref().map(|service| service.key.hostname.clone());
            if let Some(service) = service {
                report.service(service);
            }
            let authority = Authority::address(authority).map_err(|bad| of_open(bad.into()))?;
            if let Some(neighbour) = near {
                report.same_node().opened();
                let departure = Departure {
                    proxy,
                    pod,
                    identity: &own.identity,
                    drain,
                    ends,
                    gateway,
                    authority,
                    asked: host,
                };
                // Boxed: it lives as long as the connection, but only where there is one.
                return Box::pin(hand_over(departure, client, neighbour, report)).await;
            }
            let key = Key::new(own.identity.clone(), pod.instance.clone(), gateway, expected);
            let request = connect_request(pod, &own, peer, authority, host);
            report.opened();
            let mut client = Ahead::new(client);
            // Boxed: opening is large and short, the relay that follows is small and long.
            let opening = Box::pin(open(proxy, &key, request, &mut client, report));
            let stream = proxy.unless_cut(pod, drain, opening).await??;
            let _line = proxy.connections.list(pod, seen(ends, gateway, Carried::Tunnel));
            let ended = relay(client, stream, &Counted(report), proxy.limits(), proxy.cut(pod, drain)).await;
            of_relay(ended)
        }
    }
}

/// Where the connection goes, and the pod there if this process serves it itself.
fn next_hop<N: Network>(proxy: &Proxy<N>, own: &Workload, ends: Ends) -> (NextHop, Option<Neighbour>) {
    let snapshot = proxy.configuration.snapshot();
    let next = resolve(&snapshot, own, ends.destination, &mut rand::rng());
    let near = match &next {
        NextHop::Hbone { gateway, authority, workload, expected, .. } => {
            let hop = Hop { gateway: *gateway, authority: *authority, workload, expected };
            neighbour(proxy, &snapshot, own, ends.peer, hop)
        }
        _ => None,
    };
    (next, near)
}

fn seen(Ends { peer, destination }: Ends, actual: SocketAddr, carried: Carried) -> Seen {
    Seen { way: Way::Outbound(destination), source: peer, actual, carried }
}

async fn plainly<N: Network, S: Stream>(
    proxy: &Proxy<N>,
    pod: &Pod,
    client: &mut S,
    ends: Ends,
    address: SocketAddr,
    drain: &Watch,
    report: &mut ConnectionReport,
) -> Result<(), Failure> {
    report.destination_address(address);
    report.opened();
    let options = proxy.dial_options();
    let dialled = proxy.unless_cut(pod, drain, proxy.network.dial(pod, &options, address)).await?;
    let upstream = dialled.map_err(Failure::connect)?;
    let _line = proxy.connections.list(pod, seen(ends, address, Carried::Plain));
    let ended = relay(client, upstream, &Counted(report), proxy.limits(), proxy.cut(pod, drain)).await;
    of_relay(ended)
}

async fn open<N: Network, S: Stream>(
    proxy: &Proxy<N>,
    key: &Key,
    request: ConnectRequest,
    client: &mut Ahead<&mut S>,
    report: &ConnectionReport,
) -> Result<ambit_hbone::Stream, Failure> {
    proxy.rotation.follow(key.source(), &proxy.certificates, &proxy.tunnels);
    match tokio::time::timeout(OPEN_PATIENCE, proxy.tunnels.open_for(key, request, client)).await {
        Ok(Ok(opened)) => {
            // What was refused with its bytes has carried none.
            report.request_bytes(opened.early);
            Ok(opened.stream)
        }
        Ok(Err(error)) => Err(of_open(error)),
        Err(_) => {
            let gateway = key.destination();
            Err(Failure::connect(format_args!(
                "no answer from {gateway} within {OPEN_PATIENCE:?}: check the peer's node"
            )))
        }
    }
}

fn connect_request(
    pod: &Pod,
    own: &Arc<Workload>,
    peer: SocketAddr,
    authority: Authority,
    host: Option<Text>,
) -> ConnectRequest {
    let mut request = ConnectRequest::new(authority);
    request.baggage = pod.baggage(own);
    request.forwarded = Forwarded { client: peer, host }.encode();
    request.traceparent = TraceParent::random().encode();
    request
}
