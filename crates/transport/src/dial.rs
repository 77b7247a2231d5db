//! Dialling in two steps: the socket is made inside a pod's namespace, the connection completes outside of it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

use crate::peer::{canonical, canonical_ip};

/// TCP keepalive: a peer that vanished is noticed after `idle + interval * probes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe (`TCP_KEEPIDLE`).
    pub idle: Duration,
    /// Time between probes (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// Unanswered probes before the connection counts as dead (`TCP_KEEPCNT`).
    pub probes: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), interval: Duration::from_secs(15), probes: 4 }
    }
}

impl Keepalive {
    pub(crate) fn apply(&self, socket: &Socket) -> io::Result<()> {
        let probes =
            TcpKeepalive::new().with_time(self.idle).with_interval(self.interval).with_retries(self.probes);
        socket.set_tcp_keepalive(&probes)
    }
}

/// How to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialOptions {
    /// Dial from this address even if it is not local (`IP_TRANSPARENT`), the port chosen by the
    /// kernel. Must be of the target's family. Needs `CAP_NET_ADMIN` in the namespace.
    pub source: Option<IpAddr>,
    /// Refuse a target that is not an address of this very namespace, so that nothing leaves it.
    pub local: bool,
    /// `SO_MARK` of every packet, so that the pod's rules let it pass. Needs `CAP_NET_ADMIN` in the namespace.
    pub mark: Option<u32>,
    /// How long [`connect`] waits; Istio's ztunnel waits 10 s as well.
    pub timeout: Duration,
    /// Probes that notice a peer that vanished; `None` for none.
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged; `None` is the system's default.
    pub user_timeout: Option<Duration>,
    /// `TCP_NODELAY`: small writes leave at once.
    pub nodelay: bool,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            source: None,
            local: false,
            mark: None,
            timeout: Duration::from_secs(10),
            keepalive: Some(Keepalive::default()),
            user_timeout: None,
            nodelay: true,
        }
    }
}

/// What kept a connection from being made, whatever the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DialFailure {
    /// The target answered with a reset: nothing listens there.
    Refused,
    /// No route, or a router or firewall said no.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// No free source port, or the source address cannot be used here.
    SourceUnavailable,
    /// A capability is missing.
    Denied,
    /// The target was to be an address of this namespace and is not.
    NotLocal,
    /// Source and target are of different families.
    FamilyMismatch,
    /// No descriptor or memory left.
    Exhausted,
    /// Anything else.
    Other,
}

/// A connection that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {target}: {}", Remedy(self))]
pub struct DialError {
    /// Where to.
    pub target: SocketAddr,
    /// Why not.
    pub failure: DialFailure,
    /// The system's error.
    pub source: io::Error,
}

/// The second half of a dial error's line: the reason and what to do about it.
struct Remedy<'a>(&'a DialError);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.0.source;
        match self.0.failure {
            DialFailure::Refused => f.write_str("refused, nothing listens on that port"),
            DialFailure::Unreachable => write!(f, "no way there ({source}), check routes and network policy"),
            DialFailure::TimedOut => {
                write!(f, "no answer ({source}), check that a firewall does not drop it")
            }
            DialFailure::SourceUnavailable => {
                write!(f, "source address or port not available ({source}), check the source and free ports")
            }
            DialFailure::Denied => write!(f, "not permitted ({source}), give the process CAP_NET_ADMIN"),
            DialFailure::NotLocal => {
                f.write_str("it is not an address of this pod, check what the controller announces for it")
            }
            DialFailure::FamilyMismatch => f.write_str("source and target are of different address families"),
            DialFailure::Exhausted => write!(f, "out of resources ({source}), raise the open-file limit"),
            DialFailure::Other => write!(f, "{source}"),
        }
    }
}

impl DialError {
    fn new(target: SocketAddr, source: io::Error) -> Self {
        let failure = match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNREFUSED | Errno::ECONNRESET) => DialFailure::Refused,
            Some(
                Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::ENETDOWN
                | Errno::EHOSTDOWN
                | Errno::ENONET
                | Errno::EAFNOSUPPORT,
            ) => DialFailure::Unreachable,
            Some(Errno::ETIMEDOUT) => DialFailure::TimedOut,
            Some(Errno::EADDRINUSE | Errno::EADDRNOTAVAIL) => DialFailure::SourceUnavailable,
            Some(Errno::EPERM | Errno::EACCES) => DialFailure::Denied,
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM | Errno::EAGAIN) => {
                DialFailure::Exhausted
            }
            _ => DialFailure::Other,
        };
        Self { target, failure, source }
    }
}

