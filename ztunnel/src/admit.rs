//! Letting an inbound connection in, or not: the one place that asks the policies before any byte goes to the pod.

use std::sync::Arc;
use std::time::Duration;

use ambit_model::Workload;
use ambit_model::traffic::Connection;
use ambit_policy::{DenyReason, Verdict, authorize};
use ambit_telemetry::report::ConnectionReport;

use crate::live::Place;
use crate::network::Network;
use crate::pod::Pod;
use crate::proxy::Proxy;

/// How long a connection waits for a policy that its workload lists but that has not arrived, before it is denied; an
/// open one goes on for as long.
pub const POLICY_PATIENCE: Duration = Duration::from_secs(2);

/// Judges a connection to the pod. When it may pass, the place among the live connections is returned, through which a
/// later change of policy closes it.
pub async fn admit<N: Network>(
    proxy: &Proxy<N>,
    pod: &Arc<Pod>,
    own: &Arc<Workload>,
    connection: &Connection,
    report: &mut ConnectionReport,
) -> Result<Place, DenyReason> {
    let place = proxy.live.enter(pod, own, connection);
    let judge = |snapshot: &Arc<ambit_model::Snapshot>| {
        let own = pod.workload(snapshot).unwrap_or_else(|_| own.clone());
        authorize(snapshot, &own, connection)
    };
    let settled = proxy.configuration.wait(POLICY_PATIENCE, |snapshot| {
        let decision = judge(snapshot);
        let pending = matches!(decision.verdict, Verdict::Deny { reason: DenyReason::PolicyPending { .. } });
        (!pending).then_some(decision)
    });
    let decision = settled.await.unwrap_or_else(|| judge(&proxy.configuration.snapshot()));
    for dry_run in &decision.dry_run {
        tracing::info!(target: "access", source = %connection.source_ip, destination = %connection.destination, "{dry_run}");
    }
    match decision.verdict {
        Verdict::Allow { policy } => {
            if let Some(matched) = policy {
                report.policy(matched.policy);
            }
            Ok(place)
        }
        Verdict::Deny { reason } => {
            if let Some(policy) = reason.policy() {
                report.policy(policy.clone());
            }
            Err(reason)
        }
    }
}
