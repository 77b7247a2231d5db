//! Have the files of a directory changed? Told without reading them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Equal for a directory whose files have not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<File>);

/// A file: where it is, what it is, and when it changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    path: PathBuf,
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub(super) fn of(directory: &Path) -> Self {
        let mut files = Vec::new();
        walk(directory, &mut Vec::new(), &mut files);
        files.sort();
        Self(files)
    }
}

/// `around` are the directories around this one, so that a loop of links ends.
fn walk(directory: &Path, around: &mut Vec<(u64, u64)>, files: &mut Vec<File>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        // Links are followed: what they lead to counts.
        let Ok(facts) = fs::metadata(&path) else { continue };
        let place = (facts.dev(), facts.ino());
        if facts.is_dir() && !around.contains(&place) {
            around.push(place);
            walk(&path, around, files);
            around.pop();
        }
        files.push(file(path, &facts));
    }
}

fn file(path: PathBuf, facts: &Metadata) -> File {
    File {
        path,
        device: facts.dev(),
        inode: facts.ino(),
        length: facts.len(),
        modified: (facts.mtime(), facts.mtime_nsec()),
        changed: (facts.ctime(), facts.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differs_with_every_kind_of_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut last = Fingerprint::of(directory.path());
        let mut differs = |what: &str| {
            let now = Fingerprint::of(directory.path());
            assert_ne!(now, last, "{what}");
            assert_eq!(Fingerprint::of(directory.path()), now);
            last = now;
        };
        fs::write(at("a.yaml"), "one").unwrap();
        differs("a new file");
        fs::write(at("a.yaml"), "longer").unwrap();
        differs("another text");
        fs::create_dir(at("below")).unwrap();
        fs::write(at("below/b.yaml"), "").unwrap();
        differs("a file below");
        fs::write(at(".new"), "longer").unwrap();
        fs::rename(at(".new"), at("a.yaml")).unwrap();
        differs("a file in the place of another");
        std::os::unix::fs::symlink(at("below"), at("link")).unwrap();
        differs("a link");
        fs::remove_file(at("link")).unwrap();
        std::os::unix::fs::symlink(directory.path(), at("loop")).unwrap();
        differs("a loop");
        fs::remove_file(at("loop")).unwrap();
        fs::remove_file(at("a.yaml")).unwrap();
        differs("a file less");
    }
}
