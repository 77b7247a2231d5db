//! The directory: watched, read where it changed when it settles, and handed on when it is different.

mod fingerprint;
mod notices;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ambit_kubernetes::Problem;
use tokio::time::Instant;

use crate::check::{self, Configuration, Files};
use fingerprint::fingerprint;
use notices::Notices;

/// How long a directory that never rests is left unread.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often the directory is looked at without a sign of change: the system may lose one, and links hide some.
const LOOK: Duration = Duration::from_secs(2);

/// What the directory holds, told once per change.
#[derive(Debug, Clone)]
pub enum Reading {
    /// It is valid.
    Valid(Arc<Configuration>),
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
    /// Away while it is read.
    files: Option<Files>,
    last: Option<Reading>,
    /// Of the directory, from before it was read last.
    fingerprint: u64,
}

impl Source {
    /// A directory that must exist now; it may vanish later, which counts as invalid.
    pub fn open(directory: &Path) -> Result<Self, SourceError> {
        match std::fs::read_dir(directory) {
            Ok(_) => Ok(Self { directory: directory.to_owned(), files: None, last: None, fingerprint: 0 }),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                Err(SourceError::NotDirectory(directory.to_owned()))
            }
            Err(source) => Err(SourceError::Missing { path: directory.to_owned(), source }),
        }
    }

    /// Reads the directory now; `None` if it is what it was.
    pub async fn read(&mut self) -> Option<Reading> {
        let reading = self.load().await?;
        self.differs(reading)
    }

    async fn load(&mut self) -> Option<Reading> {
        let directory = self.directory.clone();
        let mut files = self.files.take().unwrap_or_else(|| check::files(&directory));
        let load = move || (fingerprint(&directory), check::read(&mut files), files);
        match tokio::task::spawn_blocking(load).await {
            Ok((fingerprint, outcome, files)) => {
                self.fingerprint = fingerprint;
                self.files = Some(files);
                Some(outcome.map_or_else(Reading::Invalid, |valid| Reading::Valid(Arc::new(valid))))
            }
            Err(panic) => {
                tracing::error!(%panic, "reading the configuration failed: this is a bug, please report it");
                None
            }
        }
    }

    /// Whether the directory looks as it did when it was read last.
    async fn untouched(&self) -> bool {
        let directory = self.directory.clone();
        let now = tokio::task::spawn_blocking(move || fingerprint(&directory)).await;
        now.is_ok_and(|now| now == self.fingerprint)
    }

    fn differs(&mut self, reading: Reading) -> Option<Reading> {
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
        let mut notices = Notices::start(&self.directory);
        loop {
            let reading = self.settled(&mut notices).await;
            if let Some(reading) = reading.and_then(|reading| self.differs(reading)) {
                changed(reading).await;
            }
            while !notices.next(LOOK).await && self.untouched().await {}
            if notices.stale(&self.directory) {
                notices = Notices::start(&self.directory);
            }
        }
    }

    /// A reading during which nothing changed, so that a change of several files is taken as one and no half of a file
    /// as a whole; after [`LONGEST_WAIT`] any reading.
    async fn settled(&mut self, notices: &mut Notices) -> Option<Reading> {
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            notices.quiet(deadline).await;
            let reading = self.load().await;
            if !notices.arrived() || Instant::now() >= deadline {
                return reading;
            }
        }
    }
}

impl Reading {
    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Valid(ours), Self::Valid(theirs)) => ours.same_as(theirs),
            (Self::Invalid(ours), Self::Invalid(theirs)) => ours == theirs,
            _ => false,
        }
    }
}
