//! How is a running demo asked for its state, or told to end? By a line on a socket in its directory.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream as BlockingStream;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::ledger::Ledger;
use super::place::{Place, PlaceError};

/// How long a demo may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const STATUS: &str = "status";
const DOWN: &str = "down";

/// The state of a demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Where its files are.
    pub(crate) directory: String,
    /// What `controller check` says about the YAML as it is now.
    pub(crate) configuration: String,
    /// Whether that is valid. If not, what held before still holds.
    pub(crate) configuration_valid: bool,
    /// Its pods.
    pub(crate) pods: Vec<PodStatus>,
    /// Its processes.
    pub(crate) parts: Vec<PartStatus>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodStatus {
    /// Its name.
    pub(crate) name: String,
    /// Its Kubernetes namespace.
    pub(crate) namespace: String,
    /// Its node.
    pub(crate) node: String,
    /// Its addresses.
    pub(crate) addresses: Vec<String>,
    /// Who it is; nothing when it is not in the mesh.
    pub(crate) identity: Option<String>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartStatus {
    /// Its name, as for `ambit demo logs`.
    pub(crate) name: String,
    /// Its process id in the demo's world, while it runs.
    pub(crate) pid: Option<u32>,
    /// How often it was started.
    pub(crate) starts: u32,
    /// How it ended, when it has.
    pub(crate) ended: Option<String>,
}

/// Every process, from the ledger.
pub(crate) fn parts(ledger: &Ledger) -> Vec<PartStatus> {
    ledger.read(|book| {
        let part = |(name, entry): (&String, &super::ledger::PartEntry)| PartStatus {
            name: name.clone(),
            pid: entry.pid,
            starts: entry.starts,
            ended: entry.ended.clone(),
        };
        book.parts.iter().map(part).collect()
    })
}

/// Answers until told to end the demo; then returns.
pub(crate) async fn serve<F: Future<Output = Status> + Send + 'static>(
    listener: UnixListener,
    status: impl Fn() -> F + Clone + Send + 'static,
) {
    let (ended, mut end) = mpsc::channel(1);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = end.recv() => return,
        };
        let Ok((stream, _)) = stream else { continue };
        let (status, ended) = (status.clone(), ended.clone());
        tokio::spawn(async move {
            if answer(stream, status).await.is_ok_and(|down| down) {
                let _ = ended.send(()).await;
            }
        });
    }
}

/// Answers one question; says whether the demo is to end.
async fn answer<F: Future<Output = Status>>(
    stream: UnixStream,
    status: impl Fn() -> F,
) -> std::io::Result<bool> {
    let mut stream = tokio::io::BufReader::new(stream);
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await??;
    match line.trim() {
        STATUS => {
            let mut text = serde_json::to_vec(&status().await)?;
            text.push(b'\n');
            stream.get_mut().write_all(&text).await?;
            Ok(false)
        }
        DOWN => Ok(true),
        _ => Ok(false),
    }
}

/// Asks the running demo for its state.
pub(crate) fn status(place: &Place) -> anyhow::Result<Status> {
    let mut answer = String::new();
    BufReader::new(say(place, STATUS)?).read_line(&mut answer)?;
    serde_json::from_str(&answer).context("the demo did not answer: it is just starting or ending; ask again")
}

/// Tells the running demo to end.
pub(crate) fn down(place: &Place) -> anyhow::Result<()> {
    say(place, DOWN).map(drop)
}

fn say(place: &Place, word: &str) -> anyhow::Result<BlockingStream> {
    let mut stream = BlockingStream::connect(place.control()).map_err(|_| PlaceError::NotRunning)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{word}\n").as_bytes())?;
    Ok(stream)
}
