//! A few threads of our own for what blocks: a thread inside a pod's namespace must do nothing else.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::Mutex;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped and the jobs are done.
#[derive(Debug)]
pub(crate) struct Threads {
    jobs: mpsc::Sender<Job>,
}

impl Threads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for index in 0..count {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name(format!("namespace-{index}")).spawn(move || {
                loop {
                    let next = queue.lock().recv();
                    let Ok(job) = next else { return };
                    job();
                }
            })?;
        }
        Ok(Self { jobs })
    }

    /// Runs `job` on the first free thread.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        // The threads hold the queue as long as `self` holds the sender.
        let _ = self.jobs.send(Box::new(job));
    }
}
