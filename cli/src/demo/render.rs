//! What does each event look like? Pure: events in, lines out.

use super::event::Expectation;
use super::plan::{NODES, Pod, Role};
use super::request::Request;
use super::style::{Style, cut, wrap};
use super::verdict::{Row, Security, Verdict};

/// Columns of a request's line.
const ENDS: usize = 20;
const REQUEST: usize = 17;
const HOW: usize = 10;
const IDENTITY: usize = 38;
const TIME: usize = 9;

/// What is going to be built.
pub(crate) fn introduction(style: Style, unprivileged: bool) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!("  {}", style.bold("Ambit: a service mesh without sidecars, whole, on this machine")),
        String::new(),
    ];
    let boxes = NODES.iter().enumerate().map(|(index, node)| {
        let pods = Pod::all().filter(|pod| pod.node == index);
        let pods: Vec<_> = pods
            .map(|pod| format!("{}{}", pod.name, if pod.role == Role::Outsider { "*" } else { "" }))
            .collect();
        let parts = if index == 0 { "ztunnel  agent  controller" } else { "ztunnel  agent" };
        [node.name.to_owned(), pods.join("  "), parts.to_owned()]
    });
    let boxes: Vec<_> = boxes.collect();
    let inner = boxes.iter().flatten().map(String::len).max().unwrap_or(0);
    let edge = "─".repeat(inner + 2);
    let row = |index: usize, link: &str| {
        let sides: Vec<_> = boxes
            .iter()
            .map(|rows| format!("│ {:inner$} │", rows.get(index).map_or("", String::as_str)))
            .collect();
        format!("  {}", sides.join(link))
    };
    lines.push(format!("  ┌{edge}┐          ┌{edge}┐"));
    lines.push(row(0, "          "));
    lines.push(row(1, "── link ──").replace("│──", "├──").replace("──│", "──┤"));
    lines.push(row(2, "          "));
    lines.push(format!("  └{edge}┘          └{edge}┘"));
    let footing = if unprivileged { "without root" } else { "as root" };
    let text = format!(
        "Real processes in network namespaces of their own, {footing}; all of it vanishes with the demo. \
         The pod marked * is not in the mesh."
    );
    lines.extend(
        wrap(&text, style.width.min(100) - 2).into_iter().map(|line| format!("  {}", style.dim(line))),
    );
    lines.push(String::new());
    lines
}

/// A step of the construction.
pub(crate) fn built(style: Style, what: &str, milliseconds: u64) -> Vec<String> {
    let width = style.width.min(100) - 14;
    vec![format!("  {} {what:width$} {}", style.green("✓"), style.dim(format!("{milliseconds:>5} ms")))]
}

/// The beginning of an act.
pub(crate) fn section(style: Style, title: &str, text: &str) -> Vec<String> {
    let mut lines = vec![String::new(), format!("  {}", style.bold(title))];
    lines.extend(
        wrap(text, style.width.min(100) - 2).into_iter().map(|line| format!("  {}", style.dim(line))),
    );
    lines
}

/// A fact.
pub(crate) fn note(style: Style, text: &str) -> Vec<String> {
    let lines = wrap(text, style.width - 6).into_iter().enumerate();
    lines
        .map(|(index, line)| format!("    {} {line}", style.dim(if index == 0 { "·" } else { " " })))
        .collect()
}

