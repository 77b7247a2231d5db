//! Interop: the same traffic over every pairing of proxies, ours and (by its path) an Istio-compatible ztunnel, and ours
//! with each fast path on and off.
//!
//! `AMBIT_INTEROP_ZTUNNEL` is the path of the other binary; without it that half is not run, and the last lines say so.
//! `AMBIT_INTEROP_MIB` is the volume of the bulk transfer each way. Arguments: a part of `PAIRING SCENARIO` picks some.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod bytes;
mod changes;
mod ends;
mod pairing;
mod policies;
mod scenario;
mod stage;
mod table;

use std::process::ExitCode;

use ambit_tests::runner;

use crate::pairing::Pairing;
use crate::scenario::{SCENARIOS, Scenario};
use crate::table::Table;

/// Pairings at a time: their scenarios wait for timers as much as for the processors.
const WORKERS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let filter = filter.map(String::as_str).unwrap_or_default();
    let other = pairing::other();
    let pairings = pairing::pairings(other.as_deref());
    let work: Vec<(&Pairing, Vec<&Scenario>)> =
        pairings.iter().map(|pairing| (pairing, chosen(pairing, filter))).collect();
    if has("--list") {
        for (pairing, scenarios) in &work {
            scenarios.iter().for_each(|scenario| println!("{pairing} {}: test", scenario.name));
        }
        return ExitCode::SUCCESS;
    }
    if runner::enter(has("--user-namespace")).is_none() {
        return ExitCode::FAILURE;
    }
    let table = Table::default();
    stage::run(&work, WORKERS, &table);
    let good = table.print(&pairings);
    if other.is_none() {
        println!("{}", pairing::NOT_RUN);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn chosen(pairing: &Pairing, filter: &str) -> Vec<&'static Scenario> {
    let picks = |scenario: &&Scenario| format!("{pairing} {}", scenario.name).contains(filter);
    // A restart does not depend on how bytes are carried: the default pairing stands for ours.
    let restarts = pairing.has_theirs() || pairing.is_default();
    let kept = |scenario: &&Scenario| restarts || !scenario.name.ends_with("-restart");
    SCENARIOS.iter().filter(|scenario| scenario.concerns(pairing)).filter(kept).filter(picks).collect()
}
