//! What does the stage tell the show? One JSON object a line.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::request::Request;
use super::verdict::Row;

/// Something that happened on the stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The world stands: what is going to be built in it.
    World {
        /// Whether it stands on a user namespace instead of root.
        unprivileged: bool,
    },
    /// A step of the construction is done.
    Built {
        /// What.
        what: String,
        /// How long it took, in milliseconds.
        milliseconds: u64,
    },
    /// The first request went through a tunnel.
    FirstEncrypted,
    /// A new part of the show.
    Section {
        /// Its title.
        title: String,
        /// What is about to be seen, in a sentence or two.
        text: String,
    },
    /// One request, as the proxies saw it.
    Row(Row),
    /// One request through the waypoint.
    Request(Request),
    /// A fact between the requests.
    Note {
        /// One line.
        text: String,
    },
    /// A claim of the show, and whether it held.
    Expectation(Expectation),
    /// A line of a part's log.
    Log {
        /// The part.
        part: String,
        /// Its line.
        line: String,
    },
    /// The show cannot go on.
    Trouble {
        /// One line that names the thing and the remedy.
        text: String,
        /// The last lines that the part logged, if one is to blame.
        log: Vec<String>,
    },
    /// The show is over.
    Done,
}

/// A claim of the show, and whether it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expectation {
    /// The claim.
    pub(crate) name: String,
    /// Whether it held.
    pub(crate) passed: bool,
    /// What was seen.
    pub(crate) detail: String,
}

impl Expectation {
    /// A claim that held or not.
    pub(crate) fn new(name: impl Into<String>, passed: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), passed, detail: detail.into() }
    }
}

/// Tells the show.
pub(crate) fn tell(event: &Event) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        // After --keep nobody listens any more.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

/// A fact between the requests.
pub(crate) fn note(text: impl Into<String>) {
    tell(&Event::Note { text: text.into() });
}

/// A new part of the show.
pub(crate) fn section(title: &str, text: &str) {
    tell(&Event::Section { title: title.into(), text: text.into() });
}
