//! What Ambit must reach and aims for, and whether it did: the goals of the design, as ratios within one run.

use serde::Serialize;

use super::outcome::Outcome;
use super::statistics::Spread;
use super::summary::Row;
use crate::stage::path::{AMBIT, DIRECT, ONE_NODE};

/// Which side of a goal is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sense {
    /// The figure must not be above the goal.
    AtMost,
    /// It must not be below.
    AtLeast,
}

/// One goal.
#[derive(Debug, Clone, Serialize)]
pub struct Goal {
    /// What is compared.
    pub figure: String,
    /// With what.
    pub beside: String,
    /// Its good side.
    pub sense: Sense,
    /// What must be reached.
    pub must: f64,
    /// What is aimed for.
    pub aim: Option<f64>,
    /// What was reached; `None` when it was not measured.
    pub got: Option<f64>,
    /// Of the figure.
    pub unit: &'static str,
}

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// What is aimed for.
    Aim,
    /// What must be.
    Must,
    /// Less.
    Missed,
    /// Nobody knows.
    NotMeasured,
}

impl Goal {
    /// How far it came.
    pub fn standing(&self) -> Standing {
        let Some(got) = self.got else { return Standing::NotMeasured };
        let reached = |goal: f64| match self.sense {
            Sense::AtMost => got <= goal,
            Sense::AtLeast => got >= goal,
        };
        match self.aim {
            Some(aim) if reached(aim) => Standing::Aim,
            None if reached(self.must) => Standing::Aim,
            _ if reached(self.must) => Standing::Must,
            _ => Standing::Missed,
        }
    }
}

/// All goals, judged. `rival` is the path of the ztunnel to compare with.
pub fn judge(outcome: &Outcome, rival: Option<&str>) -> Vec<Goal> {
    let one_node = |path: &str| format!("{path}{ONE_NODE}");
    let rival_one_node = rival.map(one_node);
    let ours = |case: &str| outcome.row(case, AMBIT);
    let ratio = |case: &str, value: fn(&Row) -> Option<Spread>| {
        Some(median(ours(case), value)? / median(outcome.row(case, rival?), value)?)
    };
    let added = |value: fn(&Row) -> Option<Spread>| {
        let bare = median(outcome.row("http-1", DIRECT), value)?;
        Some((median(ours("http-1"), value)? - bare) / (median(outcome.row("http-1", rival?), value)? - bare))
    };
    let bulk = |path: Option<&str>, value: fn(&Row) -> Option<Spread>| {
        median(outcome.row("bulk-1-up", path?), value)
    };
    let here = one_node(AMBIT);
    let beside = rival.unwrap_or("a ztunnel (--ztunnel)").to_owned();
    let goal = |figure: &str, sense, must, aim, got| Goal {
        figure: figure.to_owned(),
        beside: beside.clone(),
        sense,
        must,
        aim: Some(aim),
        got,
        unit: "x",
    };
    let mut goals = vec![
        goal(
            "bulk across nodes: CPU of both proxies",
            Sense::AtMost,
            0.65,
            0.55,
            ratio("bulk-1-up", proxies),
        ),
        goal("bulk across nodes: rate", Sense::AtLeast, 1.25, 1.4, ratio("bulk-1-up", rate)),
    ];
    let bare = one_node(DIRECT);
    let share = bulk(Some(&here), rate).zip(bulk(Some(&bare), rate)).map(|(ours, bare)| ours / bare);
    goals.push(Goal {
        beside: "no mesh".to_owned(),
        ..goal("bulk on one node: rate", Sense::AtLeast, 0.5, 0.6, share)
    });
    let cost = bulk(Some(&here), proxies).zip(bulk(rival_one_node.as_deref(), proxies));
    let cost = cost.map(|(ours, theirs)| ours / theirs);
    goals.push(Goal {
        aim: None,
        ..goal("bulk on one node: CPU of the proxy", Sense::AtMost, 0.2, 0.2, cost)
    });
    goals.extend([
        goal("64 connections: CPU per 1,000 requests", Sense::AtMost, 0.5, 0.3, ratio("http-64", proxies)),
        goal("64 connections: requests a second", Sense::AtLeast, 1.35, 1.6, ratio("http-64", rate)),
        goal("1 connection: added p50", Sense::AtMost, 0.6, 0.4, added(|row| row.p50)),
        goal("1 connection: added p99", Sense::AtMost, 0.6, 0.4, added(|row| row.p99)),
        goal("new connections a second", Sense::AtLeast, 1.3, 1.5, ratio("connections", rate)),
        goal("new connections: CPU per 1,000", Sense::AtMost, 0.5, 0.4, ratio("connections", proxies)),
    ]);
    goals.extend(absolute(outcome));
    goals
}

