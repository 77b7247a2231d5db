//! How is a program run as a part of the demo: in its namespace, its output logged, its end noticed?

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ambit_netns::Namespace;
use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};

use super::event::{self, Event};
use super::ledger::Ledger;
use super::place::Place;
use crate::shop::words::{News, Order};

/// Before a part of a kept demo that ended is started again.
const PAUSE: Duration = Duration::from_secs(1);
/// A log is put aside (`NAME.log.1`) when it has grown this long.
const LONGEST_LOG: u64 = 8 << 20;

/// How to start a part.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The part's name, unique in the demo.
    pub(crate) name: String,
    /// Where it runs.
    pub(crate) namespace: Namespace,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Its whole environment, but for PATH.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// Whether it is a program of the shop, which takes orders and tells news.
    pub(crate) shop: bool,
}

/// What every part shares.
#[derive(Debug, Clone)]
pub(crate) struct Backstage {
    /// Where the logs are.
    pub(crate) place: Place,
    /// Where everything is entered.
    pub(crate) ledger: Ledger,
    /// Whether parts that end are started again; they are once the show is over and the demo is kept.
    pub(crate) restart: watch::Receiver<bool>,
    /// Whether every line is told to the show.
    pub(crate) verbose: bool,
}

/// A part that was started; it ends with the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    orders: mpsc::UnboundedSender<Order>,
}

impl Part {
    /// Starts a part, and keeps an eye on it.
    pub(crate) fn start(recipe: Recipe, backstage: Backstage) -> anyhow::Result<Self> {
        let (orders, taken) = mpsc::unbounded_channel();
        let child = spawn(&recipe, &backstage.ledger)?;
        tokio::spawn(watch_over(recipe, backstage, child, taken));
        Ok(Self { orders })
    }

    /// Gives a program of the shop an order.
    pub(crate) fn order(&self, order: Order) {
        // When the part is gone, whoever waits for the outcome learns of that.
        let _ = self.orders.send(order);
    }
}

fn spawn(recipe: &Recipe, ledger: &Ledger) -> anyhow::Result<Child> {
    let mut command = Command::new(&recipe.program);
    command
        .args(&recipe.arguments)
        .env_clear()
        .envs(recipe.environment.iter().map(|(name, value)| (name, value)))
        .stdin(if recipe.shop { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let spawned = recipe.namespace.run(|| command.spawn())?;
    let child = spawned.with_context(|| format!("cannot start {}", recipe.program.display()))?;
    ledger.change(|book| {
        let entry = book.parts.entry(recipe.name.clone()).or_default();
        entry.pid = child.id();
        entry.starts += 1;
        entry.ended = None;
    });
    Ok(child)
}

async fn watch_over(
    recipe: Recipe,
    mut backstage: Backstage,
    mut child: Child,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    loop {
        let how = match attend(&recipe, &backstage, child, &mut orders).await {
            Ok(status) => words(status),
            Err(error) => format!("its output cannot be read: {error}"),
        };
        backstage.ledger.change(|book| {
            if let Some(entry) = book.parts.get_mut(&recipe.name) {
                entry.pid = None;
                entry.ended = Some(how);
            }
        });
        if backstage.restart.wait_for(|restart| *restart).await.is_err() {
            return;
        }
        child = loop {
            tokio::time::sleep(PAUSE).await;
            match spawn(&recipe, &backstage.ledger) {
                Ok(child) => break child,
                Err(error) => backstage.ledger.line(&recipe.name, &format!("{error:#}")),
            }
        };
    }
}

/// Passes orders on and output out until the part ends.
async fn attend(
    recipe: &Recipe,
    backstage: &Backstage,
    mut child: Child,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> io::Result<ExitStatus> {
    let log = Log::open(&backstage.place.log(&recipe.name))?;
    let (out, error) = (child.stdout.take(), child.stderr.take());
    let mut input = child.stdin.take();
    let sink = Sink { recipe, backstage, log: &log };
    let reading = async { tokio::join!(sink.read(out), sink.read(error)) };
    let ordering = async {
        while let Some(order) = orders.recv().await {
            hand_over(&mut input, &order).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = reading => {}
        () = ordering => {}
    }
    child.wait().await
}

async fn hand_over(input: &mut Option<ChildStdin>, order: &Order) {
    if let (Some(input), Ok(mut line)) = (input, serde_json::to_vec(order)) {
        line.push(b'\n');
        // A program that is gone is noticed by the end of its output.
        let _ = input.write_all(&line).await;
    }
}

struct Sink<'a> {
    recipe: &'a Recipe,
    backstage: &'a Backstage,
    log: &'a Log,
}

impl Sink<'_> {
    async fn read(&self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(stream) = stream else { return };
        let mut reader = BufReader::with_capacity(64 * 1024, stream);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line).await, Ok(1..)) {
            let text = String::from_utf8_lossy(&line);
            self.line(text.trim_end());
            line.clear();
        }
    }

    fn line(&self, text: &str) {
        let Backstage { ledger, verbose, .. } = self.backstage;
        let name = &self.recipe.name;
        if self.recipe.shop
            && let Ok(news) = serde_json::from_str::<News>(text)
        {
            if !matches!(news, News::Load(_) | News::Follow(_)) {
                self.log.write(text);
            }
            return ledger.news(name, news);
        }
        self.log.write(text);
        ledger.line(name, text);
        if *verbose {
            event::tell(&Event::Log { part: name.clone(), line: text.to_owned() });
        }
    }
}

/// A log file that does not grow for ever.
struct Log {
    path: PathBuf,
    file: Mutex<File>,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { path: path.to_owned(), file: file.into() })
    }

    fn write(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.metadata().is_ok_and(|metadata| metadata.len() >= LONGEST_LOG) {
            let aside = self.path.with_extension("log.1");
            if std::fs::rename(&self.path, aside).is_ok()
                && let Ok(fresh) = File::options().create(true).append(true).open(&self.path)
            {
                *file = fresh;
            }
        }
        // A full disk must not stop the demo; the last lines are in the ledger too.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {signal}"),
        },
        (None, None) => "for an unknown reason".to_owned(),
    }
}
