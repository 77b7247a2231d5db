//! The client of a path as a process that is told when to begin, to end and to stop; every wait is bounded.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ambit_netns::Namespace;
use anyhow::{Context, bail};

use crate::work::load::{Figures, Work};

/// Longest wait for an answer of the client, which itself gives up earlier.
const PATIENCE: Duration = Duration::from_secs(45);

/// A running client. It is killed when this is dropped.
#[derive(Debug)]
pub struct Client {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Client {
    /// Starts it, and waits until every connection has had its first answer.
    pub fn start(program: &Path, namespace: &Namespace, to: SocketAddr, work: Work) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["load", &to.to_string(), &serde_json::to_string(&work)?]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = namespace.spawn(&mut command).context("the client cannot be started")?;
        let orders = child.stdin.take();
        let out = child.stdout.take().context("the client has no standard output")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let client = Self { child, orders, answers };
        client.answer()?;
        Ok(client)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The window begins.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        self.order("begin")
    }

    /// The window ends: what was done in it.
    pub fn end(&mut self) -> anyhow::Result<Figures> {
        self.order("end")?;
        self.answer()
    }

    /// Finishes what is in flight and checks it.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.order("stop")?;
        self.answer()?;
        self.orders = None;
        self.child.wait()?;
        Ok(())
    }

    fn order(&mut self, word: &str) -> anyhow::Result<()> {
        let orders = self.orders.as_mut().context("the client has been stopped")?;
        writeln!(orders, "{word}").context("the client has ended")
    }

    /// Its next answer; an error when it says that anything was lost or wrong.
    fn answer(&self) -> anyhow::Result<Figures> {
        let Ok(line) = self.answers.recv_timeout(PATIENCE) else {
            bail!("the client did not answer within {PATIENCE:?}");
        };
        let figures: Figures =
            serde_json::from_str(&line).with_context(|| format!("the client said {line:?}"))?;
        if !figures.failures.is_empty() {
            bail!("{}", figures.failures.join("; "));
        }
        Ok(figures)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
