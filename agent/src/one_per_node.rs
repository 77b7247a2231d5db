//! One agent per node, and none while rules are cleaned up: a lock that knows nothing of the socket's path.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::NodeName;

/// Where it is, unless this user may not write there.
const PRIVATE: &str = "/run";

/// How often another process may take the file away between opening and locking it.
const ATTEMPTS: usize = 100;

/// Why the lock is not ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OnePerNodeError {
    /// Somebody has it.
    #[error(
        "an agent of node {node} is running (or being cleaned up after): stop it first (it holds {})",
        path.display()
    )]
    Held {
        /// The node.
        node: String,
        /// The locked file.
        path: PathBuf,
    },
    /// Somebody else's file has its name.
    #[error("{} belongs to user {owner}, so it locks nothing: remove it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// It cannot be made.
    #[error("the agent's lock {} cannot be used ({source}): make its directory writable, or set TMPDIR", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// The lock; it goes with this, and with the process however that ends.
#[derive(Debug)]
pub(crate) struct OnePerNode {
    path: PathBuf,
    _file: File,
}

impl OnePerNode {
    /// Takes the lock of a node in this network namespace: nodes of other namespaces may have the same name.
    ///
    /// # Errors
    /// [`OnePerNodeError`]
    pub(crate) fn take(node: &NodeName) -> Result<Self, OnePerNodeError> {
        let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |facts| facts.ino());
        let name = format!("ambit-agent-{node}-{namespace}.lock");
        match Self::at(Path::new(PRIVATE).join(&name), node) {
            Err(OnePerNodeError::Io { source, .. }) if may_be_elsewhere(&source) => {
                Self::at(std::env::temp_dir().join(&name), node)
            }
            outcome => outcome,
        }
    }

    fn at(path: PathBuf, node: &NodeName) -> Result<Self, OnePerNodeError> {
        let failed = |source| OnePerNodeError::Io { path: path.clone(), source };
        for _ in 0..ATTEMPTS {
            let file = open(&path).map_err(failed)?;
            let facts = file.metadata().map_err(failed)?;
            if facts.uid() != rustix::process::geteuid().as_raw() {
                return Err(OnePerNodeError::Foreign { path, owner: facts.uid() });
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(OnePerNodeError::Held { node: node.to_string(), path });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Its last owner takes the file away; a lock on a file without a name locks nothing.
            if fs::symlink_metadata(&path).is_ok_and(|named| named.ino() == facts.ino()) {
                return Ok(Self { path, _file: file });
            }
        }
        Err(failed(io::Error::other("it is taken away again and again")))
    }
}

impl Drop for OnePerNode {
    fn drop(&mut self) {
        // Still locked, so that nobody else's is removed. One that stays behind is taken over.
        let _ = fs::remove_file(&self.path);
    }
}

fn open(path: &Path) -> io::Result<File> {
    let no_links = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(no_links).open(path)
}

fn may_be_elsewhere(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeName {
        "n".parse().unwrap()
    }

    #[test]
    fn held_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = OnePerNode::at(path.clone(), &node()).unwrap();
        let error = OnePerNode::at(path.clone(), &node()).unwrap_err();
        assert!(error.to_string().contains("stop it first"), "{error}");
        drop(first);
        assert!(!path.exists());
        // What a killed agent leaves behind.
        fs::write(&path, "").unwrap();
        let second = OnePerNode::at(path.clone(), &node()).unwrap();
        assert!(matches!(OnePerNode::at(path, &node()), Err(OnePerNodeError::Held { .. })));
        drop(second);
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().join("lock"), directory.path().join("target"));
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(matches!(OnePerNode::at(path, &node()), Err(OnePerNodeError::Io { .. })));
        assert!(!target.exists());
    }

    #[test]
    fn of_many_at_once_one_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let holders = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(_lock) = OnePerNode::at(path.clone(), &node()) {
                            use std::sync::atomic::Ordering::SeqCst;
                            assert_eq!(holders.fetch_add(1, SeqCst), 0);
                            holders.fetch_sub(1, SeqCst);
                        }
                    }
                });
            }
        });
    }
}
