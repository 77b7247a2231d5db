//! A whole run: the world, the paths, the rounds, the results.
#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ambit_netns::world::{self, WorldOptions};
use anyhow::{Context, ensure};

use crate::arguments::Run;
use crate::machine::facts::{Machine, Program};
use crate::machine::foreign::Foreign;
use crate::machine::processors::Processors;
use crate::result::outcome::{Afterwards, Outcome, Provenance};
use crate::result::{plot, report, summary, targets};
use crate::rounds::Rounds;
use crate::scale::{self, idle, pods, workloads};
use crate::selection::{Selection, chosen_paths, plan};
use crate::stage::path::{AMBIT, DIRECT, Kind, ONE_NODE, PathSpec, paths};
use crate::stage::{Programs, Stage};

/// Where the files of a run are, in a memory of the world's own.
const ROOT: &str = "/run/bench";
/// Idle connections of a path.
const IDLE: usize = 1_000;

/// Runs everything. Whatever happens, the kernel takes away what was made: processes, namespaces and files live in a world
/// of this process.
pub fn main(run: &Run) -> anyhow::Result<()> {
    let root = nix::unistd::geteuid().is_root();
    ensure!(root, "the bench needs root: it makes pods, redirects them and runs sidecars as another user");
    let bench = std::env::current_exe()?;
    let ours =
        run.programs.clone().or_else(|| bench.parent().map(Path::to_owned)).context("--programs DIR")?;
    let programs = Programs { ours: ours.canonicalize()?, bench, envoy: run.envoy.clone() };
    for name in ["controller", "ambit-agent", "ztunnel"] {
        let path = programs.ours.join(name);
        ensure!(path.exists(), "{} is missing: cargo build --release --bins", path.display());
    }
    let all = paths(programs.ours.join("ztunnel"), programs.envoy.is_some(), &run.ztunnel, &run.variant)?;
    let specs = chosen_paths(all, &run.paths)?;
    let selection = Selection::of(run)?;
    let out = run.out.as_deref().map(prepared).transpose()?;
    let foreign = Foreign::open(std::process::id())?;
    world::create(&WorldOptions::default())?;
    fs::create_dir_all(ROOT)?;
    let outcome = measure(run, &specs, &selection, &programs, foreign)?;
    let text = report::render(&outcome, &selection.cases);
    println!("{text}");
    if let Some(out) = out {
        fs::write(out.join("results.json"), serde_json::to_string_pretty(&outcome)?)?;
        fs::write(out.join("table.md"), &text)?;
        for (name, picture) in plot::pictures(&outcome) {
            fs::write(out.join(name), picture)?;
        }
        eprintln!("results are in {}", out.display());
    }
    ensure!(!outcome.void, "VOID: requests were lost or bytes were wrong; see the tables");
    Ok(())
}

fn prepared(out: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    Ok(out.canonicalize()?)
}

