//! `ambit demo down`: how does a kept demo end?

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::{Place, PlaceError};
use super::{control, stage};

/// How long the demo may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends the demo and waits until nothing of it is left.
pub fn run(place: &Place) -> anyhow::Result<ExitCode> {
    if !place.is_used() {
        return Err(PlaceError::NotRunning.into());
    }
    let maker = stage::read_maker(place).ok();
    if control::down(place).is_err() || !gone(place) {
        // It does not listen: without its first process the kernel ends all the others.
        if let Some(maker) = maker {
            kill(Pid::from_raw(maker.try_into()?), Signal::SIGKILL)?;
        }
        anyhow::ensure!(
            gone(place),
            "the demo does not end: look for its processes with `ps -ef | grep ambit`"
        );
    }
    writeln!(std::io::stdout(), "The demo has ended; nothing of it is left.")?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the demo and its directory are gone within the patience.
pub(crate) fn gone(place: &Place) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while place.directory().exists() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
