//! How does a whole process move into namespaces of its own, which vanish with it?
//!
//! A *world* has its own network and mount namespace, and on request its own process ids. Without root it also has
//! its own user namespace. Whatever is made inside (namespaces, links, mounts, processes) is gone when it ends.

mod diagnose;
mod enter;
mod keeper;

pub use enter::{EnterWorldError, enter};

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::links::{LinkError, Links};
use crate::sys;
use diagnose::remedy;

/// What a world is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldOptions {
    /// An empty `/run` that only the world sees, so that `/run/netns` and `/run/xtables.lock` can be written. Hides
    /// what the machine has there, `XDG_RUNTIME_DIR` too.
    pub private_run: bool,
    /// Own process ids: when the calling process ends, however it ends, the kernel kills every process of the world.
    /// The caller goes on in a new process; the original one only waits for it, passes signals on, and ends as it ends.
    pub own_processes: bool,
    /// A user namespace also for root. For tests of what works without root.
    pub user_namespace: bool,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self { private_run: true, own_processes: true, user_namespace: false }
    }
}

/// On what footing a world stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// It belongs to the machine's root: every user id exists.
    Root,
    /// It has a user namespace: the caller is root inside, no other user id exists, so programs that change to
    /// another user cannot run.
    UserNamespace,
}

/// Where the calling process is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// With or without real root.
    pub footing: Footing,
    /// The process id, as seen from outside, by which [`enter`] finds the world.
    pub outer_pid: u32,
}

/// Why a world could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// Too late.
    #[error("a world can be made only before the process starts threads: call it first in main")]
    Threads,
    /// Neither root nor user namespaces.
    #[error("neither root nor user namespaces may be used here: {remedy}")]
    Forbidden {
        /// What to do about it.
        remedy: &'static str,
    },
    /// The user's id could not be mapped.
    #[error(
        "cannot become root of the user namespace ({0}): run as root, or allow writing /proc/self/uid_map"
    )]
    Map(io::Error),
    /// A mount failed.
    #[error("cannot mount {what} in the new world ({source}): {remedy}")]
    Mount {
        /// What.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A process could not be started.
    #[error(
        "cannot start the first process of the new world ({0}): raise the limit of processes (ulimit -u)"
    )]
    Process(io::Error),
    /// Loopback could not be raised.
    #[error(transparent)]
    Loopback(#[from] LinkError),
    /// The kernel refused for another reason.
    #[error("cannot make namespaces ({0}): check that the kernel has CONFIG_NAMESPACES")]
    Io(io::Error),
}

/// Moves the process into a world of its own, with loopback up. Call first in `main`, before any thread exists.
///
/// Uses root when the process has it, otherwise a user namespace. With [`WorldOptions::own_processes`] this returns in
/// a new process, or not at all: the original process exits with the new one's status (128 + n when a signal n ended
/// it). After an error after that point the caller is in the new process too, and only has to report and exit.
pub fn create(options: &WorldOptions) -> Result<World, WorldError> {
    if sys::thread_count().map_err(WorldError::Io)? != 1 {
        return Err(WorldError::Threads);
    }
    let outer_pid = std::process::id();
    let footing = unshare(options)?;
    crate::namespace::moved();
    mount(None, "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, "private mounts")?;
    if options.own_processes {
        keeper::become_program().map_err(WorldError::Process)?;
    }
    if options.private_run {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), "/run", Some("mode=0755"), flags, "/run")?;
        let failed = |source| WorldError::Mount { what: "/run/netns", source, remedy: "create /run" };
        fs::create_dir("/run/netns").map_err(failed)?;
    }
    Links::current()?.up("lo")?;
    Ok(World { footing, outer_pid })
}

fn unshare(options: &WorldOptions) -> Result<Footing, WorldError> {
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    if options.own_processes {
        flags |= CloneFlags::CLONE_NEWPID;
    }
    if !options.user_namespace {
        match nix::sched::unshare(flags) {
            Ok(()) => return Ok(Footing::Root),
            Err(nix::Error::EPERM) => {}
            Err(errno) => return Err(refused(errno)),
        }
    }
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::sched::unshare(flags | CloneFlags::CLONE_NEWUSER).map_err(refused)?;
    let map = || -> io::Result<()> {
        // Without this an unprivileged process may not map its group.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1\n"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1\n"))
    };
    map().map_err(WorldError::Map)?;
    Ok(Footing::UserNamespace)
}

fn refused(errno: nix::Error) -> WorldError {
    match errno {
        nix::Error::EPERM | nix::Error::EACCES | nix::Error::ENOSPC | nix::Error::EUSERS => {
            WorldError::Forbidden { remedy: remedy(read) }
        }
        other => WorldError::Io(other.into()),
    }
}

fn mount(
    kind: Option<&str>,
    target: &str,
    data: Option<&str>,
    flags: MsFlags,
    what: &'static str,
) -> Result<(), WorldError> {
    nix::mount::mount(kind, Path::new(target), kind, flags, data).map_err(|errno| WorldError::Mount {
        what,
        source: errno.into(),
        remedy: remedy(read),
    })
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}
