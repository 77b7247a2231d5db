//! What is a network namespace to us, and how does code run inside one?

mod lifetime;

pub use lifetime::{CreateError, PersistError, SpawnError, unpersist};

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use nix::sched::CloneFlags;

use crate::sys;

thread_local! {
    /// Where this thread belongs, once it has gone elsewhere and come back.
    static HOME: RefCell<Option<Rc<Home>>> = const { RefCell::new(None) };
    /// This thread is elsewhere now.
    static AWAY: Cell<bool> = const { Cell::new(false) };
}

/// The namespace of the calling thread; `/proc/self` would be the main thread's.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// A handle to a network namespace. Cloning is cheap; while a handle lives, the kernel keeps the namespace.
#[derive(Debug, Clone)]
pub struct Namespace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    fd: OwnedFd,
    id: NamespaceId,
    cookie: OnceLock<Option<u64>>,
}

/// The kernel's identity of a namespace: the namespace file's device and inode.
///
/// Unique among living namespaces only; the inode is given out again after the last handle is gone (attack A28).
/// Compare ids only while holding the [`Namespace`], or compare [`Namespace::cookie`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceId {
    /// Device number of the namespace file system.
    pub dev: u64,
    /// Inode number within it, as in `net:[4026531840]`.
    pub inode: u64,
}

impl std::fmt::Display for NamespaceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "net:[{}]", self.inode)
    }
}

/// Why a network namespace could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing is there.
    #[error("network namespace {} does not exist: create it (ip netns add NAME) or correct the path", .0.display())]
    Missing(PathBuf),
    /// Something else is there: a plain file, a device, an unmounted name.
    #[error(
        "{} is not a network namespace: name a file made by `ip netns add`, or /proc/PID/ns/net", .0.display()
    )]
    NotNamespace(PathBuf),
    /// A namespace, but of another kind.
    #[error("{} is a {kind} namespace, not a network namespace: name its `net` file instead", path.display())]
    WrongKind {
        /// What was opened.
        path: PathBuf,
        /// The kind it is: `user`, `mnt`, `pid`, ...
        kind: &'static str,
    },
    /// The file may not be opened.
    #[error("network namespace {} may not be opened: run as root or as the user that owns it", .0.display())]
    Denied(PathBuf),
    /// Anything else.
    #[error("network namespace {} cannot be opened ({source}): check the path", path.display())]
    Io {
        /// What was opened.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why a thread could not enter a network namespace. Nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The thread's own namespace could not be remembered.
    #[error("the thread's own network namespace cannot be opened ({0}): mount /proc")]
    Own(io::Error),
    /// Not allowed.
    #[error("network namespace {0} may not be entered: CAP_SYS_ADMIN is needed in it and in this process")]
    Denied(NamespaceId),
    /// Anything else.
    #[error("network namespace {id} cannot be entered ({source}): check that the kernel allows setns")]
    Io {
        /// The namespace.
        id: NamespaceId,
        /// The system's answer.
        source: io::Error,
    },
}

