//! The stage: the process inside the demo's world that builds the mesh, performs the show, and stays if it is kept.

mod build;

use std::fs;
use std::process::ExitCode;

use ambit_netns::world::{self, Footing, World, WorldOptions};
use anyhow::Context;
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::control::{self, PodStatus, Status};
use super::event::{self, Event};
use super::ledger::{Ledger, WaitError};
use super::part::Backstage;
use super::place::Place;
use super::plan::{Pod, Role};
use super::programs::Programs;
use super::{acts, sweep};
use crate::arguments::Options;

pub(crate) use build::{Stage, build};

/// Lines of a part's log that are shown when it is to blame.
const LAST_LINES: usize = 12;
const MAKER: &str = "maker.pid";

/// Builds the demo in a world of its own, performs the show, and stays if it is to be kept. Must be called before the
/// process has threads.
pub fn run(place: Place, options: &Options) -> anyhow::Result<ExitCode> {
    // Out of reach of the terminal: the show decides what Ctrl-C means. Fails only for a process that is out already.
    let _ = nix::unistd::setsid();
    let programs = Programs::find()?;
    let claim = place.claim()?;
    sweep::start(&place)?;
    let world = world::create(&WorldOptions::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(play(&place, programs, options, world));
    // Reading standard input occupies a thread that nothing can interrupt.
    runtime.shutdown_background();
    // From here on the sweeper may have the place: nothing of the world outlives this process.
    drop(claim);
    ended
}

/// The process by which the world of a running demo is entered.
pub(crate) fn read_maker(place: &Place) -> anyhow::Result<u32> {
    let path = place.directory().join(MAKER);
    let text = fs::read_to_string(path).context("the demo is just starting or ending: try again")?;
    Ok(text.trim().parse()?)
}

/// Why the performance ended.
enum End {
    /// The show is over, whatever it showed.
    Done,
    /// Somebody asked for the end.
    Asked,
    /// It could not go on.
    Trouble(anyhow::Error),
}

async fn play(
    place: &Place,
    programs: Programs,
    options: &Options,
    world: World,
) -> anyhow::Result<ExitCode> {
    fs::write(place.directory().join(MAKER), format!("{}\n", world.outer_pid))?;
    event::tell(&Event::World { unprivileged: world.footing == Footing::UserNamespace });
    let ledger = Ledger::default();
    let mut asked = Asked::listen(place, &programs, &ledger)?;
    let (restart, restarted) = watch::channel(false);
    let backstage = Backstage {
        place: place.clone(),
        ledger: ledger.clone(),
        restart: restarted,
        verbose: options.verbose,
    };
    let performance = async {
        let stage = build(programs, backstage).await?;
        acts::perform(&stage, options.quick).await?;
        Ok::<Stage, anyhow::Error>(stage)
    };
    let mut kept = None;
    let end = tokio::select! {
        performed = performance => match performed {
            Ok(stage) => {
                kept = Some(stage);
                End::Done
            }
            Err(error) => End::Trouble(error),
        },
        () = asked.end() => End::Asked,
        () = end_of_input() => End::Asked,
        ended = ledger.any_end() => End::Trouble(ended.into()),
    };
    match end {
        End::Done => event::tell(&Event::Done),
        End::Asked => return Ok(ExitCode::SUCCESS),
        End::Trouble(error) => {
            tell_trouble(&ledger, &error);
            return Ok(ExitCode::FAILURE);
        }
    }
    if options.keep {
        restart.send_replace(true);
        asked.end().await;
    }
    drop(kept);
    Ok(ExitCode::SUCCESS)
}

fn tell_trouble(ledger: &Ledger, error: &anyhow::Error) {
    let log = match error.downcast_ref::<WaitError>() {
        Some(WaitError::Ended { part, .. }) => ledger.tail(part, LAST_LINES),
        _ => Vec::new(),
    };
    event::tell(&Event::Trouble { text: format!("{error:#}"), log });
}

/// The show closes our standard input when it ends, however it ends.
async fn end_of_input() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while matches!(input.read(&mut buffer).await, Ok(1..)) {}
}

/// The ways in which the end can be asked for.
struct Asked {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    control: JoinHandle<()>,
}

impl Asked {
    fn listen(place: &Place, programs: &Programs, ledger: &Ledger) -> anyhow::Result<Self> {
        let listener = UnixListener::bind(place.control())
            .with_context(|| format!("cannot listen on {}", place.control().display()))?;
        let (place, programs, ledger) = (place.clone(), programs.clone(), ledger.clone());
        let status = move || status(place.clone(), programs.clone(), ledger.clone());
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            control: tokio::spawn(control::serve(listener, status)),
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = &mut self.control => {}
        }
    }
}

async fn status(place: Place, programs: Programs, ledger: Ledger) -> Status {
    let (program, arguments) = programs.check(&place);
    let checked = tokio::process::Command::new(program).args(arguments).env_clear().output().await;
    let (valid, configuration) = match checked {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).trim_end().to_owned())
        }
        Err(error) => (false, format!("it cannot be checked: {error}")),
    };
    let pod = |pod: &Pod| PodStatus {
        name: pod.name.to_owned(),
        namespace: pod.namespace.to_owned(),
        node: pod.node().name.to_owned(),
        addresses: pod.addresses().map(|address| address.to_string()).to_vec(),
        identity: (pod.role != Role::Outsider).then(|| pod.identity()),
    };
    Status {
        directory: place.directory().display().to_string(),
        configuration,
        configuration_valid: valid,
        pods: Pod::all().map(pod).collect(),
        parts: control::parts(&ledger),
    }
}
