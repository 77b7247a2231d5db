//! The pictures of an outcome, for a page that people read.

use super::outcome::Outcome;
use super::statistics::Spread;
use super::summary::Row;
use super::svg::{Anchor, Ink, Picture, WIDTH, round_up};
use crate::stage::path::{AMBIT, DIRECT};

/// Where bars begin; names are to the left.
const LEFT: f64 = 170.0;
/// Room for a number behind a bar.
const BEHIND: f64 = 130.0;
const ROW: f64 = 22.0;

/// All pictures with their file names; those without data are left out.
pub fn pictures(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let rate = |row: &Row| row.rate;
    let machine = |row: &Row| row.machine;
    let panels = |title: &str, value: fn(&Row) -> Option<Spread>, digits, cases: &[(&str, &str)]| {
        bars(outcome, title, value, digits, cases)
    };
    let rates = panels(
        "Rate: longer is better",
        rate,
        (1, 0),
        &[
            ("bulk-1-up", "one bulk stream, Gbit/s"),
            ("http-64", "HTTP keep-alive, 64 connections, requests/s"),
            ("connections", "new connections/s"),
        ],
    );
    let costs = panels(
        "Processor time of the whole machine: shorter is better",
        machine,
        (2, 3),
        &[
            ("bulk-1-up", "one bulk stream, CPU-seconds per GB"),
            ("http-64", "HTTP keep-alive, 64 connections, CPU-seconds per 1,000 requests"),
            ("connections", "new connections, CPU-seconds per 1,000"),
        ],
    );
    let latencies = panels(
        "Latency at the same fixed rate, 64 connections: shorter is better",
        |row| row.p99,
        (0, 0),
        &[("open-64-50", "p99, microseconds, at half of the slowest path's rate")],
    );
    let all =
        [("rate.svg", rates), ("cost.svg", costs), ("latency.svg", latencies), ("node.svg", node(outcome))];
    all.into_iter().filter_map(|(name, picture)| Some((name, picture?))).collect()
}

fn ink(path: &str) -> Ink {
    match path {
        path if path.starts_with(DIRECT) => Ink::Bare,
        path if path.starts_with(AMBIT) => Ink::Ours,
        path if path.starts_with("sidecar") => Ink::Sidecar,
        _ => Ink::Rival,
    }
}

fn bars(
    outcome: &Outcome,
    title: &str,
    value: fn(&Row) -> Option<Spread>,
    (digits_bulk, digits): (usize, usize),
    cases: &[(&str, &str)],
) -> Option<String> {
    let mut picture = Picture::new(title);
    picture.text((16.0, 28.0), Anchor::Start, "head", title);
    let (mut y, mut drawn) = (56.0, false);
    for (case, words) in cases {
        let rows = outcome.rows.iter().filter(|row| row.case == *case && row.void.is_empty());
        let rows: Vec<(&Row, Spread)> = rows.filter_map(|row| Some((row, value(row)?))).collect();
        let Some(most) = rows.iter().map(|(_, spread)| spread.max).max_by(f64::total_cmp) else { continue };
        drawn = true;
        picture.text((16.0, y), Anchor::Start, "faint", words);
        y += 10.0;
        let scale = (WIDTH - LEFT - BEHIND) / round_up(most);
        let digits = if case.starts_with("bulk") { digits_bulk } else { digits };
        for (row, spread) in rows {
            let middle = y + ROW / 2.0;
            picture.text((LEFT - 8.0, middle + 4.5), Anchor::End, "", &row.path);
            picture.bar((LEFT, y + 3.0), ((spread.median * scale).max(1.0), ROW - 7.0), ink(&row.path));
            let (from, to) = (LEFT + spread.min * scale, LEFT + spread.max * scale);
            picture.rule((from, middle - 0.5), (to, middle - 0.5), "range");
            picture.text((to + 8.0, middle + 4.5), Anchor::Start, "", &format!("{:.digits$}", spread.median));
            y += ROW;
        }
        y += 26.0;
    }
    drawn.then(|| picture.finish(y - 8.0))
}

/// Memory of a node by its pods.
fn node(outcome: &Outcome) -> Option<String> {
    const TOP: f64 = 56.0;
    const BOTTOM: f64 = 376.0;
    const PODS: f64 = 250.0;
    let right = WIDTH - 40.0;
    let most = outcome.nodes.iter().filter_map(|kind| kind.bytes(PODS as usize)).map(|(bytes, _)| bytes);
    // Logarithmic: otherwise one of the lines is the axis.
    let decades = (round_up(most.max_by(f64::total_cmp)? / 1e6).log10().ceil()).max(1.0);
    let place = |pods: f64, bytes: f64| {
        let x = LEFT - 90.0 + (right - LEFT + 90.0) * pods / PODS;
        let y = BOTTOM - (BOTTOM - TOP) * ((bytes / 1e6).max(1.0).log10() / decades).clamp(0.0, 1.0);
        (x, y)
    };
    let title =
        "Memory of all proxies of a node with N idle pods (MB, logarithmic; dashed: fitted, not measured)";
    let mut picture = Picture::new(title);
    picture.text((16.0, 28.0), Anchor::Start, "head", title);
    for decade in 0..=decades as i32 {
        let bytes = 10_f64.powi(decade) * 1e6;
        picture.rule(place(0.0, bytes), place(PODS, bytes), "grid");
        let (x, y) = place(0.0, bytes);
        picture.text((x - 8.0, y + 4.0), Anchor::End, "faint", &format!("{:.0}", bytes / 1e6));
    }
    for pods in [1.0, 50.0, 100.0, 150.0, 200.0, 250.0] {
        let (x, _) = place(pods, 1e6);
        picture.text((x, BOTTOM + 20.0), Anchor::Middle, "faint", &format!("{pods:.0}"));
    }
    for kind in &outcome.nodes {
        let name = kind.path.strip_suffix(crate::stage::path::ONE_NODE).unwrap_or(&kind.path);
        let ink = ink(name);
        let measured: Vec<_> = kind
            .measured
            .iter()
            .map(|node| place(node.pods as f64, node.memory.proportional as f64))
            .collect();
        picture.line(&measured, ink, false);
        measured.iter().for_each(|point| picture.dot(*point, ink));
        let (last, (height, slope)) = kind.measured.last().zip(kind.fitted)?;
        let mut from = last.pods as f64;
        let mut fitted = Vec::new();
        while from < PODS {
            fitted.push(place(from, height + slope * from));
            from += 6.0;
        }
        let end = place(PODS, kind.bytes(PODS as usize)?.0);
        if from > last.pods as f64 {
            fitted.push(end);
            picture.line(&fitted, ink, true);
        }
        let megabytes = kind.bytes(PODS as usize)?.0 / 1e6;
        // Below the lowest line, above the others.
        let beside = if ink == Ink::Ours { 18.0 } else { -9.0 };
        picture.text((end.0, end.1 + beside), Anchor::End, "", &format!("{name}: {megabytes:.0} MB"));
    }
    Some(picture.finish(BOTTOM + 40.0))
}
