//! Which files of a directory are resources?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Problem;
use crate::load::{Limits, Note, NoteKind, unreadable};
use crate::problem::shortened;

/// The files below a directory, in the order of their names.
pub(crate) struct Walk {
    limits: Limits,
    pub(crate) files: Vec<PathBuf>,
    ignored: Ignored,
    /// The directories around the current one, links resolved, so that a loop of links ends.
    around: Vec<PathBuf>,
    pub(crate) problems: Vec<Problem>,
    /// Whether a file was left out because there are too many.
    full: bool,
}

impl Walk {
    pub(crate) fn through(directory: &Path, limits: &Limits) -> Self {
        let mut walk = Self {
            limits: *limits,
            files: Vec::new(),
            ignored: Ignored::default(),
            around: Vec::new(),
            problems: Vec::new(),
            full: false,
        };
        if let Err(problem) = walk.enter(directory) {
            walk.problems.push(*problem);
        }
        walk
    }

    /// What is to be said of a directory without files.
    pub(crate) fn note(&self, directory: &Path) -> Option<Note> {
        self.files.is_empty().then(|| self.ignored.note(directory))
    }

    fn enter(&mut self, directory: &Path) -> Result<(), Box<Problem>> {
        let unreadable = |error: io::Error| Box::new(unreadable(directory, &error));
        let real = directory.canonicalize().map_err(unreadable)?;
        if self.around.contains(&real) {
            let problem =
                Problem::with_file(directory, "this link leads back to a directory around it", "remove it");
            return Err(Box::new(problem));
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")) {
                paths.push(path);
            }
        }
        paths.sort();
        self.around.push(real);
        for path in paths {
            if path.is_dir() {
                if let Err(problem) = self.enter(&path) {
                    self.problems.push(*problem);
                }
            } else if is_resource_file(&path) {
                self.add(path);
            } else {
                self.ignored.add(path);
            }
        }
        self.around.pop();
        Ok(())
    }

    fn add(&mut self, file: PathBuf) {
        if self.files.len() < self.limits.files {
            self.files.push(file);
        } else if !self.full {
            self.full = true;
            let reason = format!("more than {} files, this one among them", self.limits.files);
            self.problems.push(Problem::with_file(&file, reason, "put several objects in each file"));
        }
    }
}

/// The files that were left out because of their names: the first ones, and how many.
#[derive(Default)]
struct Ignored {
    first: Vec<PathBuf>,
    count: usize,
}

impl Ignored {
    /// How many are named.
    const NAMED: usize = 3;

    fn add(&mut self, file: PathBuf) {
        self.count += 1;
        if self.first.len() < Self::NAMED {
            self.first.push(file);
        }
    }

    /// Says that nothing was read.
    fn note(&self, directory: &Path) -> Note {
        let name =
            |file: &PathBuf| shortened(&file.strip_prefix(directory).unwrap_or(file).to_string_lossy());
        let names: Vec<String> = self.first.iter().map(name).collect();
        let mut text = "no .yaml, .yml or .json file is in it".to_owned();
        if !names.is_empty() {
            text.push_str(&format!("; left out are {}", names.join(", ")));
        }
        if self.count > names.len() {
            text.push_str(&format!(" and {} more", self.count - names.len()));
        }
        Note { file: Arc::from(directory), line: 0, object: String::new(), kind: NoteKind::NotHonoured, text }
    }
}

fn is_resource_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}
