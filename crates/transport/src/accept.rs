//! The one accept loop of the project: never spins on errors, ends with a drain, loses no connection that is waiting.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream};

use crate::drain::{Mode, Watch};
use crate::peer::canonical;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Listeners that one task accepts from, watched by the runtime they were made on.
#[derive(Debug)]
pub struct Listeners<const N: usize> {
    sockets: [TcpListener; N],
    /// Whose turn it is: a busy listener does not keep the others waiting.
    turn: usize,
}

/// A connection, watched by the runtime of its listener.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, with the options that its listener has ([`crate::ListenOptions`]).
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
    pub fn watch(listeners: [StdListener; N]) -> io::Result<Self> {
        let watched: Vec<_> = listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?;
        let sockets = watched.try_into().map_err(|_| io::Error::other("a listener is missing"))?;
        Ok(Self { sockets, turn: 0 })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        for step in 0..N {
            let index = (self.turn + step) % N;
            if let Poll::Ready(accepted) = self.sockets[index].poll_accept(cx) {
                self.turn = (index + 1) % N;
                return Poll::Ready(accepted.map(|(stream, peer)| Accepted::new(stream, peer, index)));
            }
        }
        Poll::Pending
    }
}

impl Accepted {
    fn new(stream: TcpStream, peer: SocketAddr, listener: usize) -> Self {
        Self { stream, peer: canonical(peer), listener }
    }

    /// The connection, watched by the current runtime instead.
    ///
    /// # Errors
    /// The runtime has no room for it.
    pub fn moved(self) -> io::Result<Self> {
        let stream = TcpStream::from_std(self.stream.into_std()?)?;
        Ok(Self { stream, ..self })
    }
}

/// Accepts until the drain starts and gives each connection to `on_accept`, which must not block (it spawns). Returns
/// the mode of the drain, with the listeners closed.
///
/// A graceful drain first hands over every connection that the kernel has already completed, since closing the
/// listener would reset them. When `accept` fails for want of descriptors or memory, the loop rests 5 ms, doubling to
/// 100 ms, and goes on.
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
                tokio::select! {
                    biased;
                    mode = &mut signaled => break mode,
                    () = tokio::time::sleep(pause) => {}
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

fn hand_over_waiting<const N: usize>(listeners: Listeners<N>, on_accept: &mut impl FnMut(Accepted)) {
    for (index, listener) in listeners.sockets.into_iter().enumerate() {
        let Ok(listener) = listener.into_std() else { continue };
        while let Ok((stream, peer)) = listener.accept() {
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                on_accept(Accepted::new(stream, peer, index));
            }
        }
    }
}
