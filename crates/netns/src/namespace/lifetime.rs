//! How does a network namespace come into being, get a name, lose it, and get its first process?

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;

use super::{EnterError, Namespace, OpenError};
use crate::links::{LinkError, Links};

/// Why a new network namespace could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Not allowed.
    #[error("a network namespace may not be created: run as root, or inside `unshare -Urn`")]
    Denied,
    /// The kernel's limit is reached.
    #[error("no more network namespaces are allowed: raise sysctl user.max_net_namespaces")]
    Limit,
    /// Anything else of the system.
    #[error("a network namespace cannot be created ({0}): check that the kernel has CONFIG_NET_NS")]
    Io(#[from] io::Error),
    /// It was made, but cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was made, but its loopback cannot be raised.
    #[error(transparent)]
    Loopback(#[from] LinkError),
}

/// Why a namespace could not be given a path, or the path not be taken away.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// Something is there already.
    #[error("{} exists already: remove it (ip netns delete NAME) or choose another name", .0.display())]
    Exists(PathBuf),
    /// Nothing is mounted there.
    #[error("{} is not a mounted namespace: nothing was removed; correct the path", .0.display())]
    NotMounted(PathBuf),
    /// Not allowed.
    #[error("a namespace may not be mounted at or removed from {}: CAP_SYS_ADMIN is needed", .0.display())]
    Denied(PathBuf),
    /// Anything else.
    #[error("a namespace cannot be mounted at or removed from {} ({source}): check the path", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why a command did not start inside a namespace.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The command could not be started.
    #[error("{program} cannot be started ({source}): check that it is installed and on PATH")]
    Start {
        /// The program.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl Namespace {
    /// A new network namespace without a name, with loopback up. It lives as long as a handle, a process, a socket or
    /// a mount keeps it.
    pub fn create() -> Result<Self, CreateError> {
        // A thread that ends right after, so that no caller's thread ever changes its namespace for good.
        let made = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    nix::sched::unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
                        nix::Error::EPERM => CreateError::Denied,
                        nix::Error::ENOSPC => CreateError::Limit,
                        other => CreateError::Io(other.into()),
                    })?;
                    super::moved();
                    let namespace = Self::current()?;
                    Links::current()?.up("lo")?;
                    Ok(namespace)
                })
                .join()
        });
        made.unwrap_or_else(|_| Err(CreateError::Io(io::Error::other("the creating thread panicked"))))
    }

    /// Gives the namespace a path, as `ip netns add` does: makes the file and mounts the namespace on it.
    ///
    /// Missing parent directories are made. The name is seen in the current mount namespace only, unless the
    /// directory is on a shared mount. Undo with [`unpersist`].
    pub fn persist(&self, path: impl AsRef<Path>) -> Result<(), PersistError> {
        let path = path.as_ref();
        let failed = |source| persist_error(path, source);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        let source = format!("/proc/self/fd/{}", self.as_fd().as_raw_fd());
        let none = None::<&str>;
        nix::mount::mount(Some(source.as_str()), path, none, MsFlags::MS_BIND, none).map_err(|errno| {
            let _ = std::fs::remove_file(path);
            persist_error(path, errno.into())
        })
    }

    /// Starts a command inside the namespace; the calling thread is back in its own when this returns.
    ///
    /// For a tokio command use [`Namespace::run`] around its `spawn`, on a thread of the runtime.
    pub fn spawn(&self, command: &mut std::process::Command) -> Result<std::process::Child, SpawnError> {
        self.run(|| command.spawn())?.map_err(|source| SpawnError::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })
    }
}

/// Takes the path away from a namespace that [`Namespace::persist`] or `ip netns add` mounted there.
///
/// The namespace itself lives on while something else keeps it. A path that is no mounted namespace is left alone.
pub fn unpersist(path: impl AsRef<Path>) -> Result<(), PersistError> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| persist_error(path, source))?;
    if crate::sys::namespace_kind(file.as_fd()).is_err() {
        return Err(PersistError::NotMounted(path.to_owned()));
    }
    drop(file);
    nix::mount::umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
        .map_err(|errno| persist_error(path, errno.into()))?;
    std::fs::remove_file(path).map_err(|source| persist_error(path, source))
}

fn persist_error(path: &Path, source: io::Error) -> PersistError {
    match (source.kind(), source.raw_os_error()) {
        (io::ErrorKind::AlreadyExists, _) => PersistError::Exists(path.to_owned()),
        (io::ErrorKind::PermissionDenied, _) => PersistError::Denied(path.to_owned()),
        (io::ErrorKind::NotFound, _) | (_, Some(libc::EINVAL)) => PersistError::NotMounted(path.to_owned()),
        _ => PersistError::Io { path: path.to_owned(), source },
    }
}
