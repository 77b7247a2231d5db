//! The show: starts the stage, prints what it tells, passes Ctrl-C on, and makes sure that nothing is left.

mod account;

use std::io::Write;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use super::event::Event;
use super::place::Place;
use super::render;
use super::style::Style;
use crate::arguments::Options;
use account::Account;

/// How long the stage may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(8);

/// Runs the show.
pub fn run(place: &Place, options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(perform(place, options))
}

/// How watching the stage ended.
enum Watched {
    /// The show is over.
    Done,
    /// The stage ended before that.
    Lost,
    /// The user asked for the end.
    Interrupted(Signal),
    /// Nobody reads what we print.
    Unread,
}

async fn perform(place: &Place, options: &Options) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let mut account = Account::new(place, options.keep);
    let mut child = start(place, options)?;
    let out = child.stdout.take().context("the stage has no output")?;
    let mut error = child.stderr.take().context("the stage has no error output")?;
    let complaints = tokio::spawn(async move {
        let mut text = String::new();
        // What cannot be read is not there to be shown.
        let _ = error.read_to_string(&mut text).await;
        text
    });
    let screen = Screen { style: Style::of_standard_output(), silent: options.json };
    let watched = watch(out, &mut account, &screen, &mut signals).await?;
    let code = match watched {
        Watched::Done if options.keep => None,
        Watched::Done => {
            end(&mut child, place, &mut signals).await;
            account.look_for_leftovers(place);
            None
        }
        Watched::Lost => {
            end(&mut child, place, &mut signals).await;
            let said = complaints.await.unwrap_or_default();
            account.lost(said.trim());
            None
        }
        Watched::Interrupted(signal) => {
            screen.print(&[String::new(), format!("  ending the demo ({signal})")]).ok();
            terminate(&child);
            end(&mut child, place, &mut signals).await;
            account.interrupted(signal);
            Some(128 + signal as u8)
        }
        Watched::Unread => {
            terminate(&child);
            end(&mut child, place, &mut signals).await;
            Some(128 + Signal::SIGPIPE as u8)
        }
    };
    // Whoever closed our output does not want the rest.
    let _ = if options.json { print_json(&account) } else { screen.print(&account.closing(screen.style)) };
    Ok(code.map_or(if account.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }, ExitCode::from))
}

fn start(place: &Place, options: &Options) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot tell where this program is: mount /proc")?;
    let mut command = Command::new(&program);
    command.args(["demo", "stage", "--dir"]).arg(place.directory());
    for (flag, wanted) in
        [("--keep", options.keep), ("--verbose", options.verbose), ("--quick", options.quick)]
    {
        if wanted {
            command.arg(flag);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

async fn watch(
    out: ChildStdout,
    account: &mut Account,
    screen: &Screen,
    signals: &mut Signals,
) -> anyhow::Result<Watched> {
    let mut lines = BufReader::new(out).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            signal = signals.next() => return Ok(Watched::Interrupted(signal)),
        };
        let Some(line) = line else { return Ok(Watched::Lost) };
        let event: Event = serde_json::from_str(&line).context("the stage does not speak our language")?;
        if event == Event::Done {
            return Ok(Watched::Done);
        }
        account.enter(&event);
        if screen.print(&screen.lines(&event)).is_err() {
            return Ok(Watched::Unread);
        }
    }
}

fn terminate(child: &Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may have ended in the meantime.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// Waits for the stage's end and for its directory's. Hurries it when it takes too long or the user asks again.
async fn end(child: &mut Child, place: &Place, signals: &mut Signals) {
    let ended = tokio::select! {
        _ = child.wait() => true,
        () = tokio::time::sleep(PATIENCE) => false,
        _ = signals.next() => false,
    };
    if !ended {
        // The kernel ends everything else of the world with it.
        let _ = child.kill().await;
    }
    let gone = async {
        while place.is_used() || place.directory().exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, gone).await;
}

fn print_json(account: &Account) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &account.json())?;
    out.write_all(b"\n")
}

/// The signals by which a user ends the show.
struct Signals {
    interrupt: Listener,
    terminate: Listener,
    hangup: Listener,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}

/// Where the show is seen.
struct Screen {
    style: Style,
    silent: bool,
}

impl Screen {
    fn lines(&self, event: &Event) -> Vec<String> {
        let style = self.style;
        match event {
            Event::World { unprivileged } => render::introduction(style, *unprivileged),
            Event::Built { what, milliseconds } => render::built(style, what, *milliseconds),
            Event::Section { title, text } => render::section(style, title, text),
            Event::Row(row) => render::row(style, row),
            Event::Request(request) => render::request(style, request),
            Event::Note { text } => render::note(style, text),
            Event::Expectation(expectation) => render::expectation(style, expectation),
            Event::Log { part, line } => vec![style.dim(format!("    {part} | {line}"))],
            Event::Trouble { .. } | Event::FirstEncrypted | Event::Done => Vec::new(),
        }
    }

    fn print(&self, lines: &[String]) -> std::io::Result<()> {
        if self.silent {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        for line in lines {
            writeln!(out, "{}", line.trim_end())?;
        }
        out.flush()
    }
}
