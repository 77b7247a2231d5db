//! `micro`: counts every case and holds it to the budget. `./dev micro` builds and runs it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_micro::budget::{ALLOWANCE, Budget, Judgement};
use ambit_micro::{CASES, Case, case, count, run};
use anyhow::{Context, bail};

/// The budget, in this package.
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budget.txt");

const USAGE: &str =
    "usage: micro [PART]       counts the cases whose names hold PART, and compares them with the budget
       micro --bless      counts all cases and writes the budget
       micro run CASE...  does cases, for a profiler";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["run", names @ ..] => names.iter().try_for_each(|name| run_one(name)).map(|()| true),
        ["--bless"] => bless(),
        [] => check(""),
        [part] if !part.starts_with('-') => check(part),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("micro: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_one(name: &str) -> anyhow::Result<()> {
    let case = case(name).with_context(|| format!("no case is called {name}"))?;
    run(case).with_context(|| name.to_owned())
}

/// The counts of some cases, in their order; a process for each group of cases, two at a time.
fn counts(cases: &[&'static Case]) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let program = std::env::current_exe()?;
    let next = AtomicUsize::new(0);
    let groups: Vec<_> = cases.chunk_by(|one, other| one.group() == other.group()).collect();
    let worker = || -> anyhow::Result<Vec<(usize, Vec<u64>)>> {
        let mut counted = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = groups.get(at) else { return Ok(counted) };
            counted.push((at, count::count(&program, group)?));
        }
    };
    let mut counted = std::thread::scope(|scope| {
        let threads = [scope.spawn(worker), scope.spawn(worker)];
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(counted) => counted,
            Err(_) => bail!("a thread that counts panicked"),
        });
        joined.collect::<anyhow::Result<Vec<_>>>()
    })?
    .concat();
    counted.sort_unstable();
    let counts = counted.into_iter().flat_map(|(_, counts)| counts);
    Ok(cases.iter().map(|case| case.name).zip(counts).collect())
}

fn bless() -> anyhow::Result<bool> {
    let cases: Vec<_> = CASES.iter().collect();
    let counts = counts(&cases)?;
    std::fs::write(BUDGET, Budget::write(&counts)).with_context(|| BUDGET.to_owned())?;
    counts.iter().for_each(|(name, count)| println!("{name:<28} {count:>14}"));
    Ok(true)
}

fn check(part: &str) -> anyhow::Result<bool> {
    let cases: Vec<_> = CASES.iter().filter(|case| case.name.contains(part)).collect();
    if cases.is_empty() {
        bail!("no case has {part:?} in its name");
    }
    let text = std::fs::read_to_string(Path::new(BUDGET)).with_context(|| BUDGET.to_owned())?;
    let budget = Budget::parse(&text)?;
    println!("{:<28} {:>14} {:>14} {:>7}", "case", "instructions", "budget", "ratio");
    let mut good = true;
    for (name, count) in counts(&cases)? {
        let of = budget.of(name);
        let ratio =
            of.map_or_else(|| "-".to_owned(), |budget| format!("{:.2}", count as f64 / budget as f64));
        let remark = match budget.judge(name, count) {
            Judgement::Good => "",
            Judgement::Better => "  better: keep it with ./dev micro --bless",
            Judgement::Worse => "  WORSE",
            Judgement::Unknown => "  NOT IN THE BUDGET",
        };
        good &= !matches!(budget.judge(name, count), Judgement::Worse | Judgement::Unknown);
        let of = of.map_or_else(|| "-".to_owned(), |budget| budget.to_string());
        println!("{name:<28} {count:>14} {of:>14} {ratio:>7}{remark}");
    }
    for stale in budget.names().filter(|name| case(name).is_none()) {
        println!("{stale} is in the budget and is no case");
        good = false;
    }
    if !good {
        println!(
            "more than {ALLOWANCE} % above the budget, or not in it: make it cheaper, or say why it costs more and \
             run ./dev micro --bless"
        );
    }
    Ok(good)
}
