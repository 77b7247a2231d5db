//! The system calls that no safe crate offers; the only file with `unsafe`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use tokio::io::unix::AsyncFd;

/// `NS_GET_NSTYPE` of `<linux/nsfs.h>`: `_IO(0xb7, 3)`.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
/// `SO_NETNS_COOKIE` of `<asm-generic/socket.h>`, Linux 5.14.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The `CLONE_NEW*` flag of the namespace behind `fd`; `ENOTTY` when `fd` is not a namespace.
pub(crate) fn namespace_kind(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: the request takes no argument, and `fd` is open for the duration of the call.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) };
    if kind < 0 { Err(io::Error::last_os_error()) } else { Ok(kind) }
}

/// The kernel's never-reused number of the network namespace that `socket` belongs to.
pub(crate) fn namespace_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie: u64 = 0;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: `cookie` and `length` are live, writable and of the size told.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
}

/// A non-blocking packet socket that sees every frame of the interface with `index` in the current namespace.
pub(crate) fn packet_socket(index: u32) -> io::Result<OwnedFd> {
    // Protocol 0 receives nothing until `bind` names both protocol and interface, so no foreign frame slips in.
    let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; the descriptor is owned by nobody else.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_PACKET, flags, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as i32;
    // SAFETY: `address` is a live sockaddr_ll of the length told.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// How many frames the packet socket dropped since the last question (`PACKET_STATISTICS`).
pub(crate) fn packets_lost(socket: &OwnedFd) -> io::Result<u64> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: `statistics` and `length` are live, writable and of the size told.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::from(statistics.tp_drops)) }
}

/// Registers a descriptor with the current tokio runtime.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the result, which neither closes nor replaces it while registered.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}

/// Which side of a [`fork`] this is.
pub(crate) enum Fork {
    /// The original process, with the child's process id as seen from here.
    Parent(nix::unistd::Pid),
    /// The new process.
    Child,
}

/// Duplicates this process. Refuses when the process has more than one thread, so that the child can do
/// everything a program can do (no lock can be held by a thread that does not exist there).
pub(crate) fn fork() -> io::Result<Fork> {
    if thread_count()? != 1 {
        return Err(io::Error::other("the process has more than one thread"));
    }
    // SAFETY: the process is single-threaded, so the child is a full copy.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Fork::Parent(child)),
        nix::unistd::ForkResult::Child => Ok(Fork::Child),
    }
}

/// How many threads this process has.
pub(crate) fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}
