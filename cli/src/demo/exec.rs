//! `ambit demo exec`: how does any program run inside a pod, unmodified?

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use ambit_netns::{Namespace, world};
use anyhow::Context;

use super::place::{Place, PlaceError};
use super::plan::Pod;
use super::stage;

/// Runs `command` in the network namespace of `pod` with this process's input and output. Ends as it ends.
///
/// Must be called before the process has threads.
pub fn run(place: &Place, pod: &str, command: &[String]) -> anyhow::Result<ExitCode> {
    let Some(pod) = Pod::named(pod) else {
        let names: Vec<_> = Pod::all().map(|pod| pod.name).collect();
        anyhow::bail!("there is no pod {pod:?}: the demo's pods are {}", names.join(", "));
    };
    let (program, arguments) = command.split_first().context("no command: name one after `--`")?;
    if !place.is_used() {
        return Err(PlaceError::NotRunning.into());
    }
    let maker = stage::read_maker(place)?;
    world::enter(maker)?;
    let namespace = Namespace::open(pod.namespace_path()).context("the demo is still starting")?;
    // Replaces this process, inside the pod; comes back only to say why not.
    let error = namespace.run(|| Command::new(program).args(arguments).exec())?;
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            anyhow::bail!("{program} is not installed on this machine, whose programs the pods share")
        }
        _ => Err(error).with_context(|| format!("cannot run {program}")),
    }
}
