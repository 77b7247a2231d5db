//! The one accept loop of the project: never spins on errors, ends with a drain, loses no connection that is waiting.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::errno::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;

use crate::drain::{Mode, Watch};
use crate::peer::canonical;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Listeners that one task accepts from, watched by the runtime they were made on.
#[derive(Debug)]
pub struct Listeners<const N: usize> {
    sockets: [Listener; N],
    /// Whose turn it is: a busy listener does not keep the others waiting.
    turn: usize,
}

/// A listener. It is watched as any socket is: tokio's own would have each connection watched by the runtime that
/// accepts it, which is one too many where another runtime carries it.
#[derive(Debug)]
struct Listener(tokio::net::TcpStream);

/// A connection that no runtime watches yet.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, non-blocking, with the options that its listener has ([`crate::ListenOptions`]): to be watched by
    /// the runtime that carries it ([`tokio::net::TcpStream::from_std`]).
    pub stream: TcpStream,
    /// Who connected, canonical.
    pub peer: SocketAddr,
    /// Which of the listeners took it.
    pub listener: usize,
}

impl<const N: usize> Listeners<N> {
    /// Watches listeners on the current runtime.
    ///
    /// # Errors
    /// The runtime has no room for them.
    pub fn watch(listeners: [TcpListener; N]) -> io::Result<Self> {
        let watched: Vec<_> = listeners.into_iter().map(Listener::watch).collect::<io::Result<_>>()?;
        let sockets = watched.try_into().map_err(|_| io::Error::other("a listener is missing"))?;
        Ok(Self { sockets, turn: 0 })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        for step in 0..N {
            let index = (self.turn + step) % N;
            if let Poll::Ready(accepted) = self.sockets[index].poll_accept(cx) {
                self.turn = (index + 1) % N;
                return Poll::Ready(accepted.map(|(stream, peer)| Accepted {
                    stream,
                    peer,
                    listener: index,
                }));
            }
        }
        Poll::Pending
    }
}

impl Listener {
    fn watch(listener: TcpListener) -> io::Result<Self> {
        tokio::net::TcpStream::from_std(TcpStream::from(OwnedFd::from(listener))).map(Self)
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_io(Interest::READABLE, || accept(&self.0)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return Poll::Ready(accepted),
            }
        }
    }
}

/// The next connection of a non-blocking listener, and its peer, canonical.
fn accept(listener: impl AsFd) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    // As a connection that ended in the queue: the next one may be fine.
    let peer = peer.ok_or_else(|| io::Error::from(Errno::ECONNABORTED))?;
    Ok((TcpStream::from(stream), canonical(peer)))
}

/// Accepts until the drain starts and gives each connection to `on_accept`, which must not block (it spawns). Returns
/// the mode of the drain, with the listeners closed.
///
/// A graceful drain first hands over every connection that the kernel has already completed, since closing the
/// listener would reset them. Those that complete later need `net.ipv4.tcp_migrate_req` and another listener of the port.
/// It does not replace this: not every kernel wakes the other listener for a connection that comes to it complete.
///
/// When `accept` fails for want of descriptors or memory, the loop rests 5 ms, doubling to 100 ms, and goes on.
pub async fn accept_loop<const N: usize, F>(
    mut listeners: Listeners<N>,
    drain: Watch,
    mut on_accept: F,
) -> Mode
where
    F: FnMut(Accepted),
{
    let mut pause = FIRST_PAUSE;
    let mut signaled = std::pin::pin!(drain.signaled());
    let mode = loop {
        let accepted = tokio::select! {
            biased;
            mode = &mut signaled => break mode,
            accepted = std::future::poll_fn(|cx| listeners.poll_accept(cx)) => accepted,
        };
        match accepted {
            Ok(accepted) => {
                pause = FIRST_PAUSE;
                on_accept(accepted);
            }
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                if pause == FIRST_PAUSE {
                    tracing::warn!(%error, "cannot accept: resting; raise the open-file or memory limit if this stays");
                }
                // Boxed: a timer is large, rare and short, and there is a loop for each idle pod.
                let rest = Box::pin(tokio::time::sleep(pause));
                tokio::select! {
                    biased;
                    mode = &mut signaled => break mode,
                    () = rest => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    };
    if mode == Mode::Graceful {
        hand_over_waiting(listeners, &mut on_accept);
    }
    mode
}

/// Errors that the kernel passes on from a connection that died in the queue; the next one may be fine (accept(2)).
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::ECONNABORTED
                | Errno::ECONNRESET
                | Errno::EINTR
                | Errno::EPROTO
                | Errno::ENETDOWN
                | Errno::EHOSTDOWN
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::ETIMEDOUT
        )
    )
}

/// Closes each listener right behind its last connection, before another can complete.
fn hand_over_waiting<const N: usize>(listeners: Listeners<N>, on_accept: &mut impl FnMut(Accepted)) {
    for (index, listener) in listeners.sockets.into_iter().enumerate() {
        while let Ok((stream, peer)) = accept(&listener.0) {
            on_accept(Accepted { stream, peer, listener: index });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain;

    #[tokio::test]
    async fn a_loop_is_small_for_every_idle_pod_has_one() {
        let listener = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let listeners = Listeners::watch([listener(), listener(), listener()]).unwrap();
        let (_drain, watch) = drain::channel();
        let size = size_of_val(&accept_loop(listeners, watch, drop));
        assert!(size <= 640, "{size} bytes");
    }
}
