//! Objects from texts, files and directories.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::read::{self, Outcome};
use crate::walk::Walk;
use crate::yaml::{self, StreamLimits, Tree};
use crate::{FieldPath, Object, Position, Problem};

/// How much is accepted. What goes beyond is a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one file.
    pub file_bytes: u64,
    /// Files in a directory and those below it.
    pub files: usize,
    /// Values and keys in one file, with aliases expanded.
    pub values: usize,
    /// Lists and maps inside each other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 1 << 20, files: 10_000, values: 200_000, depth: 64 }
    }
}

/// An object and where it was written.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The object.
    pub object: Object,
    /// The file, as it was named to the reader.
    pub file: Arc<Path>,
    /// The line where it begins, from 1.
    pub line: u32,
    tree: Option<Arc<Tree>>,
}

/// Everything that was read, in the order of the files' names and of the documents in them.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// The objects.
    pub objects: Vec<Loaded>,
    /// What was left out on purpose.
    pub notes: Vec<Note>,
}

/// An object or a directory's files that were left out, and why that is all right. `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file, as it was named to the reader.
    pub file: Arc<Path>,
    /// The line where the object begins, from 1; 0 when the note is about a directory.
    pub line: u32,
    /// `Kind namespace/name`; empty when the note is about a directory.
    pub object: String,
    /// Whether anybody should care.
    pub kind: NoteKind,
    /// What became of it.
    pub text: String,
}

/// Whether a [`Note`] deserves attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// Kubernetes' own business.
    NotOurs,
    /// A warning: its author expects an effect on traffic, and there is none yet.
    NotHonoured,
}

impl Loaded {
    /// An object that was not read from a text; complaints about it name its line only.
    pub fn new(object: Object, file: Arc<Path>, line: u32) -> Self {
        Self { object, file, line, tree: None }
    }

    pub(crate) fn from_tree(object: Object, file: Arc<Path>, tree: Arc<Tree>) -> Self {
        Self { object, file, line: tree.position.line, tree: Some(tree) }
    }

    /// Forgets how it was written, which takes many times the memory of what it says: complaints about it name its line
    /// only. A policy keeps it, because there are few, and later checks complain of their fields.
    pub(crate) fn without_tree(mut self) -> Self {
        if !matches!(self.object, Object::AuthorizationPolicy(_) | Object::PeerAuthentication(_)) {
            self.tree = None;
        }
        self
    }

    /// Where a field of it, or the nearest field around it, is written.
    pub fn position(&self, path: &FieldPath) -> Position {
        match &self.tree {
            Some(tree) => tree.locate(path),
            None => Position { line: self.line, column: 0 },
        }
    }

    /// A complaint about a field of it.
    pub fn problem(&self, path: FieldPath, reason: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem {
            object: Some(self.object.to_string()),
            ..Problem::with_file(&self.file, reason, remedy).at(self.position(&path))
        }
        .on(path)
    }
}

/// Reads a text as if it were the file of this name.
pub fn read_text(file: &Path, text: &str) -> Result<Resources, Vec<Problem>> {
    let mut outcome = Outcome::default();
    add_text(&Arc::from(file), text, &Limits::default(), &mut outcome);
    finished(outcome)
}

/// Reads one file, with the default [`Limits`].
pub fn read_file(file: &Path) -> Result<Resources, Vec<Problem>> {
    let mut outcome = Outcome::default();
    add_file(file, &Limits::default(), &mut outcome);
    finished(outcome)
}

/// Reads all `.yaml`, `.yml` and `.json` files of a directory and of those below it, with the default [`Limits`].
///
/// Files are read in the order of their names; hidden files and directories (and with them editors' swap files) are
/// left out; links are followed. A directory without such a file is noted. All problems of all files are returned together; then there are no resources.
/// Problems between objects are [`crate::validate_set`]'s.
pub fn read_directory(directory: &Path) -> Result<Resources, Vec<Problem>> {
    read_directory_with(directory, &Limits::default())
}

/// As [`read_directory`], with other limits.
pub fn read_directory_with(directory: &Path, limits: &Limits) -> Result<Resources, Vec<Problem>> {
    let mut outcome = Outcome::default();
    let mut walk = Walk::through(directory, limits);
    outcome.problems.append(&mut walk.problems);
    outcome.notes.extend(walk.note(directory));
    for file in &walk.files {
        add_file(file, limits, &mut outcome);
    }
    finished(outcome)
}

fn finished(outcome: Outcome) -> Result<Resources, Vec<Problem>> {
    if outcome.problems.is_empty() {
        Ok(Resources { objects: outcome.objects, notes: outcome.notes })
    } else {
        Err(outcome.problems)
    }
}

fn add_file(file: &Path, limits: &Limits, outcome: &mut Outcome) {
    match bytes_of(file, limits) {
        Ok(bytes) => add_bytes(file, bytes, limits, outcome),
        Err(problem) => outcome.problems.push(*problem),
    }
}

/// Adds what the bytes of a file say.
pub(crate) fn add_bytes(file: &Path, bytes: Vec<u8>, limits: &Limits, outcome: &mut Outcome) {
    match String::from_utf8(bytes) {
        Ok(text) => add_text(&Arc::from(file), &text, limits, outcome),
        Err(error) => outcome.problems.push(not_utf8(file, &error)),
    }
}

pub(crate) fn bytes_of(file: &Path, limits: &Limits) -> Result<Vec<u8>, Box<Problem>> {
    let unreadable = |error: io::Error| Box::new(unreadable(file, &error));
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(Box::new(Problem::with_file(file, "this is not a regular file", "remove or rename it")));
    }
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(limits.file_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limits.file_bytes) {
        return Ok(bytes);
    }
    let reason = format!("this file is longer than {} bytes", limits.file_bytes);
    Err(Box::new(Problem::with_file(file, reason, "split it")))
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "create it, or name another",
        io::ErrorKind::PermissionDenied => "give this user the right to read it",
        io::ErrorKind::NotADirectory => "name a directory",
        _ => "make it readable",
    };
    Problem::with_file(path, format!("cannot be read: {error}"), remedy)
}

fn not_utf8(file: &Path, error: &std::string::FromUtf8Error) -> Problem {
    let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
    let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
    let position = Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: 0 };
    Problem::with_file(file, "this line is not UTF-8 text", "save the file as UTF-8").at(position)
}

fn add_text(file: &Arc<Path>, text: &str, limits: &Limits, outcome: &mut Outcome) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (documents, fault) = yaml::parse(text, StreamLimits { values: limits.values, depth: limits.depth });
    for tree in &documents {
        read::document(tree, file, outcome);
    }
    if let Some(fault) = fault {
        let problem = Problem::with_file(file, fault.reason, fault.remedy);
        outcome.problems.push(problem.at(fault.position.unwrap_or_default()));
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::problem::write_place(formatter, &self.file, self.line)?;
        if !self.object.is_empty() {
            write!(formatter, "{}: ", self.object)?;
        }
        formatter.write_str(&self.text)
    }
}
