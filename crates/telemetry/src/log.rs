//! The process log: Istio's two formats, levels that can be changed while running, a writer that never blocks.
//!
//! Directives are those of `RUST_LOG`: `LEVEL` or `TARGET=LEVEL`, separated by commas, the longest target that fits
//! deciding. The access log is the target `access`.

mod escape;
mod json;
mod plain;
mod writer;

use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry as Spans, reload};

use crate::metrics::{Collect, Exposition, Kind, Registry};
use writer::Queue;

/// What the log looks like (Istio's `LOG_FORMAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Tabs between time, level, `target:span`, message and `key=value` pairs.
    #[default]
    Plain,
    /// One object per line: `level`, `time`, `scope`, `message`, then the fields.
    Json,
}

/// A text that is not a log format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("log format {0:?} is neither \"plain\" nor \"json\"")]
pub struct UnknownLogFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            other => Err(UnknownLogFormat(other.chars().take(40).collect())),
        }
    }
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// What it looks like.
    pub format: LogFormat,
    /// What is logged, such as `info` or `info,access=warn`.
    pub directives: String,
    /// Bytes that may wait for a slow reader before lines are dropped.
    pub buffer: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Plain, directives: "info".into(), buffer: 4 * 1024 * 1024 }
    }
}

/// Why the log could not be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directives cannot be read.
    #[error(
        "log level {directives:?} is not LEVEL or TARGET=LEVEL[,...] with trace, debug, info, warn, error or off: {reason}"
    )]
    Directives {
        /// What was given.
        directives: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The process logs already.
    #[error("the log is already set up; set it up once per process")]
    AlreadySet,
    /// The writing thread could not be started.
    #[error("the log's writing thread could not be started; raise the limit of threads: {0}")]
    Thread(std::io::Error),
}

/// Sets up the log of this process to `output`, usually standard output. Keep the [`LogGuard`] until the process ends:
/// dropped, it writes what still waits.
///
/// # Errors
/// [`LogError`]; nothing is set up then.
pub fn init(
    settings: &LogSettings,
    output: impl Write + Send + 'static,
) -> Result<(LogControl, LogGuard), LogError> {
    let (subscriber, control, guard) = build(settings, output)?;
    subscriber.try_init().map_err(|_| LogError::AlreadySet)?;
    Ok((control, guard))
}

/// What [`init`] installs, for use as one thread's subscriber.
///
/// # Errors
/// [`LogError`], but not that the log is already set up.
pub fn build(
    settings: &LogSettings,
    output: impl Write + Send + 'static,
) -> Result<(impl Subscriber + Send + Sync + 'static, LogControl, LogGuard), LogError> {
    let initial = parse(&settings.directives)?;
    let queue = Queue::start(output, settings.buffer).map_err(LogError::Thread)?;
    let (filter, handle) = reload::Layer::new(initial.clone());
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(queue.clone());
    let lines: Box<dyn Layer<_> + Send + Sync> = match settings.format {
        LogFormat::Plain => Box::new(lines.event_format(plain::Plain).fmt_fields(plain::Plain)),
        LogFormat::Json => Box::new(lines.event_format(json::Json).fmt_fields(json::Json)),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    let levels = Levels { initial: settings.directives.clone(), current: initial };
    let control = LogControl { handle, levels: Arc::new(Mutex::new(levels)), queue: queue.clone() };
    Ok((subscriber, control, LogGuard { queue }))
}

/// A bare word is a level and nothing else: read as a target, as `RUST_LOG` may be, a misspelt level would silence the
/// process. What no directive names is logged from `error` up.
fn parse(directives: &str) -> Result<Targets, LogError> {
    let refuse =
        |reason: String| LogError::Directives { directives: directives.chars().take(200).collect(), reason };
    let bare = || directives.split(',').map(str::trim).filter(|word| !word.is_empty() && !word.contains('='));
    if let Some(word) = bare().find(|word| LevelFilter::from_str(word).is_err()) {
        return Err(refuse(format!("{word:?} is no level; for a target write TARGET=LEVEL")));
    }
    let text = if bare().next().is_some() { directives.to_owned() } else { format!("error,{directives}") };
    Targets::from_str(&text).map_err(|reason| refuse(reason.to_string()))
}

/// Changes what is logged while the process runs (`POST /logging`). Clones control the same log.
#[derive(Debug, Clone)]
pub struct LogControl {
    handle: reload::Handle<Targets, Spans>,
    levels: Arc<Mutex<Levels>>,
    queue: Queue,
}

#[derive(Debug)]
struct Levels {
    initial: String,
    current: Targets,
}

impl LogControl {
    /// What is logged now, as directives.
    pub fn current(&self) -> String {
        self.levels.lock().current.to_string()
    }

    /// Adds directives to those in force; the later of two for one target counts. Returns what is logged now.
    ///
    /// # Errors
    /// [`LogError::Directives`]; nothing changes then.
    pub fn add(&self, directives: &str) -> Result<String, LogError> {
        parse(directives)?;
        let mut levels = self.levels.lock();
        let text = format!("{},{directives}", levels.current);
        self.apply(&mut levels, &text)
    }

    /// Returns to the directives of the start, and adds `directives` to them (`""` for none).
    ///
    /// # Errors
    /// [`LogError::Directives`]; nothing changes then.
    pub fn reset(&self, directives: &str) -> Result<String, LogError> {
        parse(directives)?;
        let mut levels = self.levels.lock();
        let text = match directives {
            "" => levels.initial.clone(),
            more => format!("{},{more}", levels.initial),
        };
        self.apply(&mut levels, &text)
    }

    fn apply(&self, levels: &mut Levels, text: &str) -> Result<String, LogError> {
        let targets = parse(text)?;
        // The handle fails only when the subscriber is gone, and then there is nothing to change.
        let _ = self.handle.reload(targets.clone());
        levels.current = targets;
        Ok(levels.current.to_string())
    }

    /// Lines that were dropped because the reader of the log was too slow.
    pub fn dropped_lines(&self) -> u64 {
        self.queue.dropped()
    }

    /// Makes `ambit_log_lines_dropped_total` appear in `registry`.
    pub fn register(&self, registry: &Registry) {
        registry.register(DroppedLines(self.queue.clone()));
    }

    /// Waits until all lines so far are written; `false` if that took longer than `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        self.queue.flush(patience)
    }
}

struct DroppedLines(Queue);

impl Collect for DroppedLines {
    fn collect(&self, out: &mut Exposition) {
        let help = "Log lines dropped because their reader was too slow";
        out.family("ambit_log_lines_dropped", help, Kind::Counter).sample("", self.0.dropped());
    }
}

/// Writes what still waits when it is dropped, for at most two seconds.
#[derive(Debug)]
pub struct LogGuard {
    queue: Queue,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.flush(Duration::from_secs(2));
        self.queue.close();
    }
}
