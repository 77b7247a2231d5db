//! Is the directory of the ZDS socket safe? Who may replace the socket would get every pod's namespace.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The user id of those who have none in this user namespace.
const NOBODY: u32 = 65534;

/// Why the socket's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZdsPathError {
    /// It has no directory.
    #[error("--zds {} names no file in a directory: give a path such as /var/run/ztunnel/ztunnel.sock", .0.display())]
    NoDirectory(PathBuf),
    /// It cannot be made or looked at.
    #[error("the directory {} of the ZDS socket cannot be used ({source}): create it, owned by this user", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others may write to it.
    #[error("everybody may write to {}, where the ZDS socket would be: run chmod o-w on it, or choose another path", .0.display())]
    Open(PathBuf),
    /// Somebody else owns it.
    #[error("{} of the ZDS socket belongs to user {owner}: choose a directory of root or of this user", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
}

/// Makes the directory of `socket` when it is missing (for its owner alone), and refuses one that is not safe.
pub(crate) fn prepare(socket: &Path) -> Result<(), ZdsPathError> {
    let parent = match socket.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) if socket.file_name().is_some() => parent,
        _ => return Err(ZdsPathError::NoDirectory(socket.to_owned())),
    };
    let failed = |source| ZdsPathError::Io { path: parent.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    let facts = fs::metadata(parent).map_err(failed)?;
    let own = rustix::process::geteuid().as_raw();
    if let Some(refusal) = refusal(facts.uid(), facts.mode(), own, mapped_users_are_few()) {
        return Err(refusal(parent.to_owned()));
    }
    Ok(())
}

/// What is wrong with a directory of this owner and mode.
fn refusal(owner: u32, mode: u32, own: u32, few: bool) -> Option<fn(PathBuf) -> ZdsPathError> {
    const STICKY: u32 = 0o1000;
    if mode & 0o002 != 0 && mode & STICKY == 0 {
        return Some(ZdsPathError::Open);
    }
    // In a user namespace the machine's root has no name; only a sticky directory, such as /tmp, is taken from it.
    let of_root = owner == 0 || (few && owner == NOBODY && mode & STICKY != 0);
    if owner == own || of_root {
        return None;
    }
    Some(|path| {
        let owner = fs::metadata(&path).map_or(NOBODY, |facts| facts.uid());
        ZdsPathError::Foreign { path, owner }
    })
}

/// Whether this is a user namespace in which not every user has a name.
fn mapped_users_are_few() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(owner: u32, mode: u32, own: u32, few: bool) -> &'static str {
        match refusal(owner, mode, own, few).map(|refusal| refusal(PathBuf::from("/nowhere"))) {
            None => "good",
            Some(ZdsPathError::Open(_)) => "open",
            Some(ZdsPathError::Foreign { .. }) => "foreign",
            Some(other) => panic!("{other}"),
        }
    }

    #[test]
    fn only_directories_that_nobody_else_rules() {
        assert_eq!(verdict(0, 0o755, 0, false), "good");
        assert_eq!(verdict(1000, 0o700, 1000, false), "good");
        assert_eq!(verdict(0, 0o755, 1000, false), "good");
        assert_eq!(verdict(0, 0o1777, 0, false), "good");
        assert_eq!(verdict(0, 0o777, 0, false), "open");
        assert_eq!(verdict(1000, 0o757, 1000, false), "open");
        assert_eq!(verdict(1000, 0o700, 0, false), "foreign");
        assert_eq!(verdict(NOBODY, 0o1777, 0, false), "foreign");
        assert_eq!(verdict(NOBODY, 0o1777, 0, true), "good");
        assert_eq!(verdict(NOBODY, 0o700, 0, true), "foreign");
    }

    #[test]
    fn a_missing_directory_is_made_for_its_owner_alone() {
        let around = tempfile::tempdir().unwrap();
        let socket = around.path().join("a/b/zds.sock");
        prepare(&socket).unwrap();
        assert_eq!(fs::metadata(socket.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(prepare(Path::new("/")), Err(ZdsPathError::NoDirectory(_))));
        fs::write(around.path().join("file"), "").unwrap();
        assert!(matches!(prepare(&around.path().join("file/zds.sock")), Err(ZdsPathError::Io { .. })));
    }
}
