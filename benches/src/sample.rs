//! One sample: one piece of work over one path, and what it cost.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::Client;
use crate::machine::foreign::Foreign;
use crate::machine::process::{Memory, Times, reset_peak};
use crate::machine::processors::Processors;
use crate::stage::Stage;
use crate::work::load::{Figures, Work};

/// The largest share of all processor time that may be stolen, or go to others, in a sample that counts.
pub const QUIET: f64 = 0.05;

/// How long a sample takes.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// Work before the window.
    pub warm: Duration,
    /// The window.
    pub window: Duration,
}

/// One proxy in a sample.
#[derive(Debug, Clone, Serialize)]
pub struct Proxy {
    /// Its name: `ztunnel-0` is on the client's node, `envoy-client` in its pod.
    pub name: String,
    /// Processor seconds within the window.
    pub times: Times,
    /// At the end of the window; the peak is that of this sample.
    pub memory: Memory,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// The path.
    pub path: String,
    /// The case.
    pub case: String,
    /// Which round.
    pub round: usize,
    /// Requests a second that an open loop asked for.
    pub offered: Option<f64>,
    /// What the client saw.
    pub figures: Figures,
    /// Processor seconds of the proxies together.
    pub proxies: Times,
    /// What each proxy used and holds.
    pub each_proxy: Vec<Proxy>,
    /// Of client and server.
    pub ends: f64,
    /// Of the whole machine, without stolen time and without what others used.
    pub machine: f64,
    /// Stolen share of all processor time, 0 to 1.
    pub stolen: f64,
    /// The share of programs that do not belong to the bench, 0 to 1.
    pub foreign: f64,
    /// The proxies' memory at the end of the window; the peak is that of this sample.
    pub memory: Memory,
    /// Why it does not count at all: something was lost, wrong or in error.
    pub void: Option<String>,
}

impl Sample {
    /// Whether too much of the machine went to others.
    pub fn noisy(&self) -> bool {
        self.stolen > QUIET || self.foreign > QUIET
    }
}

/// What the machine and the processes have used so far.
struct Used {
    at: Instant,
    processors: Processors,
    foreign: f64,
    proxies: Vec<Times>,
    ends: f64,
}

impl Used {
    fn read(stage: &Stage, client: &Client, foreign: &Foreign) -> anyhow::Result<Self> {
        let proxies =
            stage.proxies.iter().map(|proxy| Times::of(proxy.pid())).collect::<anyhow::Result<_>>()?;
        let ends = Times::of(stage.server.pid())?.both() + Times::of(client.pid())?.both();
        let (processors, foreign) = (Processors::read()?, foreign.seconds()?);
        Ok(Self { at: Instant::now(), processors, foreign, proxies, ends })
    }
}

/// Takes a sample. What goes wrong with the work makes it void; what goes wrong with the bench is an error.
pub fn take(
    stage: &mut Stage,
    program: &Path,
    (case, round): (&str, usize),
    work: Work,
    lengths: Lengths,
    foreign: &Foreign,
) -> anyhow::Result<Sample> {
    stage.check()?;
    let mut sample = Sample {
        path: stage.spec.name.clone(),
        case: case.to_owned(),
        round,
        offered: if let Work::Requests { rate, .. } = work { rate } else { None },
        figures: Figures::default(),
        proxies: Times::default(),
        each_proxy: Vec::new(),
        ends: 0.0,
        machine: 0.0,
        stolen: 0.0,
        foreign: 0.0,
        memory: Memory::default(),
        void: None,
    };
    stage.proxies.iter().try_for_each(|proxy| reset_peak(proxy.pid()))?;
    let done = measure(stage, program, work, lengths, foreign, &mut sample);
    if let Err(error) = done {
        // A proxy that has ended is more than a failed sample.
        stage.check()?;
        sample.void = Some(format!("{error:#}"));
    }
    Ok(sample)
}

fn measure(
    stage: &Stage,
    program: &Path,
    work: Work,
    lengths: Lengths,
    foreign: &Foreign,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    let mut client = Client::start(program, &stage.client.netns, stage.to, work)?;
    std::thread::sleep(lengths.warm);
    let before = Used::read(stage, &client, foreign)?;
    client.begin()?;
    std::thread::sleep(lengths.window);
    let after = Used::read(stage, &client, foreign)?;
    let figures = client.end();
    let processors = after.processors.since(before.processors);
    let seconds = (after.at - before.at).as_secs_f64();
    for ((proxy, after), before) in stage.proxies.iter().zip(&after.proxies).zip(&before.proxies) {
        let (name, times, memory) = (proxy.name().to_owned(), after.since(*before), Memory::of(proxy.pid())?);
        sample.proxies = sample.proxies + times;
        sample.memory = sample.memory + memory;
        sample.each_proxy.push(Proxy { name, times, memory });
    }
    sample.ends = after.ends - before.ends;
    let foreign = (after.foreign - before.foreign).max(0.0);
    sample.machine = (processors.busy - foreign).max(0.0);
    sample.stolen = processors.stolen_share();
    let capacity = if processors.total > 0.0 { processors.total } else { seconds };
    sample.foreign = foreign / capacity;
    sample.figures = figures?;
    client.stop()
}
