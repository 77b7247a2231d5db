//! Where does a demo keep its files, and how is it made sure that only one demo uses the place?
//!
//! The directory itself carries the lock (`flock`): the stage's processes hold it, and the kernel gives it back when
//! the last of them is gone, however it ended. Whoever holds it may remove the directory.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

/// Says that a directory was made by a demo, so that it may be emptied and removed.
const MARK: &str = ".ambit-demo";
/// Longest path: the sockets in it must stay below the kernel's 108 bytes.
const LONGEST: usize = 70;
/// How long a demo that is just ending may take to give its place back.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a demo cannot have its directory.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A demo is running there.
    #[error("a demo is running already (in {}): end it with `ambit demo down`, or look at it with `ambit demo status`", .0.display())]
    Running(PathBuf),
    /// None is running there.
    #[error("no demo is running: start one with `ambit demo --keep`")]
    NotRunning,
    /// Not a directory of ours.
    #[error("{} {reason}: name another directory with --dir (this one stays as it is)", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The path cannot serve.
    #[error("the demo cannot live in {}: {reason}; name another directory with --dir", path.display())]
    Unsuited {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// There is nothing to make it in.
    #[error("the demo cannot live in {}: {} does not exist; create that, or name another directory with --dir", path.display(), parent.display())]
    NoParent {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        parent: PathBuf,
    },
    /// It cannot be made, opened or emptied.
    #[error("cannot use {} ({answer}): make its parent writable, or name another directory with --dir", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's answer; not the error's source, as the message has it already.
        answer: io::Error,
    },
}

/// The directory of a demo and the paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    directory: PathBuf,
}

/// The right to use a place; held until every copy of it is closed, in this process and those forked from it.
#[derive(Debug)]
pub struct Claim {
    /// Where.
    pub place: Place,
    _lock: OwnedFd,
}

impl Place {
    /// The directory that was asked for, or the user's own below the directory for temporary files.
    pub fn choose(asked: Option<PathBuf>) -> Result<Self, PlaceError> {
        let directory = match asked {
            Some(path) => std::path::absolute(&path).map_err(|answer| PlaceError::Io { path, answer })?,
            None => std::env::temp_dir().join(format!("ambit-demo-{}", nix::unistd::geteuid())),
        };
        let unsuited = |reason| PlaceError::Unsuited { path: directory.clone(), reason };
        if directory.as_os_str().len() > LONGEST {
            return Err(unsuited("its path is too long for the sockets in it (70 bytes at most)"));
        }
        let parent = directory.parent().and_then(|parent| parent.canonicalize().ok());
        if parent.is_some_and(|parent| parent.starts_with("/run")) {
            return Err(unsuited("the demo has a /run of its own"));
        }
        Ok(Self { directory })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The YAML that the controller and the agents read.
    pub fn config(&self) -> PathBuf {
        self.directory.join("config")
    }

    /// The controller's keys.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// What the parts logged.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// The log of one part.
    pub fn log(&self, part: &str) -> PathBuf {
        self.logs().join(format!("{part}.log"))
    }

    /// The world's `/etc/hosts`.
    pub fn hosts(&self) -> PathBuf {
        self.directory.join("hosts")
    }

    /// Where the stage answers.
    pub fn control(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// Where a node's agent serves its ztunnel.
    pub fn zds(&self, node: &str) -> PathBuf {
        self.directory.join(node).join("zds.sock")
    }

    /// A node's token.
    pub fn token(&self, node: &str) -> PathBuf {
        self.directory.join(node).join("token")
    }

    /// Takes the place for this process: makes the directory (0700), or empties what a killed demo left there.
    pub fn claim(&self) -> Result<Claim, PlaceError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.make()?;
            let lock = self.open()?;
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                // Unless it was removed while we waited for it.
                Ok(()) if self.is(&lock) => return self.emptied(lock),
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    if UnixStream::connect(self.control()).is_ok() || Instant::now() >= deadline {
                        return Err(PlaceError::Running(self.directory.clone()));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(self.failed(error.into())),
            }
        }
    }

    /// Waits until nobody uses the place, then removes it.
    pub fn sweep(&self) -> Result<(), PlaceError> {
        let lock = match self.open() {
            Ok(lock) => lock,
            Err(PlaceError::Io { answer, .. }) if answer.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| self.failed(error.into()))?;
        if !self.is(&lock) || !self.directory.join(MARK).exists() {
            return Ok(());
        }
        std::fs::remove_dir_all(&self.directory).map_err(|source| self.failed(source))
    }

