//! The client of every path: a process that is told on its standard input when to begin, to end and to stop, and answers
//! each with one line of JSON.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::bulk::{self, Direction};
use super::connect::PATIENCE;
use super::recorder::histogram;
use super::requests::{self, Share};
use super::shared::Shared;
use super::{churn, pattern};

/// Longest wait for the first answers of all connections.
const START: Duration = Duration::from_secs(30);
/// Threads of a load with event loops.
const LOOPS: usize = 2;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Work {
    /// Bulk streams.
    Bulk {
        /// How many.
        streams: usize,
        /// Which way.
        direction: Direction,
    },
    /// Requests on connections that are kept.
    Requests {
        /// Connections.
        connections: usize,
        /// Requests a second over all connections (open loop); `None`: as fast as answers come (closed loop).
        rate: Option<f64>,
    },
    /// New connections.
    Churn {
        /// Clients at a time.
        clients: usize,
    },
    /// Idle connections.
    Hold {
        /// How many.
        connections: usize,
    },
}

/// What was done within the window.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Its length.
    pub seconds: f64,
    /// Requests, or connections.
    pub count: u64,
    /// Bytes of bulk streams.
    pub bytes: u64,
    /// Latencies in microseconds; empty without requests.
    pub latency: Option<Latency>,
    /// Whether requests of an open loop were still unanswered long after the window: more was asked than the path can do.
    pub behind: bool,
    /// What went wrong; anything here makes the sample void.
    pub failures: Vec<String>,
}

/// Quantiles, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Latency {
    /// 50 %.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Runs a client: `ready` is said when every connection has had its first answer.
pub fn run(to: SocketAddr, work: Work) -> anyhow::Result<()> {
    let threads = match work {
        Work::Bulk { streams, .. } => streams,
        Work::Requests { connections, .. } => LOOPS.min(connections),
        Work::Churn { clients } => clients,
        Work::Hold { .. } => 1,
    };
    let shared = Arc::new(Shared::new(threads)?);
    let running: Vec<_> = (0..threads)
        .map(|thread| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                if let Err(error) = one(to, work, thread, threads, &shared) {
                    shared.fail(&error);
                }
            })
        })
        .collect();
    let deadline = Instant::now() + START;
    while shared.ready.load(Ordering::SeqCst) < threads && !shared.stopped() && Instant::now() < deadline {
        std::thread::sleep(PAUSE);
    }
    if shared.ready.load(Ordering::SeqCst) < threads {
        shared.fail(&anyhow::anyhow!("not every connection was answered at the start"));
    }
    say(&Figures { failures: shared.failures(), ..Figures::default() })?;
    command(&shared, work)?;
    for thread in running {
        if thread.join().is_err() {
            shared.fail(&anyhow::anyhow!("a thread of the client ended"));
        }
    }
    say(&Figures { failures: shared.failures(), ..Figures::default() })
}

fn one(
    to: SocketAddr,
    work: Work,
    thread: usize,
    threads: usize,
    shared: &Arc<Shared>,
) -> anyhow::Result<()> {
    match work {
        Work::Bulk { direction, .. } => {
            let ready = || {
                shared.ready.fetch_add(1, Ordering::SeqCst);
            };
            let seed = pattern::mix(thread as u64);
            bulk::stream(to, direction, seed, shared, ready).with_context(|| format!("stream {thread}"))
        }
        Work::Requests { connections, rate } => {
            let own = connections / threads + usize::from(thread < connections % threads);
            let interval = rate.map(|rate| Duration::from_secs_f64(connections as f64 / rate));
            requests::run(Share { to, thread, connections: own, interval }, shared)
        }
        Work::Churn { .. } => churn::run(to, thread, shared),
        Work::Hold { connections } => churn::hold(to, connections, shared),
    }
}

/// Does as told until told to stop, or until nobody tells any more.
fn command(shared: &Shared, work: Work) -> anyhow::Result<()> {
    let mut begun = (Instant::now(), 0);
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "begin" => {
                let now = Instant::now();
                begun = (now, shared.bytes.load(Ordering::Relaxed));
                shared.recorders.iter().for_each(|recorder| recorder.begin(now));
            }
            "end" => {
                let now = Instant::now();
                let bytes = shared.bytes.load(Ordering::Relaxed) - begun.1;
                shared.end(now);
                let behind = matches!(work, Work::Requests { rate: Some(_), .. }) && !drained(shared);
                say(&figures(shared, now - begun.0, bytes, behind)?)?;
            }
            _ => break,
        }
    }
    shared.stop.store(true, Ordering::SeqCst);
    Ok(())
}

fn drained(shared: &Shared) -> bool {
    let deadline = Instant::now() + PATIENCE / 2;
    while Instant::now() < deadline && !shared.stopped() {
        if shared.drained.load(Ordering::SeqCst) >= shared.recorders.len() {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

fn figures(shared: &Shared, window: Duration, bytes: u64, behind: bool) -> anyhow::Result<Figures> {
    let (mut count, mut latencies) = (0, histogram()?);
    shared.recorders.iter().try_for_each(|recorder| recorder.add_to(&mut count, &mut latencies))?;
    let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
    let latency = (count > 0).then(|| Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: latencies.max() as f64 / 1e3,
    });
    Ok(Figures { seconds: window.as_secs_f64(), count, bytes, latency, behind, failures: shared.failures() })
}

fn say(figures: &Figures) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(figures)?)?;
    Ok(out.flush()?)
}
