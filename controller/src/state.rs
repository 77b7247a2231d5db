//! The state directory: private files, written whole or not at all, and locks between processes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Longest file that is read.
const LONGEST: u64 = 16 << 20;

/// A directory that only its owner may change. Clones are the same directory.
#[derive(Debug, Clone)]
pub struct StateDirectory {
    path: PathBuf,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its owner: mode 0600.
    Private,
    /// Everybody: mode 0644.
    Public,
}

/// Held as long as the lock is. The kernel drops it with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What is wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made.
    #[error("the state directory {} cannot be created: {source}; name one that this user may write with --state", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Something else has its name.
    #[error("the state directory {} is not a directory; name another with --state", .0.display())]
    NotDirectory(PathBuf),
    /// Others could replace the keys in it.
    #[error("the state directory {} can be changed by other users (mode {mode:04o}): run `chmod go-w {}`", path.display(), path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Others could read a key.
    #[error("{} can be used by other users (mode {mode:04o}), so what it protects may be known already: if not, run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {source}; make it readable to this user", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {source}; make room and let this user write to its directory", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process is there.
    #[error("the state directory {} is in use by another controller: stop that one, or name another directory with --state", .0.display())]
    InUse(PathBuf),
}

impl StateDirectory {
    /// Opens the directory, made with mode 0700 if it is not there.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        let metadata = match (made, fs::metadata(path)) {
            (_, Ok(metadata)) => metadata,
            (Err(source), _) | (Ok(()), Err(source)) => {
                return Err(StateError::Create { path: path.to_owned(), source });
            }
        };
        if !metadata.is_dir() {
            return Err(StateError::NotDirectory(path.to_owned()));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(StateError::Writable { path: path.to_owned(), mode });
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's content, `None` if there is no such file. A private file that others may use is refused.
    pub fn read(&self, name: &str, access: Access) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.file(name);
        let refuse = |source| StateError::Read { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(error)),
        };
        let mode = file.metadata().map_err(refuse)?.mode() & 0o7777;
        if access == Access::Private && mode & 0o077 != 0 {
            return Err(StateError::Exposed { path, mode });
        }
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).map_err(refuse)?;
        Ok(Some(bytes))
    }

    /// Replaces a file: after a crash it holds the old bytes or the new ones, and nothing between.
    pub fn write(&self, name: &str, access: Access, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.file(name);
        write_whole(&path, access, bytes).map_err(|source| StateError::Write { path, source })
    }

    /// Waits for the lock that guards the making of keys.
    pub fn lock_keys(&self) -> Result<Lock, StateError> {
        self.lock("keys.lock", FlockOperation::LockExclusive)
    }

    /// The lock that a running controller holds.
    pub fn lock_controller(&self) -> Result<Lock, StateError> {
        self.lock("controller.lock", FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(&self, name: &str, operation: FlockOperation) -> Result<Lock, StateError> {
        let path = self.file(name);
        let refuse = |source| StateError::Write { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(refuse)?;
        match flock(&file, operation) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::InUse(self.path.clone())),
            Err(error) => Err(refuse(error.into())),
        }
    }
}

/// Writes a file under a temporary name, syncs it and gives it its name.
pub fn write_whole(path: &Path, access: Access, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // A rename would take the place of a device or a link.
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("something that is not a regular file has this name"));
    }
    let mut draft = name.to_owned();
    draft.push(format!(".{}-{:08x}", std::process::id(), rand::random::<u32>()));
    let draft = directory.join(draft);
    let written = write_draft(&draft, access, bytes).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written?;
    File::open(directory)?.sync_all()
}

fn write_draft(path: &Path, access: Access, bytes: &[u8]) -> io::Result<()> {
    let mode = match access {
        Access::Private => 0o600,
        Access::Public => 0o644,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    // Not left to the umask.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}
