//! The directory of resources, watched: gives the node's pods whenever they change, and keeps the last good ones.

mod fingerprint;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ambit_kubernetes::{Directory, Limits, Loaded, Problem};
use notify::{RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::wanted::{concerns, nodes};
use crate::{NodeName, Pods, wanted};
use fingerprint::Fingerprint;

/// A change is read when nothing more has happened for this long ...
const QUIET: Duration = Duration::from_millis(50);
/// ... or since the first event for this long.
const PATIENCE: Duration = Duration::from_millis(500);
/// Looked at without any event, for file systems that tell nothing.
const RESCAN: Duration = Duration::from_secs(5);
/// Problems that are logged one by one.
const MOST_PROBLEMS: usize = 20;

/// Why the directory cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("the directory --config {} cannot be read ({source}): create it, or name another", path.display())]
pub(crate) struct SourceError {
    path: PathBuf,
    source: io::Error,
}

/// Fails when `directory` is not a directory that can be read.
///
/// # Errors
/// [`SourceError`]
pub(crate) fn readable(directory: &Path) -> Result<(), SourceError> {
    fs::read_dir(directory).map(drop).map_err(|source| SourceError { path: directory.to_owned(), source })
}

/// What of a file concerns a node.
pub(crate) struct Part {
    objects: Vec<Loaded>,
    nodes: BTreeSet<String>,
}

/// The directory as it was read last: of each file only what concerns the node.
pub(crate) type Files = Directory<Part>;

/// A directory of which nothing was read yet.
pub(crate) fn files(directory: &Path) -> Files {
    Directory::new(directory, Limits::default())
}

/// The node's pods, and the nodes that have pods, as they are in the directory now.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(files: &mut Files, node: &NodeName) -> Result<(Pods, BTreeSet<String>), Vec<Problem>> {
    let parts = files.read(|resources| {
        let nodes = nodes(&resources.objects);
        let mut objects = resources.objects;
        objects.retain(|loaded| concerns(loaded, node.as_str()));
        objects.shrink_to_fit();
        Part { objects, nodes }
    })?;
    let objects = parts.iter().flat_map(|part| &part.objects);
    let nodes = parts.iter().flat_map(|part| part.nodes.iter().cloned()).collect();
    Ok((wanted(objects, node.as_str()), nodes))
}

/// What to say when pods are on other nodes and none is on this one.
pub(crate) fn nobody_here(pods: &Pods, nodes: &BTreeSet<String>) -> Option<String> {
    if !pods.is_empty() || nodes.is_empty() {
        return None;
    }
    let nodes = nodes.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(format!("no pod is on this node: the pods' spec.nodeName are {nodes}; is --node right?"))
}

/// What the source has to say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sourced {
    /// The last good pods; `None` before the first.
    pub(crate) pods: Option<Arc<Pods>>,
    /// The nodes that have pods.
    pub(crate) nodes: BTreeSet<String>,
    /// How many problems the directory has now; the pods are older then.
    pub(crate) problems: usize,
    /// When the last look at the directory began: the pods are what held then.
    pub(crate) as_of: Option<Instant>,
}

/// Follows the directory until the receiver is gone. `look` asks for a look at once.
pub(crate) async fn follow(
    directory: PathBuf,
    node: NodeName,
    out: watch::Sender<Sourced>,
    look: Arc<Notify>,
) {
    let woken = Arc::new(Notify::new());
    let _watcher = watcher(&directory, &woken);
    let (mut last, mut known) = (None, None);
    let mut said = BTreeSet::new();
    while !out.is_closed() {
        let (at, name) = (directory.clone(), node.clone());
        let (before, kept) = (last.clone(), known.take());
        let began = Instant::now();
        let looked = tokio::task::spawn_blocking(move || {
            let now = Fingerprint::of(&at);
            // A file that changes while it is read has another fingerprint next time.
            let mut known: Files = kept.unwrap_or_else(|| files(&at));
            let read = (before.as_ref() != Some(&now)).then(|| (now, read(&mut known, &name)));
            (known, read)
        });
        if let Ok((files, read)) = looked.await {
            known = Some(files);
            if let Some((fingerprint, outcome)) = read {
                last = Some(fingerprint);
                publish(outcome, &mut said, &out);
            }
        }
        out.send_modify(|sourced| sourced.as_of = Some(began));
        tokio::select! {
            () = woken.notified() => quiet(&woken).await,
            () = look.notified() => {
                // What is being written is waited for, as ever; what has not changed costs nothing.
                let at = directory.clone();
                let now = tokio::task::spawn_blocking(move || Fingerprint::of(&at)).await.ok();
                if now != last {
                    quiet(&woken).await;
                }
            }
            () = sleep(RESCAN) => {}
            () = out.closed() => {}
        }
    }
}

fn publish(
    outcome: Result<(Pods, BTreeSet<String>), Vec<Problem>>,
    said: &mut BTreeSet<String>,
    out: &watch::Sender<Sourced>,
) {
    match outcome {
        Ok((pods, nodes)) => {
            if !said.is_empty() {
                tracing::info!("the configuration is valid again");
                said.clear();
            }
            out.send_modify(|sourced| {
                sourced.problems = 0;
                sourced.nodes = nodes;
                if sourced.pods.as_deref() != Some(&pods) {
                    sourced.pods = Some(Arc::new(pods));
                }
            });
        }
        Err(problems) => {
            let lines: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
            for line in lines.difference(said).take(MOST_PROBLEMS) {
                tracing::error!("invalid configuration: {line}");
            }
            if lines != *said {
                let kept = if out.borrow().pods.is_some() {
                    "the last one that was valid stays in force"
                } else {
                    "nothing is captured before it is valid"
                };
                tracing::error!("the configuration has {} problem(s): {kept}", problems.len());
            }
            *said = lines;
            out.send_modify(|sourced| sourced.problems = problems.len());
        }
    }
}

/// Until nothing has happened for a while.
async fn quiet(woken: &Notify) {
    let end = Instant::now() + PATIENCE;
    while timeout_at(end.min(Instant::now() + QUIET), woken.notified()).await.is_ok() && Instant::now() < end
    {
    }
}

fn watcher(directory: &Path, woken: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let woken = Arc::clone(woken);
    let watching = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the directory is an event as well, on some systems.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            woken.notify_one();
        }
    })
    .and_then(|mut watcher| watcher.watch(directory, RecursiveMode::Recursive).map(|()| watcher));
    watching
        .inspect_err(|error| {
            tracing::warn!(
                "the directory {} cannot be watched ({error}): it is looked at every {RESCAN:?}",
                directory.display()
            );
        })
        .ok()
}
