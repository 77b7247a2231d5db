//! How the time of all processors was spent (`/proc/stat`).

use anyhow::Context;

/// Seconds since boot, summed over all processors.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Processors {
    /// Doing anything: user, system and interrupts. Stolen time is not in it.
    pub busy: f64,
    /// Taken by the hypervisor for somebody else.
    pub stolen: f64,
    /// All of it.
    pub total: f64,
}

impl Processors {
    /// Now.
    pub fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
        Self::parse(&text).context("/proc/stat has no line of all processors")
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.starts_with("cpu "))?;
        let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is in user time already.
        let [user, nice, system, idle, iowait, irq, softirq, steal, ..] = ticks.as_slice() else {
            return None;
        };
        let busy = user + nice + system + irq + softirq;
        let seconds = 1.0 / ticks_per_second();
        Some(Self {
            busy: busy * seconds,
            stolen: steal * seconds,
            total: (busy + idle + iowait + steal) * seconds,
        })
    }

    /// What was spent since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            busy: self.busy - earlier.busy,
            stolen: self.stolen - earlier.stolen,
            total: self.total - earlier.total,
        }
    }

    /// The stolen part of all time, 0 to 1.
    pub fn stolen_share(self) -> f64 {
        if self.total > 0.0 { self.stolen / self.total } else { 0.0 }
    }
}

/// The unit of times in `/proc`; 100 on every Linux.
pub fn ticks_per_second() -> f64 {
    match nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK) {
        Ok(Some(ticks)) => ticks as f64,
        _ => 100.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_apart_from_busy_time() {
        let text = "cpu  100 10 50 800 20 5 15 40 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let read = Processors::parse(text).unwrap();
        let unit = ticks_per_second();
        assert!((read.busy * unit - 180.0).abs() < 1e-6);
        assert!((read.total * unit - 1040.0).abs() < 1e-6);
        assert!((read.stolen_share() - 40.0 / 1040.0).abs() < 1e-9);
        assert_eq!(read.since(read).stolen_share(), 0.0);
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(Processors::read().unwrap().total > 0.0);
    }
}
