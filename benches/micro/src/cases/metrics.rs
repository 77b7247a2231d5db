//! What it costs to count connections, and to be scraped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_model::{Identity, Snapshot, Workload};
use ambit_telemetry::{ConnectionReport, Registry, Reporter, SecurityPolicy, Traffic, TrafficLimits, Worker};
use anyhow::{Context, ensure};

use super::{mesh, work};
use crate::Work;

/// Peers that are counted apart.
const PEERS: usize = 100;
const CONNECTIONS: usize = 1_000;
const SCRAPES: usize = 50;

/// A proxy's metrics and the pods that it talks about.
struct Counted {
    registry: Registry,
    worker: Worker,
    source: Arc<Workload>,
    identity: Identity,
    peers: Vec<Arc<Workload>>,
    ends: [SocketAddr; 2],
}

impl Counted {
    fn new() -> anyhow::Result<Self> {
        let registry = Registry::new("ztunnel", "micro");
        let worker = Traffic::register(&registry, TrafficLimits::default()).worker();
        let snapshot = mesh::snapshot(PEERS + 1)?;
        let peers = (0..PEERS).map(|number| find(&snapshot, number)).collect::<anyhow::Result<_>>()?;
        let ends = [(mesh::pod(PEERS)?, 40_000).into(), (mesh::pod(0)?, 15_008).into()];
        let source = find(&snapshot, PEERS)?;
        Ok(Self { registry, worker, identity: source.identity.clone(), source, peers, ends })
    }

    /// One connection from its beginning to its end. The access log is off: nothing has been set up to write it.
    fn connection(&self, number: usize) {
        let [source, destination] = self.ends;
        let mut report =
            ConnectionReport::accepted(&self.worker, Reporter::Source, Instant::now(), source, destination);
        report
            .source(self.source.clone())
            .source_identity(self.identity.clone())
            .destination(self.peers[number % PEERS].clone())
            .security(SecurityPolicy::MutualTls);
        report.opened();
        report.request_bytes(100);
        report.response_bytes(2_000);
        report.finish(Ok(()));
    }
}

fn find(snapshot: &Snapshot, number: usize) -> anyhow::Result<Arc<Workload>> {
    let uid = format!("Kubernetes//Pod/shop/pod-{number}");
    snapshot.workload(&uid).cloned().context(uid)
}

pub(super) fn connections() -> anyhow::Result<Work> {
    let counted = Counted::new()?;
    work(move || {
        (0..CONNECTIONS).for_each(|number| counted.connection(number));
        Ok(())
    })
}

/// Scrapes of a hundred peers each. Each registry hashes with a seed of its own, which alone moves one scrape's count.
pub(super) fn scrape() -> anyhow::Result<Work> {
    let counted = (0..SCRAPES).map(|_| Counted::new()).collect::<anyhow::Result<Vec<_>>>()?;
    for counted in &counted {
        (0..PEERS).for_each(|number| counted.connection(number));
    }
    work(move || {
        for counted in &counted {
            let (_, text) = counted.registry.encode("");
            ensure!(text.contains("app-0"), "the peers are not in the metrics");
        }
        Ok(())
    })
}