/// Goals that are not ratios.
fn absolute(outcome: &Outcome) -> Vec<Goal> {
    let goal = |figure: &str, must, aim, got, unit| Goal {
        figure: figure.to_owned(),
        beside: "-".to_owned(),
        sense: Sense::AtMost,
        must,
        aim,
        got,
        unit,
    };
    let after = outcome.afterwards.iter().find(|after| after.path == AMBIT);
    let nodes = outcome.nodes.iter().find(|nodes| nodes.path.strip_suffix(ONE_NODE) == Some(AMBIT));
    let descriptors = nodes.and_then(|nodes| {
        let (first, last) = (nodes.measured.first()?, nodes.measured.last()?);
        let pods = last.pods.checked_sub(first.pods).filter(|pods| *pods > 0)? as f64;
        Some((last.memory.descriptors as f64 - first.memory.descriptors as f64) / pods)
    });
    let most = outcome.known.iter().find(|known| known.path == AMBIT && known.workloads == 100_000);
    let known = most.filter(|known| known.failed.is_none());
    let slowest = known.and_then(|known| known.changes.iter().copied().max_by(f64::total_cmp));
    let largest = known.and_then(|known| known.each.iter().map(|memory| memory.proportional).max());
    vec![
        goal(
            "memory of both proxies after all of it",
            40.0,
            Some(25.0),
            after.map(|after| after.memory.resident as f64 / 1e6),
            "MB",
        ),
        goal(
            "idle pod: memory",
            12.0,
            Some(4.0),
            nodes.and_then(|nodes| nodes.fitted).map(|line| line.1 / 1e3),
            "KB",
        ),
        goal("idle pod: descriptors", 5.0, None, descriptors, ""),
        goal(
            "100,000 workloads: memory of a ztunnel",
            100.0,
            Some(60.0),
            largest.map(|bytes| bytes as f64 / 1e6),
            "MB",
        ),
        goal("100,000 workloads: slowest change", 1.0, None, slowest.map(|millis| millis / 1e3), "s"),
    ]
}

fn median(row: Option<&Row>, value: fn(&Row) -> Option<Spread>) -> Option<f64> {
    // A void row proves nothing, however fast it was.
    let row = row.filter(|row| row.void.is_empty())?;
    value(row).map(|spread| spread.median)
}

fn rate(row: &Row) -> Option<Spread> {
    row.rate
}

fn proxies(row: &Row) -> Option<Spread> {
    row.proxies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(sense: Sense, got: Option<f64>) -> Standing {
        let (must, aim) = if sense == Sense::AtMost { (0.6, 0.4) } else { (1.3, 1.5) };
        let (figure, beside) = (String::new(), String::new());
        Goal { figure, beside, sense, must, aim: Some(aim), got, unit: "x" }.standing()
    }

    #[test]
    fn each_side_has_its_sense() {
        assert_eq!(goal(Sense::AtMost, Some(0.4)), Standing::Aim);
        assert_eq!(goal(Sense::AtMost, Some(0.5)), Standing::Must);
        assert_eq!(goal(Sense::AtMost, Some(0.61)), Standing::Missed);
        assert_eq!(goal(Sense::AtLeast, Some(1.6)), Standing::Aim);
        assert_eq!(goal(Sense::AtLeast, Some(1.4)), Standing::Must);
        assert_eq!(goal(Sense::AtLeast, Some(1.29)), Standing::Missed);
        assert_eq!(goal(Sense::AtLeast, None), Standing::NotMeasured);
    }
}