/// A request: who called whom, with which identity, how, and what the policy said. In one line where that fits.
pub(crate) fn row(style: Style, row: &Row) -> Vec<String> {
    let ends = format!("{}{} → {}", if row.nested { "└ " } else { "" }, row.from, row.to);
    let front = format!("    {:ENDS$} {:REQUEST$}", cut(&ends, ENDS), cut(&row.request, REQUEST));
    let time = match row.microseconds {
        0 => String::new(),
        some => format!("{:.1} ms", some as f64 / 1000.0),
    };
    let (how, identity) = match &row.security {
        Security::MutualTls { client, .. } => (style.green("mutual TLS"), client.as_str()),
        Security::SameNode { client, .. } => (style.green("same node "), client.as_str()),
        Security::Plaintext => (style.yellow("plaintext "), "no identity"),
    };
    let said = verdict(row);
    let left = style.width.saturating_sub(4 + ENDS + 1 + REQUEST + 1 + HOW + 2 + IDENTITY + 2 + TIME);
    if said.chars().count() <= left && identity.chars().count() <= IDENTITY {
        let said = coloured(style, row, &format!("{said:left$}"));
        let identity = style.dim(format!("{identity:IDENTITY$}"));
        return vec![format!("{front} {how}  {identity} {said} {}", style.dim(format!("{time:>TIME$}")))];
    }
    let gap = style.width - (4 + ENDS + 1 + REQUEST + 1 + HOW);
    let said = cut(&said, style.width - 6);
    let identity = cut(identity, (style.width - 6).saturating_sub(said.chars().count() + 2));
    vec![
        format!("{front} {how}{}", style.dim(format!("{time:>gap$}"))),
        format!("      {}  {}", coloured(style, row, &said), style.dim(identity)),
    ]
}

/// A request through the waypoint: who answered what, and why.
pub(crate) fn request(style: Style, request: &Request) -> Vec<String> {
    let ends = cut(&format!("{} → {}", request.from, request.to), ENDS);
    let status = match request.outcome {
        Ok(status @ 200..=299) => style.green(status),
        Ok(status) => style.yellow(status),
        Err(_) => style.red("!  "),
    };
    let front = format!("    {ends:ENDS$} {:REQUEST$} {status}", cut(&request.request, REQUEST));
    let words = request.words();
    if words.chars().count() <= style.width.saturating_sub(4 + ENDS + 1 + REQUEST + 1 + 3 + 2) {
        return vec![format!("{front}  {words}")];
    }
    vec![front, format!("      {}", cut(&words, style.width - 6))]
}

/// The verdict in words.
fn verdict(row: &Row) -> String {
    match &row.verdict {
        Verdict::Allowed { policy: Some(policy) } => format!("✓ allowed by {policy}"),
        Verdict::Allowed { policy: None } => "✓ allowed, no policy asks".to_owned(),
        Verdict::Denied { policy } => format!("✗ denied by {policy}"),
        Verdict::Failed { reason } => format!("! failed: {reason}"),
        Verdict::NotAsked => "· out of the mesh".to_owned(),
    }
}

fn coloured(style: Style, row: &Row, text: &str) -> String {
    match &row.verdict {
        Verdict::Allowed { .. } => style.green(text),
        Verdict::Denied { .. } => style.yellow(text),
        Verdict::Failed { .. } => style.red(text),
        Verdict::NotAsked => style.dim(text),
    }
}

/// Whether a claim held, as soon as it is known.
pub(crate) fn expectation(style: Style, expectation: &Expectation) -> Vec<String> {
    if expectation.passed {
        return vec![format!("  {} {}", style.green("✓"), expectation.name)];
    }
    let mut lines = vec![format!("  {} {}", style.red("✗"), style.red(&expectation.name))];
    lines.extend(note(style, &expectation.detail));
    lines
}

/// All claims with what was seen. A show that was `cut_short` has not come to all that it meant to claim.
pub(crate) fn summary(
    style: Style,
    expectations: &[Expectation],
    cut_short: bool,
    seconds: f64,
) -> Vec<String> {
    let mut lines =
        vec![String::new(), format!("  {}", style.bold("What was to be seen, and what was seen"))];
    for each in expectations {
        lines.extend(expectation(style, &Expectation { detail: String::new(), ..each.clone() }));
        let detail = wrap(&each.detail, style.width - 6);
        lines.extend(detail.into_iter().map(|line| format!("      {}", style.dim(line))));
    }
    let passed = expectations.iter().filter(|expectation| expectation.passed).count();
    let reached = expectations.len();
    let verdict = match (cut_short, passed == reached) {
        (false, _) => format!("{passed} of {reached} expectations held, in {seconds:.1} s"),
        (true, true) => format!("{passed} held, the others were not reached, in {seconds:.1} s"),
        (true, false) => {
            format!("{passed} of {reached} held, the others were not reached, in {seconds:.1} s")
        }
    };
    let verdict = match (cut_short, passed == reached) {
        (_, false) => style.red(verdict),
        (true, true) => style.yellow(verdict),
        (false, true) => style.green(verdict),
    };
    lines.push(String::new());
    lines.push(format!("  {verdict}"));
    lines
}

