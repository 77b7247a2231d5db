//! What one process has used and holds (`/proc/PID`).

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::processors::ticks_per_second;

/// Seconds of processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// In the program.
    pub user: f64,
    /// In the kernel for it.
    pub system: f64,
}

impl Times {
    /// Of a process, its threads that have ended included.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} has ended"))?;
        let stat = Stat::parse(&text).with_context(|| format!("/proc/{pid}/stat"))?;
        Ok(Self { user: stat.user, system: stat.system })
    }

    /// Both.
    pub fn both(self) -> f64 {
        self.user + self.system
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

impl std::ops::Add for Times {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { user: self.user + other.user, system: self.system + other.system }
    }
}

/// `/proc/PID/stat`, as far as it is needed here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stat {
    pub(super) parent: u32,
    pub(super) user: f64,
    pub(super) system: f64,
    /// Of children that have ended and were waited for.
    pub(super) children: f64,
}

impl Stat {
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses and may hold anything, parentheses too.
        let (_, rest) = text.rsplit_once(')')?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let number =
            |index: usize| words.get(index)?.parse::<f64>().ok().map(|ticks| ticks / ticks_per_second());
        Some(Self {
            parent: words.get(1)?.parse().ok()?,
            user: number(11)?,
            system: number(12)?,
            children: number(13)? + number(14)?,
        })
    }
}

/// What a process holds, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The same, with shared pages divided among those who share them.
    pub proportional: u64,
    /// The most that was resident since the last [`reset_peak`].
    pub peak: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Memory {
    /// Of a process, now.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))
        };
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        let descriptors = Path::new("/proc").join(pid.to_string()).join("fd").read_dir()?.count() as u64;
        Ok(Self {
            resident: field(&status, "VmRSS:") * 1024,
            peak: field(&status, "VmHWM:") * 1024,
            proportional: field(&rollup, "Pss:") * 1024,
            threads: field(&status, "Threads:"),
            descriptors,
        })
    }
}

impl std::ops::Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            resident: self.resident + other.resident,
            proportional: self.proportional + other.proportional,
            peak: self.peak + other.peak,
            descriptors: self.descriptors + other.descriptors,
            threads: self.threads + other.threads,
        }
    }
}

impl std::iter::Sum for Memory {
    fn sum<I: Iterator<Item = Self>>(each: I) -> Self {
        each.fold(Self::default(), std::ops::Add::add)
    }
}

/// Lets the peak begin anew (`clear_refs`, value 5).
pub fn reset_peak(pid: u32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").with_context(|| format!("{path} cannot be written"))
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_obstacle() {
        let text = "12 (a) b (c)) S 7 1 1 0 -1 4 10 20 0 0 300 200 50 25 20 0 9 0 1 1 1";
        let stat = Stat::parse(text).unwrap();
        let unit = ticks_per_second();
        assert_eq!(stat.parent, 7);
        assert_eq!((stat.user * unit, stat.system * unit, stat.children * unit), (300.0, 200.0, 75.0));
    }

    #[test]
    fn this_process_can_be_read() {
        let own = std::process::id();
        let memory = Memory::of(own).unwrap();
        assert!(memory.resident > 0 && memory.peak >= memory.proportional.min(memory.peak));
        assert!(memory.descriptors >= 3 && memory.threads >= 1);
        assert!(Times::of(own).unwrap().both() >= 0.0);
    }
}
