//! Who waits for a world's program, passes signals on to it, and makes sure that nothing outlives it?
//!
//! Three processes: the original one (outside; it waits), the init of the new process namespace (it reaps orphans),
//! and the program (the caller goes on there). When the original dies, however, the kernel kills init
//! (`PR_SET_PDEATHSIG`), and with init every process of the namespace.

use std::io;
use std::os::fd::OwnedFd;

use nix::mount::MsFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::sys::{Fork, fork};

/// The signals that are passed on.
const PASSED: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];
/// The kernel itself sent it (`SI_KERNEL`): the terminal's Ctrl-C, which the program gets as well.
const FROM_KERNEL: i32 = 0x80;

/// Called after `unshare(CLONE_NEWPID)`: returns in the program's process only.
pub(super) fn become_program() -> io::Result<()> {
    let before = block()?;
    start_child()?;
    // This is init. Its own view of the processes; where the machine hides parts of /proc the kernel forbids a new
    // mount, and the old one serves: it resolves /proc/self for us as well.
    let _ = nix::mount::mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>);
    match fork()? {
        Fork::Parent(program) => keep(program, true),
        Fork::Child => Ok(before.thread_set_mask()?),
    }
}

/// Called after joining a process namespace: returns in a new process inside it only.
pub(super) fn become_member() -> io::Result<()> {
    let before = block()?;
    start_child()?;
    Ok(before.thread_set_mask()?)
}

/// Blocks the signals that [`keep`] reads; gives the mask from before.
fn block() -> io::Result<SigSet> {
    let before = SigSet::thread_get_mask()?;
    let mut blocked: SigSet = PASSED.into_iter().collect();
    blocked.add(Signal::SIGCHLD);
    blocked.thread_block()?;
    Ok(before)
}

/// Forks; the parent keeps the child and never returns. The child dies with the parent.
fn start_child() -> io::Result<()> {
    // The child goes on only when it is sure to be killed with the parent: it says that it is armed, and the parent
    // answers. A parent that died before closes its end without an answer.
    let (armed_reader, armed_writer) = nix::unistd::pipe()?;
    let (go_reader, go_writer) = nix::unistd::pipe()?;
    match fork()? {
        Fork::Parent(child) => {
            drop((armed_writer, go_reader));
            if read_byte(&armed_reader)? {
                nix::unistd::write(&go_writer, &[1])?;
            }
            drop((armed_reader, go_writer));
            keep(child, false)
        }
        Fork::Child => {
            drop((armed_reader, go_writer));
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            nix::unistd::write(&armed_writer, &[1])?;
            if read_byte(&go_reader)? { Ok(()) } else { std::process::exit(1) }
        }
    }
}

fn read_byte(fd: &OwnedFd) -> io::Result<bool> {
    loop {
        match nix::unistd::read(fd, &mut [0]) {
            Ok(count) => return Ok(count == 1),
            Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits for `child`, passes signals on to it, reaps orphans when this is init, and exits as it did.
fn keep(child: Pid, init: bool) -> ! {
    let code = keep_until_end(child, init).unwrap_or(1);
    std::process::exit(code)
}

fn keep_until_end(child: Pid, init: bool) -> io::Result<i32> {
    let mut read: SigSet = PASSED.into_iter().collect();
    read.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&read, SfdFlags::SFD_CLOEXEC)?;
    let whom = if init { Pid::from_raw(-1) } else { child };
    loop {
        // Before the first signal too: the child may be gone already.
        loop {
            match waitpid(whom, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == child => return Ok(code),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return Ok(128 + signal as i32),
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let Some(received) = signals.read_signal()? else { continue };
        if received.ssi_code != FROM_KERNEL
            && let Ok(signal) = Signal::try_from(received.ssi_signo as i32)
            && signal != Signal::SIGCHLD
        {
            // It may have ended in the meantime.
            let _ = kill(child, signal);
        }
    }
}
