//! Who removes a demo's directory when the demo itself was killed? A process that does nothing but wait for that.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use super::place::Place;

/// Starts the sweeper of a place that this process has claimed.
pub(crate) fn start(place: &Place) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(["demo", "sweep", "--dir"]).arg(place.directory()).current_dir("/");
    // Out of reach of the terminal's signals, and holding nobody's output open.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("cannot start the process that cleans up afterwards")?;
    Ok(())
}

/// Waits until the demo is gone, however it ended, and removes its directory.
pub fn run(place: &Place) -> anyhow::Result<ExitCode> {
    place.sweep()?;
    Ok(ExitCode::SUCCESS)
}
