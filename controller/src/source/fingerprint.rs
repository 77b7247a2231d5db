//! Whether anything below a directory may have changed, told without reading a file.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Deepest directory that is looked into; links may lead in circles.
const DEEPEST: usize = 16;

/// A number that changes with the names, sizes, times and identities of what is below a directory, links followed.
pub(super) fn fingerprint(directory: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    add(directory, DEEPEST, &mut hasher);
    hasher.finish()
}

fn add(path: &Path, depth: usize, hasher: &mut DefaultHasher) {
    path.hash(hasher);
    let Ok(metadata) = std::fs::metadata(path) else { return };
    (metadata.dev(), metadata.ino(), metadata.mode(), metadata.size()).hash(hasher);
    (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()).hash(hasher);
    if !metadata.is_dir() || depth == 0 {
        return;
    }
    let Ok(entries) = std::fs::read_dir(path) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in &paths {
        add(path, depth - 1, hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_shows_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let (path, below) = (directory.path(), directory.path().join("below"));
        std::fs::create_dir(&below).unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), below.join("link.yaml")).unwrap();
        std::os::unix::fs::symlink(path, below.join("circle")).unwrap();
        let mut last = fingerprint(path);
        assert_eq!(fingerprint(path), last);
        let mut changed = |what: &str| {
            let now = fingerprint(path);
            assert_ne!(now, last, "{what}");
            last = now;
        };
        std::fs::write(below.join("a.yaml"), "a").unwrap();
        changed("a new file");
        std::fs::write(below.join("a.yaml"), "ab").unwrap();
        changed("a longer file");
        std::fs::rename(below.join("a.yaml"), below.join("b.yaml")).unwrap();
        changed("another name");
        std::fs::write(outside.path(), "behind a link").unwrap();
        changed("a change behind a link");
        std::fs::remove_file(below.join("b.yaml")).unwrap();
        changed("a file that is gone");
    }
}