/// A socket that is ready to connect.
#[derive(Debug)]
pub struct Ready(Socket);

impl AsFd for Ready {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A socket ready to connect to `target`, made in the calling thread's network namespace; it stays there wherever it
/// is used afterwards. Never blocks and needs no runtime.
///
/// # Errors
/// A capability, descriptors or a source port are missing, or the source is of another family than the target.
pub fn socket(options: &DialOptions, target: SocketAddr) -> Result<Ready, DialError> {
    let target = canonical(target);
    let source = options.source.map(canonical_ip);
    if source.is_some_and(|source| source.is_ipv4() != target.is_ipv4()) {
        let source = io::Error::from(io::ErrorKind::InvalidInput);
        return Err(DialError { target, failure: DialFailure::FamilyMismatch, source });
    }
    if options.local && !is_local(target.ip()).map_err(|source| DialError::new(target, source))? {
        let source = io::Error::from(io::ErrorKind::AddrNotAvailable);
        return Err(DialError { target, failure: DialFailure::NotLocal, source });
    }
    prepare(options, target, source).map(Ready).map_err(|source| DialError::new(target, source))
}

/// Whether an address is one of the calling thread's network namespace: the kernel lets a socket be bound to those only.
fn is_local(ip: IpAddr) -> io::Result<bool> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(SocketAddr::new(ip, 0)), kind, Some(Protocol::TCP))?;
    // Without it every probe would take a port.
    let _ = setsockopt(&socket, sockopt::IpBindAddressNoPort, &true);
    match socket.bind(&SockAddr::from(SocketAddr::new(ip, 0))) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::EADDRNOTAVAIL as i32) => Ok(false),
        Err(error) => Err(error),
    }
}

fn prepare(options: &DialOptions, target: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(target), kind, Some(Protocol::TCP))?;
    if options.nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    if let Some(keepalive) = &options.keepalive {
        keepalive.apply(&socket)?;
    }
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    if let Some(mark) = options.mark {
        socket.set_mark(mark)?;
    }
    if let Some(source) = source {
        bind_foreign(&socket, source)?;
    }
    Ok(socket)
}

fn bind_foreign(socket: &Socket, source: IpAddr) -> io::Result<()> {
    match source {
        // Transparent implies what `IP_FREEBIND` allows.
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    // The port is chosen at connect, unique for source and target together: otherwise one busy client address would
    // run out of ports. Kernels without the option (before 4.2) choose at bind.
    let _ = setsockopt(socket, sockopt::IpBindAddressNoPort, &true);
    socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))
}

/// Completes the connection of a socket from [`socket`], from any namespace, within `timeout`.
///
/// # Errors
/// Refused, unreachable, no answer in time, no free source port, or a capability is missing.
pub async fn connect(socket: Ready, target: SocketAddr, timeout: Duration) -> Result<TcpStream, DialError> {
    let target = canonical(target);
    let failed = |source| DialError::new(target, source);
    let Ready(socket) = socket;
    match socket.connect(&SockAddr::from(target)) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(failed(error)),
        // The kernel shakes hands with an application of the same machine before it returns: that needs no timer, and no
        // word from the runtime.
        _ if socket.peer_addr().is_ok() => return TcpStream::from_std(socket.into()).map_err(failed),
        _ => {}
    }
    let stream = TcpStream::from_std(socket.into()).map_err(failed)?;
    match tokio::time::timeout(timeout, stream.writable()).await {
        Ok(written) => written.and_then(|()| stream.take_error()?.map_or(Ok(stream), Err)).map_err(failed),
        Err(_) => {
            let source = io::Error::new(io::ErrorKind::TimedOut, format!("waited {timeout:?}"));
            Err(DialError { target, failure: DialFailure::TimedOut, source })
        }
    }
}

/// Both steps in one, for a caller that is in the right namespace already.
///
/// # Errors
/// As [`socket`] and [`connect`].
pub async fn dial(options: &DialOptions, target: SocketAddr) -> Result<TcpStream, DialError> {
    let socket = socket(options, target)?;
    connect(socket, target, options.timeout).await
}
