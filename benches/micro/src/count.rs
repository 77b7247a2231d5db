//! How many instructions do cases take? This program again, under callgrind.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::Case;

/// Counts some cases, run one after the other in one process by `program`, which must be this one.
///
/// # Errors
/// Valgrind is missing, a case failed, or something was not counted.
pub fn count(program: &Path, cases: &[&Case]) -> anyhow::Result<Vec<u64>> {
    let place = Place::new()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=ambit_micro::measured*"]);
    // Not the same function: callgrind would either toggle or dump.
    command.arg("--dump-after=ambit_micro::run*");
    command.arg(format!("--callgrind-out-file={}/counts", place.0.display()));
    command.arg(program).arg("run").args(cases.iter().map(|case| case.name));
    // The settings of who runs this must not change what is counted.
    let output = command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).output();
    let output = output.context("valgrind cannot be run: install the package valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cases failed under valgrind:\n{said}");
    let counted = (1..=cases.len()).map(|part| {
        let dump = std::fs::read_to_string(place.0.join(format!("counts.{part}")));
        dump.ok().and_then(|dump| total(&dump)).filter(|count| *count > 0)
    });
    match counted.collect() {
        Some(counted) => Ok(counted),
        None => bail!("callgrind did not count every case:\n{said}"),
    }
}

/// The number in `totals: 123` of a dump.
fn total(dump: &str) -> Option<u64> {
    let line = dump.lines().rev().find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok()
}

/// A directory that goes away with this.
struct Place(std::path::PathBuf);

impl Place {
    fn new() -> anyhow::Result<Self> {
        let name = format!("ambit-micro-{}-{:x}", std::process::id(), rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is only a temporary file.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found() {
        let dump = "# callgrind format\nevents: Ir\nfn=(1) measured\n0 7\ntotals: 123456\n";
        assert_eq!(total(dump), Some(123_456));
        assert_eq!(total("events: Ir\n"), None);
    }
}
