//! Which work is measured, and in which unit?

use serde::Serialize;

use crate::work::bulk::Direction;
use crate::work::load::{Figures, Work};

/// What the cost of a case is counted per.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// 10^9 bytes; rates are in Gbit/s.
    Gigabyte,
    /// 1,000 requests; rates are requests a second.
    Requests,
    /// 1,000 connections; rates are connections a second.
    Connections,
}

impl Unit {
    /// How many units of work were done.
    pub fn done(self, figures: &Figures) -> f64 {
        match self {
            Self::Gigabyte => figures.bytes as f64 / 1e9,
            Self::Requests | Self::Connections => figures.count as f64 / 1e3,
        }
    }

    /// The rate in the unit's own words.
    pub fn rate(self, figures: &Figures) -> f64 {
        if figures.seconds <= 0.0 {
            return 0.0;
        }
        match self {
            Self::Gigabyte => figures.bytes as f64 * 8.0 / 1e9 / figures.seconds,
            Self::Requests | Self::Connections => figures.count as f64 / figures.seconds,
        }
    }

    /// The words for a rate.
    pub fn rate_name(self) -> &'static str {
        match self {
            Self::Gigabyte => "Gbit/s",
            Self::Requests => "req/s",
            Self::Connections => "conn/s",
        }
    }

    /// The words for a cost.
    pub fn cost_name(self) -> &'static str {
        match self {
            Self::Gigabyte => "CPU-s/GB",
            Self::Requests => "CPU-s/1000 req",
            Self::Connections => "CPU-s/1000 conn",
        }
    }
}

/// How the work of a case is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// Beforehand.
    Fixed(Work),
    /// A share of what the slowest path did in the closed loop with so many connections.
    OpenLoop {
        /// Connections.
        connections: usize,
        /// Of the slowest path's rate.
        share: f64,
    },
}

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name, for `--only` and in the results.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// What is counted.
    pub unit: Unit,
    /// What is done.
    pub load: Load,
    /// Whether `--quick` has it.
    pub quick: bool,
    /// Whether it is measured between two pods of one node too.
    pub one_node: bool,
}

/// The name of the closed-loop case with so many connections.
pub fn closed_loop(connections: usize) -> String {
    format!("http-{connections}")
}

/// Connections at a time of a case of requests.
const CONNECTIONS: [usize; 4] = [1, 8, 64, 512];
/// Clients that open connections.
const CLIENTS: usize = 16;

/// All of them, in the order in which they are measured.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (streams, direction, quick) in [
        (1, Direction::Up, true),
        (1, Direction::Down, false),
        (8, Direction::Up, false),
        (8, Direction::Down, false),
    ] {
        let (way, words) = match direction {
            Direction::Up => ("up", "to the server"),
            Direction::Down => ("down", "from the server"),
        };
        cases.push(Case {
            name: format!("bulk-{streams}-{way}"),
            title: format!("Bulk, {streams} stream{} {words}", if streams == 1 { "" } else { "s" }),
            unit: Unit::Gigabyte,
            load: Load::Fixed(Work::Bulk { streams, direction }),
            quick,
            one_node: quick,
        });
    }
    for connections in CONNECTIONS {
        cases.push(Case {
            name: closed_loop(connections),
            title: format!("HTTP keep-alive, {} (closed loop)", counted(connections)),
            unit: Unit::Requests,
            load: Load::Fixed(Work::Requests { connections, rate: None }),
            quick: matches!(connections, 1 | 64),
            one_node: matches!(connections, 1 | 64),
        });
    }
    cases.push(Case {
        name: "connections".to_owned(),
        title: format!("New connections, one request each, {CLIENTS} clients"),
        unit: Unit::Connections,
        load: Load::Fixed(Work::Churn { clients: CLIENTS }),
        quick: true,
        one_node: true,
    });
    for (connections, share) in [(1, 0.5), (8, 0.5), (64, 0.5), (64, 0.8), (512, 0.5)] {
        cases.push(Case {
            name: format!("open-{connections}-{}", (share * 100.0) as u32),
            title: format!("HTTP keep-alive, {}, open loop", counted(connections)),
            unit: Unit::Requests,
            load: Load::OpenLoop { connections, share },
            quick: connections == 64 && share < 0.7,
            one_node: false,
        });
    }
    cases
}

fn counted(connections: usize) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_open_loop_has_its_closed_one() {
        let cases = cases();
        let mut names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), cases.len());
        for case in &cases {
            if let Load::OpenLoop { connections, .. } = case.load {
                assert!(names.contains(&closed_loop(connections)), "{}", case.name);
            }
        }
    }

    #[test]
    fn rates_and_costs_are_in_their_units() {
        let figures = Figures { seconds: 2.0, count: 4_000, bytes: 5_000_000_000, ..Figures::default() };
        assert_eq!(Unit::Gigabyte.rate(&figures), 20.0);
        assert_eq!(Unit::Gigabyte.done(&figures), 5.0);
        assert_eq!(Unit::Requests.rate(&figures), 2_000.0);
        assert_eq!(Unit::Requests.done(&figures), 4.0);
        assert_eq!(Unit::Requests.rate(&Figures::default()), 0.0);
    }
}