fn measure(
    run: &Run,
    specs: &[PathSpec],
    selection: &Selection,
    programs: &Programs,
    foreign: Foreign,
) -> anyhow::Result<Outcome> {
    let (begun, date) = (Instant::now(), jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string());
    let (processors, others) = (Processors::read()?, foreign.seconds()?);
    let plan = plan(run);
    let mut stages = Vec::new();
    for spec in specs {
        eprintln!("setting up {}", spec.name);
        stages.push(Stage::start(spec, programs, Path::new(ROOT))?);
    }
    let mut rounds = Rounds::new(plan, programs.bench.clone(), foreign);
    rounds.measure(&mut stages, &selection.cases)?;
    let quiet = plan.lengths.window;
    let idle = if selection.idle { measure_idle(&mut stages, programs, quiet)? } else { Vec::new() };
    let afterwards = stages
        .iter()
        .map(|stage| {
            Ok(Afterwards { path: stage.spec.name.clone(), memory: scale::settled_memory(&stage.proxies)? })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut known = Vec::new();
    for stage in stages.iter_mut().filter(|stage| stage.files.is_some() && stage.spec.nodes == 2) {
        for count in &selection.workloads {
            eprintln!("{count} workloads known to {}", stage.spec.name);
            known.push(workloads::measure(stage, &programs.bench, *count, plan.lengths, &rounds.foreign)?);
        }
    }
    stages.into_iter().for_each(Stage::end);
    let nodes = if selection.pods { measure_pods(specs, programs, quiet)? } else { Vec::new() };
    let rows = rows(&rounds, selection, specs);
    let spent = Processors::read()?.since(processors);
    let foreign_share = (rounds.foreign.seconds()? - others) / spent.total.max(0.01);
    let provenance = Provenance {
        date,
        commit: run.commit.clone(),
        command: std::env::args().collect(),
        rounds: plan.rounds,
        window: plan.lengths.window.as_secs_f64(),
        machine: Machine::read(),
        programs: facts(specs, programs)?,
        stolen: spent.stolen_share(),
        foreign: foreign_share.max(0.0),
        seconds: begun.elapsed().as_secs_f64(),
    };
    let lost = |known: &workloads::Known| known.requests.as_ref().is_some_and(|sample| sample.void.is_some());
    let void = rows.iter().any(|row| !row.void.is_empty())
        || idle.iter().any(|idle| idle.void.is_some())
        || known.iter().any(lost);
    let (samples, rejected) = (rounds.samples, rounds.rejected);
    let mut outcome = Outcome {
        provenance,
        void,
        goals: Vec::new(),
        rows,
        idle,
        afterwards,
        known,
        nodes,
        samples,
        rejected,
    };
    outcome.goals = targets::judge(&outcome, rival(specs));
    Ok(outcome)
}

fn rows(rounds: &Rounds, selection: &Selection, specs: &[PathSpec]) -> Vec<summary::Row> {
    let of = |case| specs.iter().filter_map(move |spec| summary::row(&rounds.samples, case, &spec.name));
    selection.cases.iter().flat_map(of).collect()
}

/// The path that goals are ratios to: the first ztunnel that is not ours.
fn rival(specs: &[PathSpec]) -> Option<&str> {
    let other = |spec: &&PathSpec| {
        matches!(spec.kind, Kind::Mesh { .. }) && spec.nodes == 2 && !spec.name.starts_with(AMBIT)
    };
    specs.iter().find(other).map(|spec| spec.name.as_str())
}

fn measure_idle(
    stages: &mut [Stage],
    programs: &Programs,
    quiet: Duration,
) -> anyhow::Result<Vec<idle::Idle>> {
    let mut all = Vec::new();
    for stage in stages.iter_mut().filter(|stage| !stage.proxies.is_empty()) {
        eprintln!("{IDLE} idle connections over {}", stage.spec.name);
        stage.check()?;
        all.push(idle::measure(stage, &programs.bench, IDLE, quiet)?);
    }
    Ok(all)
}

fn measure_pods(
    specs: &[PathSpec],
    programs: &Programs,
    quiet: Duration,
) -> anyhow::Result<Vec<pods::Nodes>> {
    let mut all = Vec::new();
    for spec in specs.iter().filter(|spec| spec.nodes == 1 && !spec.name.starts_with(DIRECT)) {
        eprintln!("pods on a node of {}", spec.name.trim_end_matches(ONE_NODE));
        all.push(pods::shared(spec, programs, Path::new(ROOT), quiet)?);
    }
    if specs.iter().any(|spec| matches!(spec.kind, Kind::Sidecar(_))) {
        eprintln!("pods with sidecars");
        all.push(pods::sidecars(programs, Path::new(ROOT), quiet)?);
    }
    Ok(all)
}

fn facts(specs: &[PathSpec], programs: &Programs) -> anyhow::Result<Vec<Program>> {
    let mut files: Vec<PathBuf> = ["controller", "ambit-agent"].map(|name| programs.ours.join(name)).to_vec();
    for spec in specs {
        match &spec.kind {
            Kind::Mesh { ztunnel, .. } => files.push(ztunnel.clone()),
            Kind::Sidecar(_) => files.extend(programs.envoy.clone()),
            Kind::Direct => {}
        }
    }
    files.push(programs.bench.clone());
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    files.iter().map(|file| Program::read(file)).collect()
}
