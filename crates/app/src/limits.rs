//! What the process may use, and who may look into it.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// A limit of the process that could not be set.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The soft limit of open files.
    #[error(
        "cannot raise the open-file limit from {from} to {to}: {source}; set it where the process is started (`ulimit -n`)"
    )]
    OpenFiles {
        /// The soft limit as it is.
        from: u64,
        /// The hard limit.
        to: u64,
        /// The system's error.
        source: io::Error,
    },
    /// Core dumps or memory access stay allowed.
    #[error(
        "cannot keep other processes out of this one's memory ({what}): {source}; check seccomp rules for prctl and prlimit"
    )]
    Memory {
        /// Which of the two.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Raises the soft limit of open files to the hard one and returns it; `u64::MAX` means no limit.
///
/// # Errors
/// The system refuses, which it does only under a sandbox.
pub fn raise_open_files() -> Result<u64, LimitError> {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let soft = now.current.unwrap_or(u64::MAX);
    if soft < hard {
        let raised = Rlimit { current: now.maximum, maximum: now.maximum };
        setrlimit(Resource::Nofile, raised).map_err(|error| LimitError::OpenFiles {
            from: soft,
            to: hard,
            source: error.into(),
        })?;
    }
    Ok(hard)
}

/// No core dumps, and no reading of this process's memory by others of its user (`PR_SET_DUMPABLE`): it holds keys.
///
/// From here on `/proc/PID` belongs to root, so an unprivileged parent can no longer open this process's namespaces
/// there: call it after they have been set up.
///
/// # Errors
/// The system refuses, which it does only under a sandbox.
pub fn seal_memory() -> Result<(), LimitError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)
        .map_err(|error| LimitError::Memory { what: "RLIMIT_CORE", source: error.into() })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| LimitError::Memory { what: "PR_SET_DUMPABLE", source: error.into() })
}
