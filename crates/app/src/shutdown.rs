//! The end of the process: asked for by a signal or by the program, graceful first, at once when asked again.

use std::fmt;
use std::io;
use std::time::Duration;

use ambit_transport::drain::{Drain, Mode};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// How long an immediate drain may take before the process ends without it.
const LAST_CALL: Duration = Duration::from_secs(5);

/// Why the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// SIGTERM, as every supervisor sends it.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// The program itself, for this reason.
    Asked(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terminate => f.write_str("SIGTERM"),
            Self::Interrupt => f.write_str("SIGINT"),
            Self::Asked(reason) => f.write_str(reason),
        }
    }
}

/// How a drain came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// Everything ended by itself within the grace period.
    Gracefully,
    /// What was left when the grace period was over was cut.
    Deadline,
    /// What was left when the end was asked for a second time was cut.
    Hurried(Cause),
}

/// Asks for the end of the process from within it; clones are alike.
#[derive(Debug, Clone)]
pub struct Trigger {
    asked: mpsc::UnboundedSender<String>,
}

impl Trigger {
    /// Begins the shutdown, or hurries one that has begun.
    pub fn shut_down(&self, reason: impl Into<String>) {
        // Nobody listens any more when the process is past its drain.
        let _ = self.asked.send(reason.into());
    }
}

/// Listens for the end.
#[derive(Debug)]
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    asked: mpsc::UnboundedReceiver<String>,
    trigger: Trigger,
}

impl Shutdown {
    /// From here on SIGTERM and SIGINT no longer kill the process. Call it inside a runtime.
    ///
    /// # Errors
    /// The runtime has no signal driver or the system refuses.
    pub fn install() -> io::Result<Self> {
        let (sender, asked) = mpsc::unbounded_channel();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            asked,
            trigger: Trigger { asked: sender },
        })
    }

    /// Asks for the end from elsewhere in the process.
    pub fn trigger(&self) -> Trigger {
        self.trigger.clone()
    }

    /// Resolves when the end is asked for; again for every further time.
    pub async fn requested(&mut self) -> Cause {
        tokio::select! {
            _ = self.terminate.recv() => Cause::Terminate,
            _ = self.interrupt.recv() => Cause::Interrupt,
            // The sender lives in self.trigger, so the channel stays open.
            Some(reason) = self.asked.recv() => Cause::Asked(reason),
        }
    }

    /// Drains gracefully for at most `grace`, less when the end is asked for once more, then at once for at most 5 s.
    pub async fn drain(&mut self, drain: &Drain, grace: Duration) -> Drained {
        drain.drain(Mode::Graceful);
        let drained = tokio::select! {
            biased;
            () = drain.finished() => return Drained::Gracefully,
            cause = self.requested() => Drained::Hurried(cause),
            () = tokio::time::sleep(grace) => Drained::Deadline,
        };
        drain.drain(Mode::Immediate);
        if tokio::time::timeout(LAST_CALL, drain.finished()).await.is_err() {
            tracing::warn!("work is still running {LAST_CALL:?} after it was told to end: ending without it");
        }
        drained
    }
}
