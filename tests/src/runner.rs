//! Runs the tests of one binary, in a world of their own, a few at a time.
//!
//! An own runner, because a user namespace can be entered only before the first thread starts. Arguments: a part of a
//! test's name; `--list`; `--user-namespace` (as without root, also for root). Others are ignored.

use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ambit_netns::world::{self, Footing, WorldOptions};

/// One test: its name, and what panics when it fails.
pub type Test = (&'static str, fn());

/// Tests at a time; most wait for one another's processors less than for timers.
const WORKERS: usize = 4;

/// Runs `tests`. When the process has root, those whose names begin with one of `again` run once more without it.
pub fn main(tests: &[Test], again: &[&str]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let filter = filter.map(String::as_str).unwrap_or_default();
    let chosen: Vec<Test> = tests.iter().copied().filter(|(name, _)| name.contains(filter)).collect();
    if has("--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        println!("no test matches");
        return ExitCode::SUCCESS;
    }
    // Before the world is made: from inside it root could not be told from not.
    let without: Vec<&str> =
        chosen.iter().map(|(name, _)| *name).filter(|name| again.contains(name)).collect();
    if !has("--user-namespace") && nix::unistd::geteuid().is_root() && !all_without_root(&without) {
        return ExitCode::FAILURE;
    }
    enter(has("--user-namespace")).map_or(ExitCode::FAILURE, |footing| report(&chosen, footing))
}

/// Moves the process into a world of its own, before it starts its first thread. None, and a word about it, when that
/// cannot be.
pub fn enter(user_namespace: bool) -> Option<Footing> {
    let options = WorldOptions { private_run: true, own_processes: true, user_namespace };
    let here = world::create(&options).inspect_err(|error| eprintln!("{error}"));
    here.ok().map(|here| here.footing)
}

fn all_without_root(names: &[&str]) -> bool {
    let program = std::env::current_exe().unwrap();
    names.iter().all(|name| {
        Command::new(&program).args(["--user-namespace", name]).status().is_ok_and(|status| status.success())
    })
}

fn report(tests: &[Test], footing: Footing) -> ExitCode {
    println!("running {} tests ({footing:?})", tests.len());
    let failed = run(tests);
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}

/// Gives the names of the tests that panicked.
fn run(tests: &[Test]) -> Vec<&'static str> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(tests.len()) {
            scope.spawn(|| {
                while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let thread = std::thread::Builder::new().name((*name).to_owned()).spawn(*test);
                    let good = thread.unwrap().join().is_ok();
                    let outcome = if good { "ok" } else { "FAILED" };
                    println!("test {name} ... {outcome} ({:.1} s)", start.elapsed().as_secs_f64());
                    if !good {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}
