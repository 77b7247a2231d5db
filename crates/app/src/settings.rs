//! Environment variables into one `Config` per program, with every problem reported at once.
//!
//! A program asks for each of its variables by type, which never fails on the spot: a bad value is noted and the default
//! returned. [`Environment::finish`] then gives all problems together. Nothing else in a program reads the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

mod duration;
mod error;
pub mod proxy;

pub use duration::{DurationError, duration_text, parse_duration};
pub use error::{Problem, SettingsError};

/// The variables of this process, and what was wrong with those that have been asked for.
///
/// An empty value counts as not set, as charts like to leave them.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `None`: not UTF-8.
    values: BTreeMap<String, Option<String>>,
    asked: BTreeSet<String>,
    ours: Vec<String>,
    problems: Vec<Problem>,
}

impl Environment {
    /// The environment of this process.
    pub fn from_process() -> Self {
        let name = |name: OsString| name.to_string_lossy().into_owned();
        let values = std::env::vars_os().map(|(key, value)| (name(key), value.into_string().ok())).collect();
        Self { values, ..Self::default() }
    }

    /// An environment made of these variables, for tests and for programs that start others.
    pub fn from_map<K: Into<String>, V: Into<String>>(values: impl IntoIterator<Item = (K, V)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.into(), Some(value.into()))).collect();
        Self { values, ..Self::default() }
    }

    /// Variables that begin with `prefix` are ours alone: [`Environment::finish`] refuses those that nobody asked for.
    pub fn refuse_unknown(&mut self, prefix: &str) {
        self.ours.push(prefix.to_owned());
    }

    /// The variable read by `parse`; `None` when it is not set or not acceptable. `accepted` says what is, as in
    /// "a port between 1 and 65535".
    pub fn parsed<T, E: Display>(
        &mut self,
        name: &str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.asked.insert(name.to_owned());
        let value = match self.values.get(name)? {
            Some(value) if value.is_empty() => return None,
            Some(value) => value.clone(),
            None => {
                self.problem(Problem::new(name, None, accepted, "its bytes are not UTF-8"));
                return None;
            }
        };
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(reason) => {
                self.problem(Problem::new(name, Some(&value), accepted, &reason.to_string()));
                None
            }
        }
    }

    /// Notes a problem that the program itself found, such as two settings that exclude each other.
    pub fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Any text.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.optional_text(name).unwrap_or_else(|| default.to_owned())
    }

    /// Any text, if set.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        self.parsed(name, "text", |value| Ok::<_, String>(value.to_owned()))
    }

    /// Any text that must be set; `why` says what for. Empty when missing, which is noted.
    pub fn required_text(&mut self, name: &str, why: &str) -> String {
        let set = self.values.get(name).is_some_and(|value| value.as_deref() != Some(""));
        if !set {
            self.problem(Problem::missing(name, why));
        }
        self.text(name, "")
    }

    /// `true` or `false` (also `1` and `0`).
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        self.parsed(name, "true or false", |value| match value.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("it is neither"),
        })
        .unwrap_or(default)
    }

    /// A number within `range`.
    pub fn number<T>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        let accepted = format!("a number from {} to {}", range.start(), range.end());
        self.parsed(name, &accepted, |value| {
            let number: T = value.trim().parse().map_err(|error: T::Err| error.to_string())?;
            if range.contains(&number) { Ok(number) } else { Err("it is out of range".to_owned()) }
        })
        .unwrap_or(default)
    }

    /// A duration in Go's syntax, as Istio writes it: `10s`, `1h30m`, `1.5s`, `250ms`.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        self.parsed(name, "a duration such as 500ms, 10s or 1h30m", parse_duration).unwrap_or(default)
    }

    /// An address with a port.
    pub fn address(&mut self, name: &str, default: SocketAddr) -> SocketAddr {
        self.optional_address(name).unwrap_or(default)
    }

    /// An address with a port, if set.
    pub fn optional_address(&mut self, name: &str) -> Option<SocketAddr> {
        self.parsed(name, "an address with a port such as 10.0.0.1:15012 or [::1]:15012", |value| {
            value.parse::<SocketAddr>()
        })
    }

    /// An IP address, if set.
    pub fn optional_ip(&mut self, name: &str) -> Option<IpAddr> {
        self.parsed(name, "an IP address such as 10.0.0.1 or ::1", |value| value.parse::<IpAddr>())
    }

    /// A path. It is not looked at.
    pub fn path(&mut self, name: &str, default: &str) -> PathBuf {
        PathBuf::from(self.text(name, default))
    }

    /// A path, if set.
    pub fn optional_path(&mut self, name: &str) -> Option<PathBuf> {
        self.optional_text(name).map(PathBuf::from)
    }

    /// One of these words, upper or lower case alike.
    pub fn choice<T: Clone>(&mut self, name: &str, default: T, choices: &[(&str, T)]) -> T {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.parsed(name, &format!("one of {}", words.join(", ")), |value| {
            let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
            chosen.map(|(_, chosen)| chosen.clone()).ok_or("there is no such choice")
        })
        .unwrap_or(default)
    }

    /// Words separated by commas, without the spaces around them and without empty ones.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name, "");
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// Every variable that begins with `prefix`, by the rest of its name (`ISTIO_META_CLUSTER_ID` is `CLUSTER_ID`).
    pub fn prefixed(&mut self, prefix: &str) -> BTreeMap<String, String> {
        let names: Vec<String> =
            self.values.keys().filter(|name| name.len() > prefix.len()).cloned().collect();
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(rest) = name.strip_prefix(prefix)
                && let Some(value) = self.optional_text(&name)
            {
                found.insert(rest.to_owned(), value);
            }
        }
        found
    }

    /// Every problem of the variables asked for, and every unknown variable under a prefix of ours.
    ///
    /// # Errors
    /// When there is at least one.
    pub fn finish(mut self) -> Result<(), SettingsError> {
        let unknown = self.values.keys().filter(|name| {
            self.ours.iter().any(|prefix| name.starts_with(prefix)) && !self.asked.contains(*name)
        });
        let unknown: Vec<Problem> = unknown.map(|name| Problem::unknown(name, &self.asked)).collect();
        self.problems.extend(unknown);
        if self.problems.is_empty() { Ok(()) } else { Err(SettingsError { problems: self.problems }) }
    }
}
