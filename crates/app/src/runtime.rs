//! The threads of a process: one control runtime on the main thread, and workers that share nothing.
//!
//! Each worker is one named thread with its own single-threaded runtime. A worker that panics is reported by
//! [`Workers::failed`], on which the program must end: a process that is half alive is worse than a dead one.

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub mod load;
mod threads;

pub use load::Load;
pub use threads::{ThreadsError, cores, worker_threads};

/// A worker that panicked; the process must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker {name} panicked: {message}; this is a bug, please report it with the lines above")]
pub struct WorkerFailed {
    /// The thread's name.
    pub name: String,
    /// What it said.
    pub message: String,
}

/// Runs `work` on this thread until it is done, with timers and sockets: the control runtime.
///
/// # Errors
/// The system has no descriptors or memory left for a runtime.
pub fn control<F: Future>(work: F) -> io::Result<F::Output> {
    Ok(runtime("control")?.block_on(work))
}

fn runtime(name: &str) -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .thread_name(format!("{name}-blocking"))
        .build()
}

/// Threads with a runtime each. Dropped, they are told to stop and not waited for.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    failure: Arc<watch::Sender<Option<WorkerFailed>>>,
}

#[derive(Debug)]
struct Worker {
    name: String,
    handle: Handle,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl Workers {
    /// Starts `count` threads named `name-0`, `name-1`, ... and runs `body(index)` on each. A worker goes on, for what is
    /// spawned on it, when its body has returned; it ends with [`Workers::stop`].
    ///
    /// # Errors
    /// A thread or runtime cannot be made; those already started stop.
    pub fn start<B, F>(count: usize, name: &str, body: B) -> io::Result<Self>
    where
        B: Fn(usize) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let body = Arc::new(body);
        let mut workers =
            Self { workers: Vec::with_capacity(count), failure: Arc::new(watch::Sender::new(None)) };
        for index in 0..count {
            let name = format!("{name}-{index}");
            let body = Arc::clone(&body);
            let worker = start_one(name, Arc::clone(&workers.failure), move || body(index))?;
            workers.workers.push(worker);
        }
        Ok(workers)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// The runtime of the worker `index` (modulo their number), to spawn on or to enter; `None` if there are none.
    pub fn handle(&self, index: usize) -> Option<&Handle> {
        let index = index.checked_rem(self.workers.len())?;
        self.workers.get(index).map(|worker| &worker.handle)
    }

    /// Runs a future on the worker `index` (modulo their number). A panic in it counts as the worker's.
    ///
    /// The handle resolves to `None` if the future panicked or the worker stopped first; with no workers at all, the
    /// future is dropped and the result is `None`.
    pub fn spawn_on<F>(&self, index: usize, work: F) -> Option<JoinHandle<Option<F::Output>>>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let worker = self.workers.get(index.checked_rem(self.workers.len())?)?;
        let failure = Arc::clone(&self.failure);
        let name = worker.name.clone();
        Some(worker.handle.spawn(async move {
            match AssertUnwindSafe(work).catch_unwind().await {
                Ok(output) => Some(output),
                Err(panic) => {
                    report(&failure, &name, panic.as_ref());
                    None
                }
            }
        }))
    }

    /// Resolves when a worker has panicked; never while all are well.
    pub async fn failed(&self) -> WorkerFailed {
        let mut failure = self.failure.subscribe();
        loop {
            if let Some(failed) = failure.borrow_and_update().clone() {
                return failed;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops every worker: what still runs on it is dropped. Resolves when the threads have ended.
    ///
    /// # Errors
    /// A worker had panicked before.
    pub async fn stop(self) -> Result<(), WorkerFailed> {
        let (stops, ends): (Vec<_>, Vec<_>) =
            self.workers.into_iter().map(|worker| (worker.stop, worker.stopped)).unzip();
        // Dropping the sender is the message; all get it before any is waited for.
        drop(stops);
        for end in ends {
            let _ = end.await;
        }
        let failed = self.failure.borrow().clone();
        failed.map_or(Ok(()), Err)
    }
}

fn start_one<F>(
    name: String,
    failure: Arc<watch::Sender<Option<WorkerFailed>>>,
    body: impl FnOnce() -> F + Send + 'static,
) -> io::Result<Worker>
where
    F: Future<Output = ()> + 'static,
{
    let runtime = runtime(&name)?;
    let handle = runtime.handle().clone();
    let (stop, stopping) = oneshot::channel::<()>();
    let (ended, stopped) = oneshot::channel::<()>();
    let thread_name = name.clone();
    thread::Builder::new().name(name.clone()).spawn(move || {
        let work = async move {
            let body = AssertUnwindSafe(async move { body().await }).catch_unwind();
            tokio::pin!(stopping, body);
            tokio::select! {
                biased;
                _ = &mut stopping => return,
                outcome = &mut body => if let Err(panic) = outcome {
                    report(&failure, &thread_name, panic.as_ref());
                },
            }
            let _ = stopping.await;
        };
        runtime.block_on(work);
        runtime.shutdown_background();
        // Told last: by now nothing of this worker runs any more.
        drop(ended);
    })?;
    Ok(Worker { name, handle, stop, stopped })
}

fn report(failure: &watch::Sender<Option<WorkerFailed>>, name: &str, panic: &(dyn Any + Send)) {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    tracing::error!(worker = name, message, "worker panicked");
    // The first failure is the cause; later ones follow from it.
    failure.send_if_modified(|failed| {
        let first = failed.is_none();
        if first {
            *failed = Some(WorkerFailed { name: name.to_owned(), message });
        }
        first
    });
}
