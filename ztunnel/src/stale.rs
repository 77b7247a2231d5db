//! Tunnels, and hand-overs, whose far end is gone: a deleted pod takes its network with it and cannot say goodbye, but the controller
//! says that it is gone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::{Snapshot, Text};

use crate::network::Network;
use crate::proxy::Proxy;

/// Follows the configuration: no new connection goes into a tunnel to an address that no workload has any more, and
/// what is still in it may go on for `patience` before it is cut. Runs until the configuration's writer is gone.
pub async fn close_stale<N: Network>(proxy: Arc<Proxy<N>>, patience: Duration) {
    let mut version = proxy.configuration.version();
    let mut seen = version.borrow_and_update().removals;
    while version.changed().await.is_ok() {
        let now = version.borrow_and_update().removals;
        if now == seen {
            continue;
        }
        seen = now;
        let snapshot = proxy.configuration.snapshot();
        proxy.tunnels.drain(|key| is_stale(&proxy, &snapshot, key.pod(), key.destination().ip()));
        let proxy = proxy.clone();
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            // Asked again: another pod may have the address by now, or the same one be back.
            let snapshot = proxy.configuration.snapshot();
            proxy.tunnels.close(|key| is_stale(&proxy, &snapshot, key.pod(), key.destination().ip()));
            proxy.courses.close(|source, ip| is_stale(&proxy, &snapshot, source, ip));
        });
    }
}

fn is_stale<N: Network>(proxy: &Proxy<N>, snapshot: &Snapshot, source: &Text, ip: IpAddr) -> bool {
    let source = proxy.pods.lock().get(source).cloned();
    let Some(own) = source.and_then(|pod| pod.workload(snapshot).ok()) else { return false };
    // Workloads on their node's network are not found by address, so the few tunnels left are looked for one by one.
    snapshot.workload_at(&own.network, ip).is_none()
        && !snapshot.workloads().any(|workload| workload.network == own.network && workload.owns(ip))
}
