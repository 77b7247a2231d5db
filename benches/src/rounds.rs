//! The rounds: every case over every path, in an order that changes, disturbed samples taken again.
#![allow(clippy::print_stderr)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::case::{Case, Load, closed_loop};
use crate::machine::foreign::Foreign;
use crate::result::statistics::Spread;
use crate::sample::{self, Lengths, Sample};
use crate::stage::Stage;
use crate::work::load::Work;

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Times that each case is measured over each path.
    pub rounds: usize,
    /// Times that a disturbed sample is taken again.
    pub again: usize,
    /// No sample is taken again after this much time, so that a run ends on a busy machine too.
    pub again_within: Duration,
    /// How long a sample takes.
    pub lengths: Lengths,
}

/// Everything that has been measured.
#[derive(Debug)]
pub struct Rounds {
    plan: Plan,
    program: PathBuf,
    begun: Instant,
    /// What others use of the machine.
    pub foreign: Foreign,
    /// One for each case, path and round; the least disturbed one of its attempts.
    pub samples: Vec<Sample>,
    /// The other attempts.
    pub rejected: Vec<Sample>,
}

impl Rounds {
    /// With nothing measured.
    pub fn new(plan: Plan, program: PathBuf, foreign: Foreign) -> Self {
        Self { plan, program, begun: Instant::now(), foreign, samples: Vec::new(), rejected: Vec::new() }
    }

    /// Measures all cases: first those whose work is known, then the open loops.
    pub fn measure(&mut self, stages: &mut [Stage], cases: &[Case]) -> anyhow::Result<()> {
        for open in [false, true] {
            let now: Vec<&Case> =
                cases.iter().filter(|case| matches!(case.load, Load::OpenLoop { .. }) == open).collect();
            for round in 0..self.plan.rounds {
                for (index, case) in now.iter().enumerate() {
                    self.measure_one(stages, case, round, index)?;
                }
            }
        }
        Ok(())
    }

    fn measure_one(
        &mut self,
        stages: &mut [Stage],
        case: &Case,
        round: usize,
        index: usize,
    ) -> anyhow::Result<()> {
        let work = match case.load {
            Load::Fixed(work) => work,
            Load::OpenLoop { connections, share } => {
                let Some(slowest) = self.slowest(connections) else { return Ok(()) };
                Work::Requests { connections, rate: Some((slowest * share).max(1.0)) }
            }
        };
        let count = stages.len();
        for turn in 0..count {
            let Some(stage) = stages.get_mut((turn + round + index) % count) else { continue };
            if stage.spec.nodes == 1 && !case.one_node {
                continue;
            }
            let sample = self.attempts(stage, case, round, work)?;
            tell(&sample, case, self.plan.rounds);
            self.samples.push(sample);
        }
        Ok(())
    }

    /// Takes a sample, again while it is disturbed, and keeps the least disturbed one.
    fn attempts(
        &mut self,
        stage: &mut Stage,
        case: &Case,
        round: usize,
        work: Work,
    ) -> anyhow::Result<Sample> {
        let mut take = || {
            sample::take(stage, &self.program, (&case.name, round), work, self.plan.lengths, &self.foreign)
        };
        let mut best = take()?;
        for _ in 0..self.plan.again {
            // A lost request is a result, not a disturbance.
            if !best.noisy() || best.void.is_some() || self.begun.elapsed() > self.plan.again_within {
                break;
            }
            let next = take()?;
            let better = next.void.is_some() || next.stolen + next.foreign < best.stolen + best.foreign;
            self.rejected.push(if better { std::mem::replace(&mut best, next) } else { next });
        }
        Ok(best)
    }

    /// The lowest median rate of the paths over two nodes in the closed loop with so many connections.
    fn slowest(&self, connections: usize) -> Option<f64> {
        let case = closed_loop(connections);
        let of = |path: &str| {
            let rates = self.samples.iter().filter(|sample| sample.case == case && sample.path == path);
            let rates = rates.filter(|sample| sample.void.is_none());
            Spread::of(rates.map(|sample| sample.figures.count as f64 / sample.figures.seconds))
                .map(|rate| rate.median)
        };
        let mut paths: Vec<&str> = self.samples.iter().map(|sample| sample.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        paths.retain(|path| !path.ends_with(crate::stage::path::ONE_NODE));
        paths.into_iter().filter_map(of).min_by(f64::total_cmp)
    }
}

fn tell(sample: &Sample, case: &Case, rounds: usize) {
    let result = match &sample.void {
        Some(reason) => format!("VOID: {reason}"),
        None => format!("{:>10.2} {}", case.unit.rate(&sample.figures), case.unit.rate_name()),
    };
    let noise = if sample.noisy() {
        format!(
            "  (disturbed: stolen {:.0} %, others {:.0} %)",
            sample.stolen * 100.0,
            sample.foreign * 100.0
        )
    } else {
        String::new()
    };
    eprintln!("{}/{rounds}  {:<16} {:<20} {result}{noise}", sample.round + 1, sample.case, sample.path);
}
