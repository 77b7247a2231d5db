//! The whole outcome as Markdown, which is also what the terminal shows.

use std::fmt::Write;

use super::outcome::Outcome;
use super::summary::Row;
use super::table::{aligned, of_case};
use super::targets::{Goal, Sense, Standing};
use crate::case::Case;
use crate::scale::pods::Nodes;
use crate::stage::path::AMBIT;

/// Pods for which a node's cost is shown.
const PODS: [usize; 6] = [1, 4, 10, 50, 100, 250];

/// All tables.
pub fn render(outcome: &Outcome, cases: &[Case]) -> String {
    let mut text = String::new();
    if outcome.void {
        text.push_str("**VOID: requests were lost or bytes were wrong; see the remarks.**\n\n");
    }
    text.push_str(&provenance(outcome));
    text.push_str(&goals(&outcome.goals));
    text.push_str(&compared(outcome, cases));
    for case in cases {
        let rows: Vec<&Row> = outcome.rows.iter().filter(|row| row.case == case.name).collect();
        text.push_str(&of_case(case, &rows));
    }
    text.push_str(&idle(outcome));
    text.push_str(&afterwards(outcome));
    text.push_str(&known(outcome));
    text.push_str(&nodes(&outcome.nodes));
    text
}

fn provenance(outcome: &Outcome) -> String {
    let from = &outcome.provenance;
    let machine = &from.machine;
    let mut text = format!(
        "{}; commit {}; {} x {}; Linux {}; {} rounds of {} s a sample; stolen {:.1} %, other programs {:.1} % of the \
         processors over the whole run.\n",
        from.date,
        from.commit,
        machine.processors,
        machine.processor,
        machine.kernel,
        from.rounds,
        from.window,
        from.stolen * 100.0,
        from.foreign * 100.0
    );
    let taken_again = outcome.rejected.len();
    let disturbed: usize = outcome.rows.iter().map(|row| row.disturbed).sum();
    let _ = writeln!(
        text,
        "{} samples, {taken_again} more were disturbed (over 5 % stolen or foreign) and taken again, {disturbed} stayed \
         disturbed and are marked.",
        outcome.samples.len()
    );
    text
}

fn goals(goals: &[Goal]) -> String {
    let head = ["figure", "beside", "must", "aim", "reached", "so"].map(str::to_owned).to_vec();
    let mut lines = vec![head];
    for goal in goals {
        let sign = if goal.sense == Sense::AtMost { "<=" } else { ">=" };
        let number = |number: f64| format!("{number:.2} {}", goal.unit).trim_end().to_owned();
        let so = match goal.standing() {
            Standing::Aim if goal.aim.is_some() => "aim reached",
            Standing::Aim | Standing::Must => "must reached",
            Standing::Missed => "**not reached**",
            Standing::NotMeasured => "not measured",
        };
        lines.push(vec![
            goal.figure.clone(),
            goal.beside.clone(),
            format!("{sign} {}", number(goal.must)),
            goal.aim.map_or_else(dash, |aim| format!("{sign} {}", number(aim))),
            goal.got.map_or_else(dash, number),
            so.to_owned(),
        ]);
    }
    format!("\n### Goals\n\n{}", aligned(&lines))
}

/// Ours divided by each rival's.
fn compared(outcome: &Outcome, cases: &[Case]) -> String {
    let mut rivals: Vec<&str> = outcome.rows.iter().map(|row| row.path.as_str()).collect();
    let mut seen = std::collections::HashSet::new();
    rivals
        .retain(|path| *path != AMBIT && !path.ends_with(crate::stage::path::ONE_NODE) && seen.insert(*path));
    let mut head = vec!["case".to_owned()];
    for rival in &rivals {
        head.extend([format!("rate / {rival}"), "machine CPU".to_owned()]);
    }
    head.push(String::new());
    let mut lines = vec![head];
    for case in cases.iter().filter(|case| matches!(case.load, crate::case::Load::Fixed(_))) {
        let Some(ours) = outcome.row(&case.name, AMBIT) else { continue };
        let mut cells = vec![case.name.clone()];
        for rival in &rivals {
            let theirs = outcome.row(&case.name, rival);
            let ratio = |ours: Option<super::statistics::Spread>,
                         theirs: Option<super::statistics::Spread>| {
                ours.zip(theirs)
                    .map_or_else(dash, |(ours, theirs)| format!("{:.2}", ours.median / theirs.median))
            };
            cells.push(ratio(ours.rate, theirs.and_then(|row| row.rate)));
            cells.push(ratio(ours.machine, theirs.and_then(|row| row.machine)));
        }
        cells.push(String::new());
        lines.push(cells);
    }
    if lines.len() < 2 || rivals.is_empty() {
        return String::new();
    }
    format!("\n### `ambit` divided by each other path\n\n{}", aligned(&lines))
}

