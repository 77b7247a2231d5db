//! How does another process join a world that exists already?

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::sched::{CloneFlags, setns};

use super::{Footing, World, keeper};
use crate::sys;

/// Why a world could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum EnterWorldError {
    /// Too late.
    #[error("a world can be joined only before the process starts threads: call it first in main")]
    Threads,
    /// Nobody has that process id.
    #[error("process {0} does not exist: its world has ended; start it again")]
    Gone(u32),
    /// The process shares our namespaces.
    #[error("process {0} has no world of its own: name the process that made it")]
    NoWorld(u32),
    /// Not allowed.
    #[error("the world of process {0} may not be joined: run as the user who started it, or as root")]
    Denied(u32),
    /// The kernel refused for another reason.
    #[error("the world of process {pid} cannot be joined ({source}): check that it still runs")]
    Io {
        /// The process.
        pid: u32,
        /// The system's answer.
        source: io::Error,
    },
}

/// In the order of joining: the user namespace first, because it gives the right to join the others.
const NAMESPACES: [(&str, CloneFlags); 4] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("net", CloneFlags::CLONE_NEWNET),
    // What the process's children get: the maker of a world stays outside of its process namespace.
    ("pid_for_children", CloneFlags::CLONE_NEWPID),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// Joins the world whose maker or member has process id `pid` ([`World::outer_pid`]): its users, network, processes and
/// mounts. Call first in `main`, before any thread exists.
///
/// Returns in a new process inside the world, or not at all: the original process passes signals on and exits with the
/// new one's status. The current directory is kept when it exists there, otherwise it is `/`.
pub fn enter(pid: u32) -> Result<World, EnterWorldError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => EnterWorldError::Gone(pid),
        io::ErrorKind::PermissionDenied => EnterWorldError::Denied(pid),
        _ => EnterWorldError::Io { pid, source },
    };
    if sys::thread_count().map_err(failed)? != 1 {
        return Err(EnterWorldError::Threads);
    }
    let mut others = Vec::new();
    for (name, flag) in NAMESPACES {
        let theirs = File::open(format!("/proc/{pid}/ns/{name}")).map_err(failed)?;
        let ours = File::open(format!("/proc/self/ns/{name}")).map_err(failed)?;
        if inode(&theirs).map_err(failed)? != inode(&ours).map_err(failed)? {
            others.push((theirs, flag));
        }
    }
    if others.is_empty() {
        return Err(EnterWorldError::NoWorld(pid));
    }
    let directory = std::env::current_dir().ok();
    let user = others.iter().any(|(_, flag)| *flag == CloneFlags::CLONE_NEWUSER);
    let (mounts, rest): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(_, flag)| *flag == CloneFlags::CLONE_NEWNS);
    for (namespace, flag) in &rest {
        setns(namespace, *flag).map_err(|errno| failed(errno.into()))?;
    }
    crate::namespace::moved();
    if user && !nix::unistd::geteuid().is_root() {
        // The machine's root has no name in there yet.
        nix::unistd::setgid(0.into()).map_err(|errno| failed(errno.into()))?;
        nix::unistd::setuid(0.into()).map_err(|errno| failed(errno.into()))?;
    }
    keeper::become_member().map_err(|source| match source.raw_os_error() {
        // The first process of the namespace has ended.
        Some(libc::ENOMEM) => EnterWorldError::Gone(pid),
        _ => failed(source),
    })?;
    // Only now: the world's /proc shows only its own processes, to which the original process does not belong.
    for (namespace, flag) in &mounts {
        setns(namespace, *flag).map_err(|errno| failed(errno.into()))?;
    }
    if let Some(directory) = directory {
        let _ = std::env::set_current_dir(directory);
    }
    let footing = if user { Footing::UserNamespace } else { Footing::Root };
    Ok(World { footing, outer_pid: pid })
}

fn inode(file: &File) -> io::Result<u64> {
    file.metadata().map(|metadata| metadata.ino())
}
