//! The text that a scraper reads: Prometheus text format 0.0.4, or OpenMetrics 1.0 for those who ask for it.

use std::fmt::{Display, Write};

use super::instrument::Kind;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header (RFC 9110 section 12.5.1) prefers; Prometheus where it does not say.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (0.0, Self::Prometheus);
        for entry in accept.split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let format = match parts.next().unwrap_or("") {
                kind if kind.eq_ignore_ascii_case("application/openmetrics-text") => Self::OpenMetrics,
                kind if kind.eq_ignore_ascii_case("text/plain") => Self::Prometheus,
                _ => continue,
            };
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A text under construction.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    out: String,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Self { format, out: String::with_capacity(16 * 1024) }
    }

    /// Begins a family. `name` is without `_total`, which counters' samples get. A family without samples is not shown.
    pub fn family<'a>(&'a mut self, name: &'a str, help: &'a str, kind: Kind) -> FamilyText<'a> {
        FamilyText { exposition: self, name, help, kind, begun: false }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// A family under construction.
#[derive(Debug)]
pub struct FamilyText<'a> {
    exposition: &'a mut Exposition,
    name: &'a str,
    help: &'a str,
    kind: Kind,
    begun: bool,
}

impl FamilyText<'_> {
    /// Adds a sample. `labels` were written by [`write_label`].
    pub fn sample(&mut self, labels: &str, value: impl Display) {
        if !self.begun {
            self.begin();
        }
        let (name, suffix) = (self.name, self.suffix());
        let out = &mut self.exposition.out;
        // Writing to a String cannot fail.
        let _ = if labels.is_empty() {
            writeln!(out, "{name}{suffix} {value}")
        } else {
            writeln!(out, "{name}{suffix}{{{labels}}} {value}")
        };
    }

    /// Adds a histogram: for each upper bound (`None` for all) how many values are not above it, and their sum.
    pub fn histogram(
        &mut self,
        labels: &str,
        cumulative: impl Iterator<Item = (Option<f64>, u64)>,
        sum: impl Display,
    ) {
        if !self.begun {
            self.begin();
        }
        let name = self.name;
        let (comma, out) = (if labels.is_empty() { "" } else { "," }, &mut self.exposition.out);
        let mut all = 0;
        for (bound, count) in cumulative {
            all = count;
            // Writing to a String cannot fail.
            let _ = match bound {
                Some(bound) => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"),
                None => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"),
            };
        }
        let _ = if labels.is_empty() {
            writeln!(out, "{name}_sum {sum}\n{name}_count {all}")
        } else {
            writeln!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {all}")
        };
    }

    fn suffix(&self) -> &'static str {
        if self.kind == Kind::Counter { "_total" } else { "" }
    }

    fn begin(&mut self) {
        self.begun = true;
        // OpenMetrics names the family of a counter without its suffix, Prometheus with it.
        let suffix = if self.exposition.format == Format::Prometheus { self.suffix() } else { "" };
        let (name, help, kind) = (self.name, self.help, self.kind.word());
        let _ = write!(self.exposition.out, "# HELP {name}{suffix} {help}.\n# TYPE {name}{suffix} {kind}\n");
    }
}

/// Appends `name="value"`, after a comma where labels precede it. The value is escaped, so that it stays one value on
/// one line whatever it holds.
pub fn write_label(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            other => labels.push(other),
        }
    }
    labels.push('"');
}
