//! The directory: watched, read as a whole when it settles, and handed on when it is valid and different.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ambit_kubernetes::Problem;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::check::{self, Configuration};

/// How long nothing may change before the directory is read.
const QUIET: Duration = Duration::from_millis(60);
/// How long a directory that never rests is left unread.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often the directory is read without a sign of change: the system may lose one, and links hide some.
const RESCAN: Duration = Duration::from_secs(2);
/// Reading takes at most this part of the time.
const LOAD_SHARE: u32 = 20;

/// What the directory holds, told once per change.
#[derive(Debug, Clone)]
pub enum Reading {
    /// It is valid.
    Valid(Configuration),
    /// It is not; what was in force stays.
    Invalid(Vec<Problem>),
}

/// Why there is nothing to watch.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No such directory.
    #[error(
        "the configuration directory {} cannot be read: {source}; create it, or name another with --config",
        path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file.
    #[error("{} is not a directory; put its objects into a directory and name that with --config", .0.display())]
    NotDirectory(PathBuf),
}

/// A directory that is read again and again.
#[derive(Debug)]
pub struct Source {
    directory: PathBuf,
    last: Option<Reading>,
}

impl Source {
    /// A directory that must exist now; it may vanish later, which counts as invalid.
    pub fn open(directory: &Path) -> Result<Self, SourceError> {
        match std::fs::read_dir(directory) {
            Ok(_) => Ok(Self { directory: directory.to_owned(), last: None }),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                Err(SourceError::NotDirectory(directory.to_owned()))
            }
            Err(source) => Err(SourceError::Missing { path: directory.to_owned(), source }),
        }
    }

    /// Reads the directory now; `None` if it is what it was.
    pub async fn read(&mut self) -> Option<Reading> {
        let directory = self.directory.clone();
        let read = tokio::task::spawn_blocking(move || check::read(&directory)).await;
        let reading = match read {
            Ok(Ok(configuration)) => Reading::Valid(configuration),
            Ok(Err(problems)) => Reading::Invalid(problems),
            Err(panic) => {
                tracing::error!(%panic, "reading the configuration failed: this is a bug, please report it");
                return None;
            }
        };
        if self.last.as_ref().is_some_and(|last| last.same_as(&reading)) {
            return None;
        }
        self.last = Some(reading.clone());
        Some(reading)
    }

    /// Watches for ever and calls `changed` with each new reading.
    pub async fn watch<F>(mut self, mut changed: impl FnMut(Reading) -> F) -> std::convert::Infallible
    where
        F: Future<Output = ()>,
    {
        let (tell, mut events) = mpsc::channel(1);
        let mut watching = Watching::start(&self.directory, tell.clone());
        let mut pause = RESCAN;
        loop {
            let woken = tokio::time::timeout(pause, events.recv()).await;
            if woken.is_ok() {
                settle(&mut events).await;
            }
            if watching.is_stale(&self.directory) {
                watching = Watching::start(&self.directory, tell.clone());
            }
            let began = Instant::now();
            if let Some(reading) = self.read().await {
                changed(reading).await;
            }
            pause = RESCAN.max(began.elapsed() * LOAD_SHARE);
        }
    }
}

impl Reading {
    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Valid(ours), Self::Valid(theirs)) => {
                ours.objects == theirs.objects && ours.warnings == theirs.warnings
            }
            (Self::Invalid(ours), Self::Invalid(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

/// Waits until nothing has changed for a while, so that a change of several files is read as one.
async fn settle(events: &mut mpsc::Receiver<()>) {
    let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
    while tokio::time::Instant::now() < deadline {
        match tokio::time::timeout(QUIET, events.recv()).await {
            Ok(Some(())) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

/// The system's notices about one directory.
struct Watching {
    /// Kept for its thread.
    _watcher: Option<notify::RecommendedWatcher>,
    /// The directory that is watched, which its name may have left.
    inode: Option<(u64, u64)>,
}

impl Watching {
    fn start(directory: &Path, tell: mpsc::Sender<()>) -> Self {
        let inode = inode(directory);
        // A full channel holds a notice already.
        let notice = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| !event.kind.is_access() || closes(&event)) {
                let _ = tell.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(notice).and_then(|mut watcher| {
            watcher.watch(directory, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match watcher {
            Ok(watcher) => Self { _watcher: Some(watcher), inode },
            Err(error) => {
                tracing::warn!(%error, directory = %directory.display(),
                    "changes are noticed late, by reading every {} s: raise fs.inotify limits", RESCAN.as_secs());
                Self { _watcher: None, inode }
            }
        }
    }

    fn is_stale(&self, directory: &Path) -> bool {
        self.inode != inode(directory)
    }
}

/// Our own reading opens and closes files too; only a writer's end counts.
fn closes(event: &notify::Event) -> bool {
    use notify::event::{AccessKind, AccessMode, EventKind};
    matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)))
}

fn inode(directory: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
