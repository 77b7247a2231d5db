//! The table of results: a row for each scenario, a column for each pairing.

use std::sync::Mutex;
use std::time::Duration;

use crate::pairing::Pairing;
use crate::scenario::{Outcome, SCENARIOS};

/// What is known so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    cells: Mutex<Vec<Cell>>,
}

#[derive(Debug)]
struct Cell {
    pairing: String,
    scenario: &'static str,
    /// None when it failed.
    outcome: Option<Outcome>,
}

impl Table {
    /// Adds a result, and tells it.
    pub(crate) fn add(
        &self,
        pairing: &Pairing,
        scenario: &'static str,
        outcome: Option<Outcome>,
        took: Duration,
    ) {
        let word = match &outcome {
            None => "FAILED".to_owned(),
            Some(Outcome::Same) => "ok".to_owned(),
            Some(Outcome::Differs(how)) => format!("ok, with a known difference: {how}"),
        };
        println!("test {pairing} {scenario} ... {word} ({:.1} s)", took.as_secs_f64());
        self.cells.lock().unwrap().push(Cell { pairing: pairing.to_string(), scenario, outcome });
    }

    /// Prints everything; whether all is good.
    pub(crate) fn print(&self, pairings: &[Pairing]) -> bool {
        let cells = self.cells.lock().unwrap();
        let find = |pairing: &str, scenario: &str| {
            cells.iter().find(|cell| cell.pairing == pairing && cell.scenario == scenario)
        };
        let columns: Vec<String> = pairings.iter().map(Pairing::to_string).collect();
        println!("\nclients' proxy > servers' proxy:");
        columns.iter().enumerate().for_each(|(number, name)| println!("{:>4}  {name}", number + 1));
        let heads: String = (1..=columns.len()).map(|number| format!("{number:>5}")).collect();
        println!("\n{:<20}{heads}", "");
        for scenario in SCENARIOS {
            let word = |pairing: &String| match find(pairing, scenario.name).map(|cell| &cell.outcome) {
                None => "-",
                Some(None) => "FAIL",
                Some(Some(Outcome::Same)) => "ok",
                Some(Some(Outcome::Differs(_))) => "ok*",
            };
            let row: String = columns.iter().map(|pairing| format!("{:>5}", word(pairing))).collect();
            println!("{:<20}{row}", scenario.name);
        }
        let differs = |cell: &Cell| match cell.outcome {
            Some(Outcome::Differs(how)) => Some(how),
            _ => None,
        };
        let mut known: Vec<&str> = cells.iter().filter_map(differs).collect();
        known.sort_unstable();
        known.dedup();
        known.iter().for_each(|how| println!("* {how}"));
        cells.iter().all(|cell| cell.outcome.is_some())
    }
}
