//! How much processor time went to programs that are not the bench's own?
//!
//! The bench runs in a world with process ids of its own, where it cannot see others; so it keeps the `/proc` from before.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use anyhow::Context;

use super::process::Stat;

/// The process that starts kernel threads.
const KERNEL: u32 = 2;

/// All processes of the machine, as far as the caller of the bench can see them.
#[derive(Debug)]
pub struct Foreign {
    proc: File,
    own: u32,
}

impl Foreign {
    /// Call before the world is made. Every descendant of `own` belongs to the bench.
    pub fn open(own: u32) -> anyhow::Result<Self> {
        Ok(Self { proc: File::open("/proc").context("/proc is not mounted")?, own })
    }

    /// Seconds used by others since they began, children that have ended included.
    pub fn seconds(&self) -> anyhow::Result<f64> {
        let root = PathBuf::from(format!("/proc/self/fd/{}", self.proc.as_raw_fd()));
        let mut stats = HashMap::new();
        for entry in root.read_dir().context("the machine's /proc cannot be read")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            // It may have ended in the meantime.
            let text = std::fs::read_to_string(root.join(&name).join("stat")).unwrap_or_default();
            if let Some(stat) = Stat::parse(&text) {
                stats.insert(pid, stat);
            }
        }
        Ok(sum(&stats, self.own))
    }
}

fn sum(stats: &HashMap<u32, Stat>, own: u32) -> f64 {
    let of_others = |(pid, stat): (&u32, &Stat)| {
        let kernel = *pid == KERNEL || stat.parent == KERNEL;
        let foreign = !kernel && !descends(stats, *pid, own);
        // What the bench's own children used is in their waiting parents outside as well.
        foreign.then_some(stat.user + stat.system + stat.children)
    };
    stats.iter().filter_map(of_others).sum()
}

fn descends(stats: &HashMap<u32, Stat>, pid: u32, from: u32) -> bool {
    let (mut at, mut seen) = (pid, HashSet::new());
    while seen.insert(at) {
        if at == from {
            return true;
        }
        let Some(stat) = stats.get(&at) else { return false };
        at = stat.parent;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_processes_and_kernel_threads_are_not_foreign() {
        let stat = |parent, user| Stat { parent, user, system: 0.0, children: 0.0 };
        let stats = HashMap::from([
            (1, stat(0, 1.0)),
            (2, stat(0, 10.0)),
            (3, stat(2, 100.0)),
            (50, stat(1, 1_000.0)),
            (51, stat(50, 10_000.0)),
            (52, stat(51, 100_000.0)),
            (60, stat(1, 2.0)),
        ]);
        assert_eq!(sum(&stats, 50), 3.0);
        assert_eq!(sum(&stats, 99), 111_003.0, "nothing is its own");
    }
}
