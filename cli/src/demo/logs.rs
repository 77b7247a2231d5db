//! `ambit demo logs`: what have the parts logged?

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::place::{Place, PlaceError};

/// How often a log is looked at for more.
const AGAIN: Duration = Duration::from_millis(200);

/// Prints the log of a part, or all logs with the part's name before each line.
pub fn run(place: &Place, part: Option<&str>, follow: bool) -> anyhow::Result<ExitCode> {
    let logs = logs(&place.logs()).map_err(|_| PlaceError::NotRunning)?;
    let chosen: Vec<(&String, &PathBuf)> =
        match part {
            None => logs.iter().collect(),
            Some(part) => {
                let names: Vec<_> = logs.keys().map(String::as_str).collect();
                let found = logs.get_key_value(part);
                vec![found.with_context(|| {
                    format!("there is no part {part:?}: the parts are {}", names.join(", "))
                })?]
            }
        };
    let width = chosen.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut readers = Vec::new();
    for (name, path) in &chosen {
        let label = if part.is_none() { format!("{name:width$} | ") } else { String::new() };
        readers.push((label, BufReader::new(File::open(path)?), Vec::new()));
    }
    loop {
        for (label, reader, rest) in &mut readers {
            if print(label, reader, rest).is_err() {
                // Whoever read it, as `head` does, has seen enough.
                return Ok(ExitCode::SUCCESS);
            }
        }
        if !follow || !place.directory().exists() {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(AGAIN);
    }
}

fn logs(directory: &Path) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut logs = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
        {
            logs.insert(name.to_owned(), path.clone());
        }
    }
    Ok(logs)
}

/// Prints the whole lines that are there; what is left of a line waits in `rest`.
fn print(label: &str, reader: &mut impl BufRead, rest: &mut Vec<u8>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    while reader.read_until(b'\n', rest)? > 0 {
        if rest.last() == Some(&b'\n') {
            out.write_all(label.as_bytes())?;
            out.write_all(rest)?;
            rest.clear();
        }
    }
    out.flush()
}
