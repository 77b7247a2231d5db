//! The agent as a process, against real namespaces, a real ZDS client and a real controller's port: with root, and
//! without it in a user namespace.
//!
//! An own runner, because a user namespace can be entered only before the first thread starts. Needs `ip`, `nft` and
//! `iptables` on PATH as independent witnesses. Arguments: a part of a test's name; `--list`; `--user-namespace`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod agent;
mod commands;
mod control;
mod enrol;
mod leave;
mod node;
mod proxy;
mod refuse;
mod repair;
mod report;
mod socket;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_netns::world::{self, WorldOptions};

/// One test: it fails by panicking.
type Test = (&'static str, fn());

/// Tests at a time; most wait for the agent.
const WORKERS: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filter = arguments.iter().find(|argument| !argument.starts_with('-')).cloned().unwrap_or_default();
    let tests: Vec<Test> = all().into_iter().filter(|(name, _)| name.contains(&filter)).collect();
    if has("--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let without_root = has("--user-namespace");
    let options = WorldOptions { private_run: true, own_processes: false, user_namespace: without_root };
    let here = match world::create(&options) {
        Ok(here) => here,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("running {} tests ({:?})", tests.len(), here.footing);
    let failed = run(&tests);
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
        return ExitCode::FAILURE;
    }
    // Once more without root, unless this is that time.
    if here.footing == world::Footing::Root && !again_without_root(&filter) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn all() -> Vec<Test> {
    [enrol::TESTS, leave::TESTS, repair::TESTS, refuse::TESTS, commands::TESTS, report::TESTS, socket::TESTS]
        .concat()
}

/// Runs the tests on a few threads; gives the names of those that panicked.
fn run(tests: &[Test]) -> Vec<&'static str> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let good =
                        std::thread::Builder::new().name((*name).to_owned()).spawn(*test).unwrap().join();
                    println!("test {name} ... {}", if good.is_ok() { "ok" } else { "FAILED" });
                    if good.is_err() {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

fn again_without_root(filter: &str) -> bool {
    let program = std::env::current_exe().unwrap();
    std::process::Command::new(program).args(["--user-namespace", filter]).status().unwrap().success()
}
