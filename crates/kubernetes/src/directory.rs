//! A directory that is read again and again: only what changed is read and understood anew.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::check::claims::{Claims, OfFile};
use crate::load::{add_bytes, bytes_of, read_directory_with};
use crate::read::Outcome;
use crate::walk::Walk;
use crate::{Limits, Problem, Resources, validate_set};

/// A file's times say nothing about changes shorter than this after them: two changes within one tick of the file
/// system's clock, the coarsest of which ticks every two seconds, leave the same times.
const COARSEST: Duration = Duration::from_secs(3);

/// A directory whose files are remembered as a `T` each, until they change.
///
/// A file is read again when its place, size or times are others, or when it changed so recently that its times could
/// hide another change; it is understood again when its content is another.
#[derive(Debug)]
pub struct Directory<T> {
    path: PathBuf,
    limits: Limits,
    files: HashMap<PathBuf, Known<T>>,
    claims: Claims,
    hasher: RandomState,
}

/// A file as it was read last.
#[derive(Debug)]
struct Known<T> {
    stamp: Stamp,
    /// Whether any later change shows in the stamp.
    settled: bool,
    content: u64,
    claims: OfFile,
    kept: Arc<T>,
}

impl<T> Directory<T> {
    /// A directory of which nothing is known yet.
    pub fn new(path: &Path, limits: Limits) -> Self {
        Self {
            path: path.to_owned(),
            limits,
            files: HashMap::new(),
            claims: Claims::default(),
            hasher: RandomState::new(),
        }
    }

    /// What `keep` makes of each file, in the order of their names; of one that did not change the very value of last
    /// time. What is accepted, and what is said of the rest, is as [`read_directory_with`] and [`validate_set`] have it.
    /// Objects that `keep` is given know the line that they were written in, but of policies only more.
    ///
    /// # Errors
    /// Everything that is wrong with the files, or, if they are well by themselves, between their objects.
    pub fn read(&mut self, keep: impl FnMut(Resources) -> T) -> Result<Vec<Arc<T>>, Vec<Problem>> {
        self.read_at(SystemTime::now(), keep)
    }

    fn read_at(
        &mut self,
        now: SystemTime,
        mut keep: impl FnMut(Resources) -> T,
    ) -> Result<Vec<Arc<T>>, Vec<Problem>> {
        let mut walk = Walk::through(&self.path, &self.limits);
        let mut problems = std::mem::take(&mut walk.problems);
        let (mut files, mut kept) = (HashMap::with_capacity(walk.files.len()), Vec::new());
        for path in std::mem::take(&mut walk.files) {
            let before = self.files.remove(&path);
            match self.file(&path, before, now, &mut keep) {
                Ok(known) => {
                    kept.push(known.kept.clone());
                    files.insert(path, known);
                }
                Err(mut wrong) => problems.append(&mut wrong),
            }
        }
        for (_, gone) in std::mem::replace(&mut self.files, files) {
            self.claims.remove(gone.claims);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if self.claims.doubtful() {
            return self.whole(keep);
        }
        if kept.is_empty() {
            let notes = walk.note(&self.path).into_iter().collect();
            kept.push(Arc::new(keep(Resources { objects: Vec::new(), notes })));
        }
        Ok(kept)
    }

    fn file(
        &mut self,
        path: &Path,
        before: Option<Known<T>>,
        now: SystemTime,
        keep: &mut impl FnMut(Resources) -> T,
    ) -> Result<Known<T>, Vec<Problem>> {
        // Before the content: what changes in between shows next time.
        let stamp = Stamp::of(path);
        let settled = stamp.is_older_than(now);
        let before = match before {
            Some(known) if known.settled && known.stamp == stamp => return Ok(known),
            before => before,
        };
        let bytes = bytes_of(path, &self.limits);
        let content = bytes.as_ref().map(|bytes| self.hasher.hash_one(bytes));
        if let Some(known) = before {
            if content.as_ref().is_ok_and(|content| *content == known.content) {
                return Ok(Known { stamp, settled, ..known });
            }
            self.claims.remove(known.claims);
        }
        let content = content.unwrap_or_default();
        let mut outcome = Outcome::default();
        match bytes {
            Ok(bytes) => add_bytes(path, bytes, &self.limits, &mut outcome),
            Err(problem) => outcome.problems.push(*problem),
        }
        if !outcome.problems.is_empty() {
            return Err(outcome.problems);
        }
        let claims = self.claims.add(&outcome.objects);
        let objects = outcome.objects.into_iter().map(|loaded| loaded.without_tree()).collect();
        let kept = Arc::new(keep(Resources { objects, notes: outcome.notes }));
        Ok(Known { stamp, settled, content, claims, kept })
    }

    /// All of it, to say exactly what is wrong between objects, and where.
    fn whole(&self, mut keep: impl FnMut(Resources) -> T) -> Result<Vec<Arc<T>>, Vec<Problem>> {
        let resources = read_directory_with(&self.path, &self.limits)?;
        let problems = validate_set(&resources.objects);
        if problems.is_empty() { Ok(vec![Arc::new(keep(resources))]) } else { Err(problems) }
    }
}

/// What a file system says of a file; all zero for one that cannot be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let Ok(metadata) = fs::metadata(path) else { return Self::default() };
        Self {
            place: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the last change was so long ago that the next one has another time.
    fn is_older_than(self, now: SystemTime) -> bool {
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(self.changed.0), u32::try_from(self.changed.1)) else {
            return false;
        };
        let changed = UNIX_EPOCH.checked_add(Duration::new(seconds, nanos) + COARSEST);
        changed.is_some_and(|changed| changed < now)
    }
}

#[cfg(test)]
mod tests;
