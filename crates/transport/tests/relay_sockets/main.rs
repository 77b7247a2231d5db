//! The relay over real sockets on the loopback, with bytes copied by the relay and with bytes moved by the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ambit_transport::Socket;
use ambit_transport::relay::{ByteCounters, CloseReason, Limits, RelayError, Relayed, relay};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

mod bulk;
mod outlet;
mod peers;
mod stalled;

type Outcome = Result<Relayed, RelayError>;

/// A way to move bytes between sockets.
#[derive(Debug, Clone, Copy)]
struct Path {
    limits: Limits,
    /// Over sockets whose writing end can be shared.
    shared: bool,
}

fn every_path() -> [Path; 3] {
    [(true, true), (false, true), (false, false)]
        .map(|(splice, shared)| Path { limits: Limits { splice, ..Limits::default() }, shared })
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

/// A relay that runs.
struct Running {
    task: JoinHandle<Outcome>,
    live: Arc<ByteCounters>,
}

impl Running {
    /// Its outcome, which has to agree with what it counted.
    async fn end(self) -> Outcome {
        let outcome = in_time(self.task).await.unwrap();
        let moved = match &outcome {
            Ok(relayed) => *relayed,
            Err(error) => error.relayed(),
        };
        assert_eq!((self.live.sent(), self.live.received()), (moved.sent, moved.received));
        outcome
    }
}

/// A client and a server with a relay between them, cut when the close future ends.
async fn through(
    path: Path,
    close: impl Future<Output = CloseReason> + Send + 'static,
) -> (TcpStream, TcpStream, Running) {
    let (client, downstream) = connected().await;
    let (upstream, server) = connected().await;
    let live = Arc::<ByteCounters>::default();
    let counters = live.clone();
    let task = tokio::spawn(async move {
        if path.shared {
            relay(Socket::from(downstream), Socket::from(upstream), &counters, path.limits, close).await
        } else {
            relay(downstream, upstream, &counters, path.limits, close).await
        }
    });
    (client, server, Running { task, live })
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it hangs")
}

async fn assert_reset(stream: &mut TcpStream) {
    let error = in_time(stream.read(&mut [0; 16])).await.expect_err("an orderly end instead of a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Reads until the end: what came, and whether the end was a reset.
async fn drain(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut piece = vec![0; 65_536];
    loop {
        match in_time(stream.read(&mut piece)).await {
            Ok(0) => return (all, false),
            Ok(bytes) => all.extend_from_slice(&piece[..bytes]),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                return (all, true);
            }
        }
    }
}

/// Bytes in which every place differs from its neighbours and every seed from the others.
fn pattern(seed: u32, bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| ((at ^ seed).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Writes until every buffer on the way is full: how much was taken.
async fn stuff(stream: &TcpStream, data: &[u8]) -> usize {
    let (mut written, mut idle) = (0, 0);
    while idle < 200 {
        match stream.try_write(&data[written..]) {
            Ok(bytes) => {
                written += bytes;
                idle = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                idle += 1;
                tokio::task::yield_now().await;
            }
        }
        assert!(written < data.len(), "back-pressure does not reach the writer");
    }
    written
}
