//! Reading all workers' series: adding them up, forgetting what is idle, writing them as text.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::directory::Entry;
use super::histogram::Counts;
use super::series::{RequestTotals, Totals};
use super::{Shard, Shared};
use crate::labels::Reporter;
use crate::metrics::exposition::write_label;
use crate::metrics::{Exposition, Kind};

type Sums = HashMap<*const Entry, Totals>;

/// A family: its name, its help, its value in a total, and whether a total shows it.
struct Column {
    name: &'static str,
    help: &'static str,
    value: fn(&Totals) -> u64,
    shown: fn(&Totals) -> bool,
}

/// Bytes are shown from the first connection on, ends and failures from the first one.
const COLUMNS: [Column; 5] = [
    Column {
        name: "istio_tcp_connections_opened",
        help: "Opened TCP connections",
        value: |totals| totals.opened,
        shown: |totals| totals.opened > 0,
    },
    Column {
        name: "istio_tcp_connections_closed",
        help: "Closed TCP connections",
        value: |totals| totals.closed,
        shown: |totals| totals.closed > 0,
    },
    Column {
        name: "istio_tcp_received_bytes",
        help: "Bytes from client to server",
        value: |totals| totals.received,
        shown: |totals| totals.opened > 0,
    },
    Column {
        name: "istio_tcp_sent_bytes",
        help: "Bytes from server to client",
        value: |totals| totals.sent,
        shown: |totals| totals.opened > 0,
    },
    Column {
        name: "istio_tcp_connections_failed",
        help: "TCP connections that failed or were refused",
        value: |totals| totals.failed,
        shown: |totals| totals.failed > 0,
    },
];

impl Shared {
    pub(super) fn write(&self, out: &mut Exposition) {
        let shards = self.shards.lock().clone();
        let mut rows = BTreeMap::<String, Totals>::new();
        {
            let _collecting = self.collecting.lock();
            let entries = self.directory.lock().entries();
            let sums = sum(&entries, &shards);
            for entry in &entries {
                // Different facts can read alike: what is empty and what is called so are both `unknown`.
                *rows.entry(labels(entry)).or_default() += &sums[&Arc::as_ptr(entry)];
            }
        }
        for column in &COLUMNS {
            let mut family = out.family(column.name, column.help, Kind::Counter);
            for (labels, totals) in rows.iter().filter(|(_, totals)| (column.shown)(totals)) {
                family.sample(labels, (column.value)(totals));
            }
        }
        write_requests(&rows, out);
        write_sockets(&shards, out);
    }

    /// Forgets label sets that have not changed for the limit's time and that no flow holds.
    pub(super) fn expire(&self, now: Instant) {
        let shards = self.shards.lock().clone();
        let _collecting = self.collecting.lock();
        let entries = self.directory.lock().entries();
        let sums = sum(&entries, &shards);
        for entry in entries {
            let mut history = entry.history.lock();
            let totals = sums[&Arc::as_ptr(&entry)].clone();
            let since = match history.seen {
                Some((ref seen, since)) if *seen == totals => since,
                _ => now,
            };
            history.seen = Some((totals, since));
            if now.saturating_duration_since(since) < self.limits.idle {
                continue;
            }
            for shard in &shards {
                history.retired += &shard.give_up(&entry);
            }
            drop(history);
            self.directory.lock().forget(&entry);
        }
    }
}

impl Shard {
    /// Removes the worker's series of an entry unless a flow holds it, and returns what it had counted.
    fn give_up(&self, entry: &Arc<Entry>) -> Totals {
        let mut table = self.series.lock();
        let Ok(mut found) = table.find_entry(entry.hash, |series| Arc::ptr_eq(&series.entry, entry)) else {
            return Totals::default();
        };
        // Flows get their clones under this lock, so a series that is unshared now stays so.
        let Some(series) = Arc::get_mut(found.get_mut()) else { return Totals::default() };
        let totals = series.totals();
        found.remove();
        totals
    }
}

fn sum(entries: &[Arc<Entry>], shards: &[Arc<Shard>]) -> Sums {
    let mut sums: Sums =
        entries.iter().map(|entry| (Arc::as_ptr(entry), entry.history.lock().retired.clone())).collect();
    for shard in shards {
        for series in shard.series.lock().iter() {
            // A series whose entry was interned after the listing waits for the next scrape.
            if let Some(sum) = sums.get_mut(&Arc::as_ptr(&series.entry)) {
                *sum += &series.totals();
            }
        }
    }
    sums
}

fn labels(entry: &Entry) -> String {
    let mut text = String::with_capacity(1024);
    entry.labels.write(&mut text);
    text
}

/// A family of histograms: its name, its help, and its value in a total.
type Distribution = (&'static str, &'static str, fn(&RequestTotals) -> &Counts);

const DISTRIBUTIONS: [Distribution; 3] = [
    (
        "istio_request_duration_milliseconds",
        "Time from a request's head to the end of its response, in milliseconds",
        |totals| &totals.duration,
    ),
    ("istio_request_bytes", "Bytes of requests, with their heads", |totals| &totals.received),
    ("istio_response_bytes", "Bytes of responses, with their heads", |totals| &totals.sent),
];

fn write_requests(rows: &BTreeMap<String, Totals>, out: &mut Exposition) {
    let requests = || rows.iter().filter_map(|(labels, totals)| Some((labels, totals.requests.as_deref()?)));
    let mut family = out.family("istio_requests", "Requests", Kind::Counter);
    for (labels, totals) in requests() {
        let all = totals.duration.cumulative().last().map_or(0, |(_, all)| all);
        family.sample(labels, all);
    }
    for (name, help, value) in DISTRIBUTIONS {
        let mut family = out.family(name, help, Kind::Histogram);
        for (labels, totals) in requests() {
            let counts = value(totals);
            family.histogram(labels, counts.cumulative(), counts.sum());
        }
    }
}

fn write_sockets(shards: &[Arc<Shard>], out: &mut Exposition) {
    let mut family = out.family("istio_tcp_sockets_open", "Open TCP sockets", Kind::Gauge);
    for reporter in [Reporter::Source, Reporter::Destination, Reporter::Waypoint] {
        let open: i64 = shards.iter().map(|shard| shard.sockets.of(reporter).load(Ordering::Relaxed)).sum();
        if reporter == Reporter::Waypoint && open <= 0 {
            continue;
        }
        let mut labels = String::new();
        write_label(&mut labels, "reporter", reporter.as_str());
        family.sample(&labels, open.max(0));
    }
}
