//! What does a connection cost that does nothing?

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::settled_memory;
use crate::client::Client;
use crate::machine::process::{Memory, Times};
use crate::stage::Stage;
use crate::work::load::Work;

/// The idle connections of a path.
#[derive(Debug, Clone, Serialize)]
pub struct Idle {
    /// The path.
    pub path: String,
    /// How many.
    pub connections: usize,
    /// Its proxies without them.
    pub before: Memory,
    /// With them.
    pub during: Memory,
    /// Processor seconds of the proxies for each second of idleness.
    pub processor: f64,
    /// What was lost; then the rest means nothing.
    pub void: Option<String>,
}

impl Idle {
    /// Bytes for each 1,000 connections, both proxies together.
    pub fn bytes_per_thousand(&self) -> f64 {
        (self.during.proportional as f64 - self.before.proportional as f64) * 1e3 / self.connections as f64
    }

    /// Descriptors for each connection, both proxies together.
    pub fn descriptors_each(&self) -> f64 {
        (self.during.descriptors as f64 - self.before.descriptors as f64) / self.connections as f64
    }
}

/// Opens connections, leaves them alone for a while, and uses each once more.
pub fn measure(stage: &Stage, program: &Path, connections: usize, quiet: Duration) -> anyhow::Result<Idle> {
    let before = settled_memory(&stage.proxies)?;
    let mut idle = Idle {
        path: stage.spec.name.clone(),
        connections,
        before,
        during: Memory::default(),
        processor: 0.0,
        void: None,
    };
    if let Err(error) = hold(stage, program, quiet, &mut idle) {
        idle.void = Some(format!("{error:#}"));
    }
    Ok(idle)
}

fn hold(stage: &Stage, program: &Path, quiet: Duration, idle: &mut Idle) -> anyhow::Result<()> {
    let work = Work::Hold { connections: idle.connections };
    let client = Client::start(program, &stage.client.netns, stage.to, work)?;
    idle.during = settled_memory(&stage.proxies)?;
    let used = || -> anyhow::Result<f64> {
        let times = stage.proxies.iter().map(|proxy| Times::of(proxy.pid()));
        times.map(|times| times.map(Times::both)).sum()
    };
    let begun = used()?;
    std::thread::sleep(quiet);
    idle.processor = (used()? - begun) / quiet.as_secs_f64();
    client.stop()
}