fn idle(outcome: &Outcome) -> String {
    if outcome.idle.is_empty() {
        return String::new();
    }
    let head = [
        "path",
        "connections",
        "before MB",
        "with them MB",
        "MB / 1,000",
        "fds each",
        "CPU-s / s",
        "remarks",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for idle in &outcome.idle {
        lines.push(vec![
            idle.path.clone(),
            idle.connections.to_string(),
            megabytes(idle.before.proportional),
            megabytes(idle.during.proportional),
            format!("{:.2}", idle.bytes_per_thousand() / 1e6),
            format!("{:.1}", idle.descriptors_each()),
            format!("{:.4}", idle.processor),
            idle.void.as_ref().map(|reason| format!("**VOID**: {reason}")).unwrap_or_default(),
        ]);
    }
    format!("\n### Idle connections (all proxies together, proportional set size)\n\n{}", aligned(&lines))
}

fn afterwards(outcome: &Outcome) -> String {
    let mut lines =
        vec![["path", "resident MB", "proportional MB", "fds", "threads", ""].map(str::to_owned).to_vec()];
    for after in outcome.afterwards.iter().filter(|after| after.memory.resident > 0) {
        lines.push(vec![
            after.path.clone(),
            megabytes(after.memory.resident),
            megabytes(after.memory.proportional),
            after.memory.descriptors.to_string(),
            after.memory.threads.to_string(),
            String::new(),
        ]);
    }
    if lines.len() < 2 {
        return String::new();
    }
    format!("\n### All proxies of a path, idle after all of the above\n\n{}", aligned(&lines))
}

fn known(outcome: &Outcome) -> String {
    if outcome.known.is_empty() {
        return String::new();
    }
    let head = [
        "path",
        "workloads",
        "known after s",
        "CPU-s",
        "each ztunnel MB",
        "controller MB",
        "change ms",
        "http-64 req/s",
        "remarks",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for known in &outcome.known {
        let changes = super::statistics::Spread::of(known.changes.iter().copied());
        let largest = known.each.iter().map(|memory| memory.proportional).max().unwrap_or_default();
        let void = known.requests.as_ref().and_then(|sample| sample.void.clone());
        lines.push(vec![
            known.path.clone(),
            known.workloads.to_string(),
            format!("{:.1}", known.seconds),
            format!("{:.2}", known.processor),
            megabytes(largest),
            megabytes(known.controller.proportional),
            changes.map_or_else(dash, |all| format!("{:.0} ({:.0} - {:.0})", all.median, all.min, all.max)),
            known.requests.as_ref().map_or_else(dash, |sample| {
                format!("{:.0}", crate::case::Unit::Requests.rate(&sample.figures))
            }),
            known.failed.clone().or(void.map(|reason| format!("**VOID**: {reason}"))).unwrap_or_default(),
        ]);
    }
    format!(
        "\n### Workloads known to a node (a change: from the saving of a policy until it is enforced)\n\n{}",
        aligned(&lines)
    )
}

fn nodes(nodes: &[Nodes]) -> String {
    if nodes.is_empty() {
        return String::new();
    }
    let mut head = vec!["proxies of a node, MB".to_owned()];
    head.extend(PODS.map(|pods| format!("{pods} pod{}", if pods == 1 { "" } else { "s" })));
    head.extend(["KB a pod", "fds a pod", "idle CPU-s/s", "remarks"].map(str::to_owned));
    let mut lines = vec![head];
    for kind in nodes {
        let mut cells = vec![kind.path.clone()];
        cells.extend(PODS.map(|pods| match kind.bytes(pods) {
            Some((bytes, true)) => format!("{:.1}", bytes / 1e6),
            Some((bytes, false)) => format!("({:.0})", bytes / 1e6),
            None => dash(),
        }));
        cells.push(kind.fitted.map_or_else(dash, |line| format!("{:.1}", line.1 / 1e3)));
        let ends =
            kind.measured.first().zip(kind.measured.last()).filter(|(first, last)| last.pods > first.pods);
        cells.push(ends.map_or_else(dash, |(first, last)| {
            let more = last.memory.descriptors as f64 - first.memory.descriptors as f64;
            format!("{:.1}", more / (last.pods - first.pods) as f64)
        }));
        cells.push(
            kind.measured.last().map_or_else(dash, |last| format!("{:.4} at {}", last.processor, last.pods)),
        );
        cells.push(kind.failed.clone().unwrap_or_default());
        lines.push(cells);
    }
    format!(
        "\n### A node with N idle pods (in parentheses: not measured, from the line fitted to what was)\n\n{}",
        aligned(&lines)
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn dash() -> String {
    "-".to_owned()
}
