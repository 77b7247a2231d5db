//! What of everything is measured in this run?

use std::time::Duration;

use anyhow::ensure;

use crate::arguments::Run;
use crate::case::{self, Case, Load, closed_loop};
use crate::rounds::Plan;
use crate::sample::Lengths;
use crate::stage::path::{DIRECT, ONE_NODE, PathSpec};

/// Idle connections of each path.
pub const IDLE: &str = "idle";
/// Pods of a node.
pub const PODS: &str = "pods";
/// Workloads that a node knows.
const WORKLOADS: [usize; 3] = [1_000, 10_000, 100_000];

/// The cases of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Those that are measured in rounds.
    pub cases: Vec<Case>,
    /// Whether idle connections are.
    pub idle: bool,
    /// How many workloads are known to a node, one after another.
    pub workloads: Vec<usize>,
    /// Whether nodes with many pods are.
    pub pods: bool,
}

impl Selection {
    /// What the command line asks for: whole names, or how names begin.
    pub fn of(run: &Run) -> anyhow::Result<Self> {
        let all = case::cases();
        let exact = every_name();
        let named = |name: &str, quick: bool| match run.only.as_slice() {
            [] => !run.quick || quick,
            only => only
                .iter()
                .any(|word| name == word || !exact.contains(word) && name.starts_with(word.as_str())),
        };
        let mut cases: Vec<Case> = all.iter().filter(|case| named(&case.name, case.quick)).cloned().collect();
        // An open loop's rate is a share of what the closed one reached.
        for case in cases.clone() {
            if let Load::OpenLoop { connections, .. } = case.load {
                let name = closed_loop(connections);
                if !cases.iter().any(|case| case.name == name) {
                    cases.extend(all.iter().find(|case| case.name == name).cloned());
                }
            }
        }
        cases.sort_by_key(|case| all.iter().position(|other| other.name == case.name));
        let workloads = WORKLOADS.into_iter().filter(|count| named(&workloads_name(*count), false)).collect();
        let selection = Self { cases, idle: named(IDLE, true), workloads, pods: named(PODS, false) };
        let nothing = selection.cases.is_empty()
            && !selection.idle
            && selection.workloads.is_empty()
            && !selection.pods;
        ensure!(!nothing, "--only names no case: choose from {}", every_name().join(", "));
        Ok(selection)
    }
}

fn workloads_name(count: usize) -> String {
    format!("workloads-{count}")
}

fn every_name() -> Vec<String> {
    let mut names: Vec<String> = case::cases().into_iter().map(|case| case.name).collect();
    names.push(IDLE.to_owned());
    names.extend(WORKLOADS.map(workloads_name));
    names.push(PODS.to_owned());
    names
}

/// The paths of a run. Those without a mesh always come along: every other is put beside them.
pub fn chosen_paths(all: Vec<PathSpec>, wanted: &[String]) -> anyhow::Result<Vec<PathSpec>> {
    for name in wanted {
        let names: Vec<&str> = all.iter().map(|spec| spec.name.as_str()).collect();
        ensure!(names.contains(&name.as_str()), "there is no path {name}: choose from {}", names.join(", "));
    }
    let is_direct = |name: &str| name == DIRECT || name.strip_suffix(ONE_NODE) == Some(DIRECT);
    let keep = |spec: &PathSpec| {
        let same_nodes = |name: &String| all.iter().any(|one| one.name == *name && one.nodes == spec.nodes);
        wanted.is_empty()
            || wanted.contains(&spec.name)
            || is_direct(&spec.name) && wanted.iter().any(same_nodes)
    };
    Ok(all.iter().filter(|spec| keep(spec)).cloned().collect())
}

/// How often and how long.
pub fn plan(run: &Run) -> Plan {
    let (rounds, window, again_within) = match (run.quick, run.full) {
        (true, _) => (2, 1.0, 90),
        (_, true) => (7, 3.0, 3600),
        _ => (3, 1.2, 240),
    };
    Plan {
        rounds: run.rounds.unwrap_or(rounds).max(1),
        again: run.again,
        again_within: Duration::from_secs(again_within),
        lengths: Lengths {
            warm: Duration::from_millis(400),
            window: Duration::from_secs_f64(run.seconds.unwrap_or(window).clamp(0.2, 60.0)),
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn run(words: &[&str]) -> Run {
        let line = ["ambit-bench", "run"].iter().chain(words);
        match Arguments::parse_from(line).command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_open_loop_brings_its_closed_one_before_it() {
        let selection = Selection::of(&run(&["--only", "open-8"])).unwrap();
        let names: Vec<_> = selection.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["http-8", "open-8-50"]);
        assert!(!selection.idle && !selection.pods && selection.workloads.is_empty());
    }

    #[test]
    fn without_a_choice_everything_is_measured_and_quickly_a_part() {
        let all = Selection::of(&run(&[])).unwrap();
        assert_eq!(all.workloads, WORKLOADS);
        assert!(all.idle && all.pods && all.cases.len() == case::cases().len());
        let quick = Selection::of(&run(&["--quick"])).unwrap();
        assert!(quick.cases.len() < all.cases.len() && !quick.pods && quick.workloads.is_empty());
        assert!(Selection::of(&run(&["--only", "nonsense"])).is_err());
        let exact = Selection::of(&run(&["--only", "workloads-1000,bulk"])).unwrap();
        assert_eq!((exact.workloads, exact.cases.len()), (vec![1_000], 4));
    }

    #[test]
    fn the_path_without_a_mesh_comes_along() {
        let all = crate::stage::path::paths("ztunnel".into(), true, &[], &[]).unwrap();
        let names = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            chosen_paths(all.clone(), &wanted)
                .map(|specs| specs.into_iter().map(|spec| spec.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["ambit"]).unwrap(), ["direct", "ambit"]);
        assert_eq!(names(&["ambit-one-node"]).unwrap(), ["direct-one-node", "ambit-one-node"]);
        assert_eq!(names(&[]).unwrap().len(), all.len());
        assert!(names(&["nothing"]).is_err());
    }
}
