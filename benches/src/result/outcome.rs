//! Everything that came of a run, as it is written to `results.json`.

use serde::Serialize;

use super::summary::Row;
use super::targets::Goal;
use crate::machine::facts::{Machine, Program};
use crate::machine::process::Memory;
use crate::sample::Sample;
use crate::scale::idle::Idle;
use crate::scale::pods::Nodes;
use crate::scale::workloads::Known;

/// What was measured, where, of what, and how it was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Provenance {
    /// When it began, in UTC.
    pub date: String,
    /// The commit of Ambit.
    pub commit: String,
    /// The command line.
    pub command: Vec<String>,
    /// Times that each case was measured.
    pub rounds: usize,
    /// Length of each sample's window, in seconds.
    pub window: f64,
    /// The machine.
    pub machine: Machine,
    /// The programs.
    pub programs: Vec<Program>,
    /// Share of all processor time that was stolen over the whole run, 0 to 1.
    pub stolen: f64,
    /// Share of programs that did not belong to the bench, 0 to 1.
    pub foreign: f64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The proxies of a path after everything.
#[derive(Debug, Clone, Serialize)]
pub struct Afterwards {
    /// The path.
    pub path: String,
    /// All of its proxies.
    pub memory: Memory,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Where it comes from.
    pub provenance: Provenance,
    /// Whether anything was void.
    pub void: bool,
    /// Goals and whether they were reached.
    pub goals: Vec<Goal>,
    /// The middle of the samples.
    pub rows: Vec<Row>,
    /// Idle connections.
    pub idle: Vec<Idle>,
    /// Memory after all of the cases above.
    pub afterwards: Vec<Afterwards>,
    /// Many workloads.
    pub known: Vec<Known>,
    /// Many pods.
    pub nodes: Vec<Nodes>,
    /// Every sample that counts.
    pub samples: Vec<Sample>,
    /// Disturbed ones that were taken again.
    pub rejected: Vec<Sample>,
}

impl Outcome {
    /// The row of a case and path.
    pub fn row(&self, case: &str, path: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.path == path)
    }
}