impl Namespace {
    /// Opens the network namespace at `path` (`/run/netns/NAME`, `/proc/PID/ns/net`) and checks that it is one.
    ///
    /// Never blocks, whatever `path` is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .map_err(|source| open_error(path, source))?;
        Self::checked(OwnedFd::from(file), path)
    }

    /// Takes over a descriptor received from elsewhere, after checking that it is a network namespace (attack A27).
    pub fn from_fd(fd: OwnedFd) -> Result<Self, OpenError> {
        Self::checked(fd, Path::new("the received descriptor"))
    }

    /// The calling thread's network namespace.
    pub fn current() -> Result<Self, OpenError> {
        Self::open(CURRENT)
    }

    fn checked(fd: OwnedFd, path: &Path) -> Result<Self, OpenError> {
        // File system first: a device could take the unknown request for something else.
        let on_nsfs =
            rustix::fs::fstatfs(&fd).is_ok_and(|s| i128::from(s.f_type) == i128::from(libc::NSFS_MAGIC));
        if !on_nsfs {
            return Err(OpenError::NotNamespace(path.to_owned()));
        }
        match sys::namespace_kind(fd.as_fd()) {
            Ok(libc::CLONE_NEWNET) => {}
            Ok(kind) => return Err(OpenError::WrongKind { path: path.to_owned(), kind: kind_name(kind) }),
            Err(_) => return Err(OpenError::NotNamespace(path.to_owned())),
        }
        let file = File::from(fd);
        let metadata = file.metadata().map_err(|source| open_error(path, source))?;
        let id = NamespaceId { dev: metadata.dev(), inode: metadata.ino() };
        Ok(Self { inner: Arc::new(Inner { fd: OwnedFd::from(file), id, cookie: OnceLock::new() }) })
    }

    /// Which namespace this is; equal ids of two living handles mean the same namespace.
    pub fn id(&self) -> NamespaceId {
        self.inner.id
    }

    /// The kernel's 64-bit number of the namespace, never given out twice since boot. `None` before Linux 5.14 or
    /// when the namespace may not be entered.
    pub fn cookie(&self) -> Option<u64> {
        *self.inner.cookie.get_or_init(|| {
            self.run(|| {
                let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).ok()?;
                sys::namespace_cookie(socket.as_fd()).ok()
            })
            .ok()
            .flatten()
        })
    }

    /// Runs `f` on this thread inside the namespace, and returns to the thread's own namespace, also when `f` panics.
    ///
    /// Sockets opened and processes started by `f` stay in the namespace. `f` must not await: another task would run
    /// inside the namespace. When the thread cannot return, the process is aborted: to go on in the wrong namespace
    /// would mix up pods. Costs two `setns` (about 2 microseconds) and none when already inside.
    ///
    /// The thread's own namespace is looked up the first time only: nothing but this crate may change it for good.
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> Result<T, EnterError> {
        let home = if AWAY.get() { Home::look_up() } else { Home::known() }.map_err(EnterError::Own)?;
        if home.id == self.inner.id {
            return Ok(f());
        }
        nix::sched::setns(&self.inner.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
            nix::Error::EPERM => EnterError::Denied(self.inner.id),
            other => EnterError::Io { id: self.inner.id, source: other.into() },
        })?;
        let _back = Return { home, was_away: AWAY.replace(true) };
        Ok(f())
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.inner.id == other.inner.id
    }
}

impl Eq for Namespace {}

/// The namespace that a thread is in.
struct Home {
    file: File,
    id: NamespaceId,
}

impl Home {
    /// The one that the calling thread is in now.
    fn look_up() -> io::Result<Rc<Self>> {
        let file = File::open(CURRENT)?;
        let metadata = file.metadata()?;
        let id = NamespaceId { dev: metadata.dev(), inode: metadata.ino() };
        Ok(Rc::new(Self { file, id }))
    }

    /// The one that the calling thread belongs to.
    fn known() -> io::Result<Rc<Self>> {
        if let Some(home) = HOME.with_borrow(Clone::clone) {
            return Ok(home);
        }
        let home = Self::look_up()?;
        HOME.set(Some(home.clone()));
        Ok(home)
    }
}

/// The calling thread has moved to another network namespace for good.
pub(crate) fn moved() {
    HOME.set(None);
}

/// Brings the thread back when dropped.
struct Return {
    home: Rc<Home>,
    was_away: bool,
}

impl Drop for Return {
    fn drop(&mut self) {
        AWAY.set(self.was_away);
        if let Err(errno) = nix::sched::setns(&self.home.file, CloneFlags::CLONE_NEWNET) {
            let _ = io::Write::write_fmt(
                &mut io::stderr(),
                format_args!(
                    "a thread cannot return to its own network namespace ({errno}): stopping the process\n"
                ),
            );
            std::process::abort();
        }
    }
}

fn open_error(path: &Path, source: io::Error) -> OpenError {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OpenError::Missing(path.to_owned()),
        io::ErrorKind::PermissionDenied => OpenError::Denied(path.to_owned()),
        _ => OpenError::Io { path: path.to_owned(), source },
    }
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        libc::CLONE_NEWNS => "mnt",
        libc::CLONE_NEWUSER => "user",
        libc::CLONE_NEWPID => "pid",
        libc::CLONE_NEWUTS => "uts",
        libc::CLONE_NEWIPC => "ipc",
        libc::CLONE_NEWCGROUP => "cgroup",
        _ => "foreign",
    }
}