    /// Whether a demo uses the place.
    pub fn is_used(&self) -> bool {
        let Ok(lock) = self.open() else { return false };
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    fn make(&self) -> Result<(), PlaceError> {
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.no_parent(error)),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    /// Opens the directory and checks that nobody else can have a hand in it.
    fn open(&self) -> Result<OwnedFd, PlaceError> {
        let flags = nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW;
        let refused = |reason| Err(PlaceError::Unsafe { path: self.directory.clone(), reason });
        let file = match File::options().read(true).custom_flags(flags).open(&self.directory) {
            Ok(file) => file,
            Err(error) => match error.raw_os_error() {
                Some(nix::libc::ENOTDIR | nix::libc::ELOOP) => return refused("is not a directory"),
                _ => return Err(self.failed(error)),
            },
        };
        let metadata = file.metadata().map_err(|source| self.failed(source))?;
        if metadata.uid() != nix::unistd::geteuid().as_raw() {
            return refused("belongs to another user");
        }
        if metadata.mode() & 0o077 != 0 {
            return refused("is open to other users");
        }
        Ok(file.into())
    }

    /// Whether the path still names the directory that was opened.
    fn is(&self, opened: &OwnedFd) -> bool {
        let (Ok(opened), Ok(named)) = (rustix::fs::fstat(opened), rustix::fs::lstat(&self.directory)) else {
            return false;
        };
        (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
    }

    fn emptied(&self, lock: OwnedFd) -> Result<Claim, PlaceError> {
        let failed = |source| self.failed(source);
        let mark = self.directory.join(MARK);
        let mut entries = std::fs::read_dir(&self.directory).map_err(failed)?;
        if entries.next().is_some() && !mark.exists() {
            let reason = "holds files that no demo made";
            return Err(PlaceError::Unsafe { path: self.directory.clone(), reason });
        }
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let removed = if path.is_dir() && !path.is_symlink() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.map_err(failed)?;
        }
        File::create(mark).map_err(failed)?;
        Ok(Claim { place: self.clone(), _lock: lock })
    }

    /// Says so if that is why the directory cannot be made.
    fn no_parent(&self, answer: io::Error) -> PlaceError {
        let parent = self.directory.parent().filter(|parent| !parent.exists());
        match parent.map(Path::to_owned) {
            Some(parent) => PlaceError::NoParent { path: self.directory.clone(), parent },
            None => self.failed(answer),
        }
    }

    fn failed(&self, answer: io::Error) -> PlaceError {
        PlaceError::Io { path: self.directory.clone(), answer }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn place(parent: &Path) -> Place {
        Place { directory: parent.join("demo") }
    }

    #[test]
    fn one_demo_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let place = place(parent.path());
        assert!(!place.is_used());
        let claim = place.claim().unwrap();
        assert!(place.is_used());
        assert!(matches!(place.claim(), Err(PlaceError::Running(_))));
        drop(claim);
        assert!(!place.is_used());
        place.sweep().unwrap();
        assert!(!place.directory().exists());
        place.sweep().unwrap();
    }

    #[test]
    fn what_a_killed_demo_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let place = place(parent.path());
        drop(place.claim().unwrap());
        std::fs::create_dir_all(place.config()).unwrap();
        std::fs::write(place.config().join("x.yaml"), "").unwrap();
        let _claim = place.claim().unwrap();
        assert!(!place.config().exists());
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let place = place(parent.path());
        let refused = || matches!(place.claim(), Err(PlaceError::Unsafe { .. }));
        symlink("/tmp", place.directory()).unwrap();
        assert!(refused());
        std::fs::remove_file(place.directory()).unwrap();
        std::fs::write(place.directory(), "").unwrap();
        assert!(refused());
        std::fs::remove_file(place.directory()).unwrap();
        std::fs::create_dir(place.directory()).unwrap();
        std::fs::set_permissions(place.directory(), Permissions::from_mode(0o755)).unwrap();
        assert!(refused());
        std::fs::set_permissions(place.directory(), Permissions::from_mode(0o700)).unwrap();
        std::fs::write(place.directory().join("thesis.txt"), "").unwrap();
        assert!(refused());
        place.sweep().unwrap();
        assert!(place.directory().join("thesis.txt").exists());
    }

    #[test]
    fn what_is_wrong_is_said_once() {
        let parent = tempfile::tempdir().unwrap();
        let place = place(&parent.path().join("absent"));
        let said = |place: &Place| format!("{:#}", anyhow::Error::from(place.claim().unwrap_err()));
        let missing = format!("{} does not exist", parent.path().join("absent").display());
        assert!(said(&place).contains(&missing), "{}", said(&place));
        assert!(!said(&place).contains("os error"), "{}", said(&place));
        let refused = said(&Place { directory: "/proc/demo".into() });
        assert_eq!(refused.matches("os error").count(), 1, "{refused}");
    }

    #[test]
    fn paths_that_cannot_serve_are_named() {
        for path in ["/run/demo", &format!("/tmp/{}", "x".repeat(80))] {
            let error = Place::choose(Some(path.into())).unwrap_err();
            assert!(matches!(error, PlaceError::Unsuited { .. }), "{error}");
        }
        assert!(Place::choose(None).unwrap().directory().is_absolute());
    }
}
