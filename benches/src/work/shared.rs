//! What the threads of a load share with the one that is told when to begin, to end and to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::recorder::Recorder;

/// Failures that are kept; more of the same say nothing new.
const KEPT: usize = 5;

/// One load. A failure of any thread ends all of them: the sample is void.
#[derive(Debug)]
pub struct Shared {
    /// No new work; what is in flight is finished and checked.
    pub stop: AtomicBool,
    /// When the window ended.
    ended: Mutex<Option<Instant>>,
    is_ended: AtomicBool,
    /// Threads that have had their first answers.
    pub ready: AtomicUsize,
    /// Threads of an open loop that have finished everything of the window.
    pub drained: AtomicUsize,
    /// Bytes of bulk streams.
    pub bytes: AtomicU64,
    failures: Mutex<Vec<String>>,
    /// One for each thread.
    pub recorders: Vec<Recorder>,
}

impl Shared {
    /// For so many threads.
    pub fn new(threads: usize) -> anyhow::Result<Self> {
        Ok(Self {
            stop: AtomicBool::new(false),
            ended: Mutex::new(None),
            is_ended: AtomicBool::new(false),
            ready: AtomicUsize::new(0),
            drained: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            failures: Mutex::default(),
            recorders: (0..threads).map(|_| Recorder::new()).collect::<anyhow::Result<_>>()?,
        })
    }

    /// Whether to begin nothing new.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The window ends.
    pub fn end(&self, at: Instant) {
        *self.ended.lock() = Some(at);
        self.recorders.iter().for_each(|recorder| recorder.end(at));
        self.is_ended.store(true, Ordering::Release);
    }

    /// When the window ended, if it has.
    pub fn ended(&self) -> Option<Instant> {
        if self.is_ended.load(Ordering::Acquire) { *self.ended.lock() } else { None }
    }

    /// A request was lost or answered wrongly.
    pub fn fail(&self, error: &anyhow::Error) {
        let mut failures = self.failures.lock();
        if failures.len() < KEPT {
            failures.push(format!("{error:#}"));
        }
        self.stop.store(true, Ordering::SeqCst);
    }

    /// What failed.
    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().clone()
    }
}