/// Why the show could not go on.
pub(crate) fn trouble(style: Style, text: &str, log: &[String]) -> Vec<String> {
    let mut lines = vec![String::new(), format!("  {} {text}", style.red("✗"))];
    if !log.is_empty() {
        lines.push(format!("  {}", style.dim("its last lines:")));
        lines.extend(log.iter().map(|line| format!("    {line}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::request::Told;
    use super::*;

    fn sample(policy: &str) -> Row {
        Row {
            from: "web".into(),
            to: "payments".into(),
            request: "POST /charge".into(),
            nested: false,
            security: Security::MutualTls {
                client: "spiffe://cluster.local/ns/shop/sa/web".into(),
                server: "spiffe://cluster.local/ns/shop/sa/payments".into(),
            },
            verdict: Verdict::Denied { policy: policy.into() },
            outcome: Err("connection reset".into()),
            microseconds: 1234,
        }
    }

    #[test]
    fn every_line_fits_and_columns_align() {
        for width in [64, 80, 100, 124, 140] {
            let style = Style::plain(width);
            let (short, long) = (row(style, &sample("shop/x")), row(style, &sample(&"long-name/".repeat(9))));
            for line in short.iter().chain(&long) {
                assert!(line.trim_end().chars().count() <= width, "{width}: {line}");
            }
            let end = |lines: &[String]| lines[0].find("1.2 ms").map(|at| lines[0][..at].chars().count());
            assert!(end(&short).is_some());
            assert_eq!(end(&short), end(&long), "at width {width}");
            assert_eq!(short.len(), if width >= 124 { 1 } else { 2 });
            let all = short.concat();
            assert!(
                all.contains("web → payments")
                    && all.contains("denied by shop/x")
                    && all.contains("spiffe://cluster.local/ns/shop/sa/web")
            );
        }
    }

    #[test]
    fn a_request_fits_and_says_who_answered() {
        let line = r#"{"scope":"access","authority":"prices","response_code":503,"response_flags":"UH","response_code_details":"no_healthy_upstream{every endpoint is left out because it fails}"}"#;
        let told = Told::parse(line).unwrap();
        let (from, to) = ("web".into(), "prices".into());
        let sample =
            Request { from, to, request: "GET /today".into(), outcome: Ok(503), told, inner: vec![] };
        for width in [64, 100, 140] {
            let lines = request(Style::plain(width), &sample);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:#?}");
            assert_eq!(lines.len(), if width == 140 { 1 } else { 2 });
            let all = lines.concat();
            assert!(
                all.contains("web → prices") && all.contains("503") && all.contains("waypoint: UH "),
                "{all}"
            );
        }
    }

    #[test]
    fn a_claim_that_failed_shows_its_evidence() {
        let style = Style::plain(80);
        let failed = Expectation::new("nothing crosses in clear", false, "seen 3 times");
        assert!(expectation(style, &failed).concat().contains("seen 3 times"));
        let lines = summary(style, &[failed, Expectation::new("a", true, "b")], false, 12.3);
        assert!(lines.last().unwrap().contains("1 of 2 expectations held, in 12.3 s"), "{lines:?}");
    }

    #[test]
    fn a_show_that_was_cut_short_does_not_count_as_whole() {
        let claims = [Expectation::new("a", true, "b"), Expectation::new("c", false, "d")];
        let last = |claims: &[Expectation]| summary(Style::plain(80), claims, true, 1.0).pop().unwrap();
        assert_eq!(last(&claims[..1]).trim(), "1 held, the others were not reached, in 1.0 s");
        assert_eq!(last(&claims).trim(), "1 of 2 held, the others were not reached, in 1.0 s");
    }

    #[test]
    fn the_picture_is_straight() {
        let lines = introduction(Style::plain(100), true);
        let widths: Vec<_> =
            lines.iter().filter(|line| line.contains('│')).map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{lines:#?}");
    }
}
