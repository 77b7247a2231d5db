//! The one accept loop of the project: never spins on errors, ends with a drain, loses no connection that is waiting.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream};

use crate::dial::Keepalive;
use crate::drain::{Mode, Watch};
use crate::peer::canonical;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What an accepted socket gets before it is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptOptions {
    /// `TCP_NODELAY`: small writes leave at once.
    pub nodelay: bool,
    /// Probes that notice a peer that vanished; `None` for none.
    pub keepalive: Option<Keepalive>,
}

impl Default for AcceptOptions {
    fn default() -> Self {
        Self { nodelay: true, keepalive: None }
    }
}

/// Accepts until the drain starts and gives each connection, with its canonical peer address, to `on_accept`, which
/// must not block (it spawns). Returns the mode of the drain, with the listener closed.
///
/// A graceful drain first hands over every connection that the kernel has already completed, since closing the
/// listener would reset them. When `accept` fails for want of descriptors or memory, the loop rests 5 ms, doubling to
/// 100 ms, and goes on.
pub async fn accept_loop<F>(
    listener: TcpListener,
    options: &AcceptOptions,
    drain: Watch,
    mut on_accept: F,
) -> Mode
where
    F: FnMut(TcpStream, SocketAddr),
{
    let mut pause = FIRST_PAUSE;
    let mut signaled = std::pin::pin!(drain.signaled());
    let mode = loop {
        let accepted = tokio::select! {
            biased;
            mode = &mut signaled => break mode,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = FIRST_PAUSE;
                prepare(&stream, options);
                on_accept(stream, canonical(peer));
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
        hand_over_waiting(listener, options, &mut on_accept);
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

fn hand_over_waiting(
    listener: TcpListener,
    options: &AcceptOptions,
    on_accept: &mut impl FnMut(TcpStream, SocketAddr),
) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) else {
            continue;
        };
        prepare(&stream, options);
        on_accept(stream, canonical(peer));
    }
}

/// Options are best effort: a peer that has already gone must not end the loop.
fn prepare(stream: &TcpStream, options: &AcceptOptions) {
    if options.nodelay {
        let _ = stream.set_nodelay(true);
    }
    if let Some(keepalive) = &options.keepalive {
        let _ = keepalive.apply(&socket2::SockRef::from(stream));
    }
}
