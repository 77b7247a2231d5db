//! The results as tables, in Markdown that is also readable on a terminal.

use std::fmt::Write;

use super::statistics::Spread;
use super::summary::Row;
use crate::case::{Case, Unit};

/// The table of one case; nothing when it was not measured.
pub fn of_case(case: &Case, rows: &[&Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut head = vec![
        "path".to_owned(),
        case.unit.rate_name().to_owned(),
        "min - max".to_owned(),
        format!("proxies {}", case.unit.cost_name()),
        "machine".to_owned(),
    ];
    if case.unit != Unit::Gigabyte {
        head.extend(["p50 us", "p90", "p99", "p99.9"].map(str::to_owned));
    }
    head.extend(["peak MB".to_owned(), "remarks".to_owned()]);
    let mut lines = vec![head];
    for row in rows {
        let digits = if case.unit == Unit::Gigabyte { 2 } else { 0 };
        let mut cells = vec![
            row.path.clone(),
            median(row.rate, digits),
            row.rate.map_or_else(dash, |rate| format!("{:.digits$} - {:.digits$}", rate.min, rate.max)),
            median(row.proxies, if case.unit == Unit::Gigabyte { 2 } else { 4 }),
            median(row.machine, if case.unit == Unit::Gigabyte { 2 } else { 4 }),
        ];
        if case.unit != Unit::Gigabyte {
            cells.extend([row.p50, row.p90, row.p99, row.p999].map(|spread| median(spread, 0)));
        }
        cells.push(row.peak.map_or_else(dash, |peak| format!("{:.1}", peak.median / 1e6)));
        cells.push(remarks(row));
        lines.push(cells);
    }
    let offered = rows.iter().find_map(|row| row.offered);
    let offered =
        offered.map(|rate| format!("Offered to every path alike: {rate:.0} req/s.\n\n")).unwrap_or_default();
    format!("\n### {} (`{}`)\n\n{offered}{}", case.title, case.name, aligned(&lines))
}

fn median(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(dash, |spread| format!("{:.digits$}", spread.median))
}

fn dash() -> String {
    "-".to_owned()
}

fn remarks(row: &Row) -> String {
    let mut remarks = Vec::new();
    if let Some(reason) = row.void.first() {
        remarks.push(format!("**VOID** ({} samples): {reason}", row.void.len()));
    }
    if row.behind {
        remarks.push("could not keep up".to_owned());
    }
    if row.disturbed > 0 {
        remarks.push(format!("{} of {} samples disturbed", row.disturbed, row.samples));
    }
    remarks.join("; ")
}

/// A Markdown table with columns of even width; the first and the last are words, the others numbers.
pub fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).max(3)).collect();
    let words = |column: usize| column == 0 || column + 1 == columns;
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if words(column) {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if index == 0 {
            for (column, width) in widths.iter().enumerate() {
                let line = "-".repeat(*width);
                let _ = if words(column) { write!(text, "|-{line}-") } else { write!(text, "|-{line}:") };
            }
            text.push_str("|\n");
        }
    }
    text
}
