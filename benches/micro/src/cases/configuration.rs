//! Where does a connection go, and what does one change of the configuration cost?

use std::hint::black_box;
use std::net::SocketAddr;

use ambit_ztunnel::resolve::{NextHop, resolve};
use anyhow::{Context, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::mesh::{self, ENDPOINTS};
use super::work;
use crate::Work;

/// Destinations that are resolved by one case.
const RESOLVED: usize = 1_000;
/// Changes that are made by one case.
const CHANGES: usize = 10;

/// The same dice for every run.
const SEED: u64 = 7;

pub(super) fn resolve_pods(pods: usize) -> anyhow::Result<Work> {
    let targets = (0..RESOLVED).map(|number| Ok((mesh::pod(number * 7919 % pods)?, 8080).into()));
    resolve_all(pods, targets.collect::<anyhow::Result<_>>()?)
}

pub(super) fn resolve_services(pods: usize) -> anyhow::Result<Work> {
    let targets = (0..RESOLVED).map(|number| mesh::service(number * 7919 % (pods / ENDPOINTS)));
    resolve_all(pods, targets.collect::<anyhow::Result<_>>()?)
}

fn resolve_all(pods: usize, targets: Vec<SocketAddr>) -> anyhow::Result<Work> {
    let snapshot = mesh::published(pods)?.1.snapshot();
    let own = snapshot.local_workload("shop", "pod-0").context("pod-0 is on this node")?.clone();
    work(move || {
        let mut dice = StdRng::seed_from_u64(SEED);
        for target in &targets {
            let hop = resolve(&snapshot, &own, black_box(*target), &mut dice);
            ensure!(matches!(hop, NextHop::Hbone { .. }), "{target}: {hop:?}");
        }
        Ok(())
    })
}

/// Some pods change, one after the other, and each time the next snapshot is published.
pub(super) fn update(pods: usize) -> anyhow::Result<Work> {
    let mesh = mesh::published(pods)?;
    let (mut round, mut held) = (1, None);
    work(move || {
        let (writer, configuration) = &*mesh;
        round += 1;
        for change in 0..CHANGES {
            // A flow holds the snapshot that it started with, so that nothing can be changed in place.
            held = Some(configuration.snapshot());
            writer.apply(vec![mesh::workload(change * 7919 % pods, &format!("v{round}"))?]);
        }
        black_box(&held);
        Ok(())
    })
}
