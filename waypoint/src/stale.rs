//! Connections whose far end is gone: a deleted pod takes its network with it and cannot say goodbye, but the controller
//! says that it is gone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::Snapshot;
use tokio::time::Instant;

use crate::network::Network;
use crate::proxy::Proxy;

/// How often connections that nobody uses are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// Follows the configuration: no request goes to an address that no workload has any more, and what is still under way
/// there may go on for `patience` before it is cut. Also closes what nobody uses. Runs until the configuration's writer is
/// gone.
pub async fn close_stale<N: Network>(proxy: Arc<Proxy<N>>, patience: Duration) {
    let mut version = proxy.configuration.version();
    let mut seen = version.borrow_and_update().removals;
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            changed = version.changed() => if changed.is_err() {
                return;
            },
            _ = sweep.tick() => proxy.upstreams.sweep(Instant::now()),
        }
        let now = version.borrow_and_update().removals;
        if now == seen {
            continue;
        }
        seen = now;
        let snapshot = proxy.configuration.snapshot();
        proxy.destinations.retain(&snapshot);
        proxy.upstreams.retain(|place| !is_stale(&proxy, &snapshot, place.address.ip()));
        proxy.tunnels.drain(|key| is_stale(&proxy, &snapshot, key.destination().ip()));
        let proxy = proxy.clone();
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            // Asked again: another pod may have the address by now, or the same one be back.
            let snapshot = proxy.configuration.snapshot();
            proxy.tunnels.close(|key| is_stale(&proxy, &snapshot, key.destination().ip()));
        });
    }
}

fn is_stale<N: Network>(proxy: &Proxy<N>, snapshot: &Snapshot, ip: IpAddr) -> bool {
    let network = &proxy.own(snapshot).workload.network;
    // Workloads on their node's network are not found by address, so the few connections left are looked for one by one.
    snapshot.workload_at(network, ip).is_none()
        && !snapshot.workloads().any(|workload| workload.network == *network && workload.owns(ip))
}
