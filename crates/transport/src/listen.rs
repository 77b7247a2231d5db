//! Listening sockets, made in whatever network namespace the calling thread is in.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::dial::Keepalive;

/// How to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenOptions {
    /// A wildcard address of either family listens on both (`[::]` without `IPV6_V6ONLY`), and on IPv4 alone where
    /// the kernel or namespace has no IPv6.
    pub dual_stack: bool,
    /// `SO_REUSEPORT`: several workers, and the next version of this program, listen on one port.
    pub reuse_port: bool,
    /// `IP_TRANSPARENT`: accept connections to addresses that are not local. Needs `CAP_NET_ADMIN`.
    pub transparent: bool,
    /// Connections that the kernel keeps ready for `accept`; the system's `somaxconn` caps it.
    pub backlog: u16,
    /// `TCP_NODELAY` of every accepted connection: small writes leave at once.
    pub nodelay: bool,
    /// Probes on every accepted connection that notice a peer that vanished; `None` for none.
    pub keepalive: Option<Keepalive>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            dual_stack: true,
            reuse_port: false,
            transparent: false,
            backlog: 1024,
            nodelay: true,
            keepalive: None,
        }
    }
}

/// Why a port could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another socket has the port.
    #[error("{address} is taken: stop the process that listens there (`ss -ltnp`) or set another port")]
    Taken {
        /// What was asked for.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The address is not on this machine, or its family is not.
    #[error(
        "{address} is not an address of this network namespace: listen on one of `ip address` or on a wildcard"
    )]
    NotLocal {
        /// What was asked for.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A low port or a transparent socket without the capability.
    #[error(
        "not permitted to listen on {address}: give the process CAP_NET_BIND_SERVICE (low port) or CAP_NET_ADMIN (transparent)"
    )]
    Denied {
        /// What was asked for.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// No descriptor or memory left.
    #[error("cannot listen on {address}, out of descriptors or memory: raise the open-file limit ({source})")]
    Exhausted {
        /// What was asked for.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// What was asked for.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

impl ListenError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EADDRINUSE) => Self::Taken { address, source },
            Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => Self::NotLocal { address, source },
            Some(Errno::EACCES | Errno::EPERM) => Self::Denied { address, source },
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                Self::Exhausted { address, source }
            }
            _ => Self::Other { address, source },
        }
    }

    /// The system's error.
    pub fn system(&self) -> &io::Error {
        match self {
            Self::Taken { source, .. }
            | Self::NotLocal { source, .. }
            | Self::Denied { source, .. }
            | Self::Exhausted { source, .. }
            | Self::Other { source, .. } => source,
        }
    }
}

impl From<ListenError> for io::Error {
    /// Keeps the kind and the whole message.
    fn from(error: ListenError) -> Self {
        Self::new(error.system().kind(), error)
    }
}

/// A non-blocking, close-on-exec TCP listener in the calling thread's network namespace.
///
/// # Errors
/// The port is taken, the address is not of this namespace, a capability or descriptors are missing.
pub fn tcp_listener(address: SocketAddr, options: &ListenOptions) -> Result<TcpListener, ListenError> {
    if !(options.dual_stack && address.ip().is_unspecified()) {
        return open(address, options, false).map_err(|source| ListenError::new(address, source));
    }
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
    match open(both, options, true) {
        Err(error) if no_ipv6(&error) => {
            let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            open(v4, options, false).map_err(|source| ListenError::new(v4, source))
        }
        other => other.map_err(|source| ListenError::new(both, source)),
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPFNOSUPPORT)
    )
}

fn open(address: SocketAddr, options: &ListenOptions, dual_stack: bool) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
        if options.transparent {
            socket.set_ip_transparent_v6(true)?;
        }
    }
    if options.transparent && (address.is_ipv4() || dual_stack) {
        socket.set_ip_transparent_v4(true)?;
    }
    // Linux gives these to every connection of the listener, which saves setting them on each.
    if options.nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    if let Some(keepalive) = &options.keepalive {
        keepalive.apply(&socket)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(i32::from(options.backlog))?;
    Ok(socket.into())
}
