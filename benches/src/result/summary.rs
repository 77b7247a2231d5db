//! One row for each case and path: the middle of its samples.

use serde::Serialize;

use super::statistics::Spread;
use crate::case::{Case, Unit};
use crate::sample::Sample;

/// What the samples of one case over one path come to. A void sample makes the row void: its numbers are of the others.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The case.
    pub case: String,
    /// The path.
    pub path: String,
    /// Of its rates and costs.
    pub unit: Unit,
    /// Samples that count.
    pub samples: usize,
    /// Of those, how many were disturbed to the end.
    pub disturbed: usize,
    /// Why samples were void.
    pub void: Vec<String>,
    /// Requests a second that an open loop asked for.
    pub offered: Option<f64>,
    /// Whether an open loop asked for more than the path can do.
    pub behind: bool,
    /// In the unit's words.
    pub rate: Option<Spread>,
    /// Processor seconds of the proxies per unit.
    pub proxies: Option<Spread>,
    /// Processor seconds of the whole machine per unit, without stolen time.
    pub machine: Option<Spread>,
    /// Microseconds.
    pub p50: Option<Spread>,
    /// Microseconds.
    pub p90: Option<Spread>,
    /// Microseconds.
    pub p99: Option<Spread>,
    /// Microseconds.
    pub p999: Option<Spread>,
    /// Peak memory of all proxies, in bytes.
    pub peak: Option<Spread>,
    /// Share of stolen time, 0 to 1.
    pub stolen: Option<Spread>,
    /// Share of other programs, 0 to 1.
    pub foreign: Option<Spread>,
}

/// The row of one case and path; `None` when it was not measured.
pub fn row(samples: &[Sample], case: &Case, path: &str) -> Option<Row> {
    let all: Vec<&Sample> =
        samples.iter().filter(|sample| sample.case == case.name && sample.path == path).collect();
    if all.is_empty() {
        return None;
    }
    let good: Vec<&Sample> = all.iter().copied().filter(|sample| sample.void.is_none()).collect();
    let spread = |value: &dyn Fn(&Sample) -> f64| Spread::of(good.iter().map(|sample| value(sample)));
    let latency = |value: &dyn Fn(&crate::work::load::Latency) -> f64| {
        Spread::of(good.iter().filter_map(|sample| sample.figures.latency.as_ref()).map(value))
    };
    let unit = case.unit;
    Some(Row {
        case: case.name.clone(),
        path: path.to_owned(),
        unit,
        samples: good.len(),
        disturbed: good.iter().filter(|sample| sample.noisy()).count(),
        void: all.iter().filter_map(|sample| sample.void.clone()).collect(),
        offered: good.iter().find_map(|sample| sample.offered),
        behind: good.iter().any(|sample| sample.figures.behind),
        rate: spread(&|sample| unit.rate(&sample.figures)),
        proxies: spread(&|sample| sample.proxies.both() / unit.done(&sample.figures)),
        machine: spread(&|sample| sample.machine / unit.done(&sample.figures)),
        p50: latency(&|latency| latency.p50),
        p90: latency(&|latency| latency.p90),
        p99: latency(&|latency| latency.p99),
        p999: latency(&|latency| latency.p999),
        peak: spread(&|sample| sample.memory.peak as f64),
        stolen: spread(&|sample| sample.stolen),
        foreign: spread(&|sample| sample.foreign),
    })
}
