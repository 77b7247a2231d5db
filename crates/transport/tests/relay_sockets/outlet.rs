//! Bytes that a tunnel pushes into the receiver's socket past the relay's task.

use std::future::pending;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_transport::relay::{Abort, ByteCounters, Limits, Outlet, RelayError, Relayed, Side, relay};
use ambit_transport::{CloseReason, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{Running, assert_reset, connected, drain, in_time, pattern};

/// The relay's end of a tunnel stream: a pipe, and the outlet once the relay has given it.
struct Tunnel {
    pipe: DuplexStream,
    outlet: Option<oneshot::Sender<Arc<dyn Outlet>>>,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, space)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl Abort for Tunnel {
    fn abort(&mut self) {}
    fn pushes(&self) -> bool {
        true
    }
    fn push_into(&mut self, outlet: Arc<dyn Outlet>) {
        let _ = self.outlet.take().unwrap().send(outlet);
    }
}

/// A peer with a socket, the far end of a tunnel stream, the relay between them, and its outlet into the socket.
struct Pushed {
    peer: TcpStream,
    far: DuplexStream,
    outlet: Arc<dyn Outlet>,
    relay: Running,
}

/// The peer is on `side`.
async fn pushed(side: Side, close: impl Future<Output = CloseReason> + Send + 'static) -> Pushed {
    let (peer, socket) = connected().await;
    let (far, pipe) = duplex(64 * 1024);
    let (give, given) = oneshot::channel();
    let tunnel = Tunnel { pipe, outlet: Some(give) };
    let live = Arc::<ByteCounters>::default();
    let counters = live.clone();
    let task = tokio::spawn(async move {
        let socket = Socket::from(socket);
        match side {
            Side::Downstream => relay(socket, tunnel, &counters, Limits::default(), close).await,
            Side::Upstream => relay(tunnel, socket, &counters, Limits::default(), close).await,
        }
    });
    let outlet = in_time(given).await.unwrap();
    Pushed { peer, far, outlet, relay: Running { task, live } }
}

#[tokio::test]
async fn pushed_bytes_arrive_and_are_counted_at_once_and_in_the_end() {
    for side in [Side::Downstream, Side::Upstream] {
        let Pushed { mut peer, mut far, outlet, relay } = pushed(side, pending()).await;
        assert_eq!(outlet.try_deliver(&[IoSlice::new(b"one "), IoSlice::new(b"two")]), 7);
        let mut read = [0; 7];
        in_time(peer.read_exact(&mut read)).await.unwrap();
        assert_eq!(&read, b"one two");
        let counted = |relay: &Running| match side {
            Side::Downstream => relay.live.received(),
            Side::Upstream => relay.live.sent(),
        };
        assert_eq!(counted(&relay), 7);
        // The relay's own way goes on beside it.
        far.write_all(b" three").await.unwrap();
        let mut read = [0; 6];
        in_time(peer.read_exact(&mut read)).await.unwrap();
        assert_eq!((&read, counted(&relay)), (b" three", 13));
        peer.write_all(b"back").await.unwrap();
        peer.shutdown().await.unwrap();
        let mut back = Vec::new();
        in_time(far.read_to_end(&mut back)).await.unwrap();
        assert_eq!(back, b"back");
        drop(far);
        assert_eq!(drain(&mut peer).await, (Vec::new(), false));
        drop(outlet);
        let moved = match side {
            Side::Downstream => Relayed { sent: 4, received: 13 },
            Side::Upstream => Relayed { sent: 13, received: 4 },
        };
        assert_eq!(relay.end().await.unwrap(), moved);
    }
}

#[tokio::test]
async fn an_outlet_takes_no_more_than_the_socket_and_the_rest_goes_the_relays_way() {
    let Pushed { mut peer, mut far, outlet, relay } = pushed(Side::Downstream, pending()).await;
    let data = pattern(9, 64 * 1024 * 1024);
    let mut pushed = 0;
    loop {
        let pieces: Vec<IoSlice<'_>> =
            data[pushed..].chunks(16 * 1024).take(3000).map(IoSlice::new).collect();
        match outlet.try_deliver(&pieces) {
            0 => break,
            bytes => pushed += bytes,
        }
    }
    assert!(pushed < data.len(), "nothing holds a writer back");
    assert_eq!(relay.live.received(), pushed as u64);
    let rest = data[pushed..pushed + 3_000_000].to_vec();
    let expected = data[..pushed + rest.len()].to_vec();
    let writing = tokio::spawn(async move {
        far.write_all(&rest).await.unwrap();
        far
    });
    let mut all = vec![0; expected.len()];
    in_time(peer.read_exact(&mut all)).await.unwrap();
    assert!(all == expected, "bytes differ");
    drop(in_time(writing).await.unwrap());
    peer.shutdown().await.unwrap();
    drop(outlet);
    assert_eq!(relay.end().await.unwrap().received, expected.len() as u64);
}

/// The kernel tells a reset once, here to the outlet. Told nobody else, the peer's end would look orderly.
#[tokio::test]
async fn f17_a_reset_that_the_outlet_meets_is_a_reset_for_the_relay() {
    for side in [Side::Downstream, Side::Upstream] {
        let Pushed { peer, far: _far, outlet, relay } = pushed(side, pending()).await;
        // The relay's task must not see the reset before the outlet does, so nothing is awaited from here on.
        let socket = socket2::SockRef::from(&peer);
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(peer);
        while outlet.try_deliver(&[IoSlice::new(b"x")]) > 0 {}
        assert_eq!(outlet.try_deliver(&[IoSlice::new(b"x")]), 0);
        let error = relay.end().await.unwrap_err();
        assert!(matches!(error, RelayError::Failed { side: failed, .. } if failed == side), "{error}");
    }
}

#[tokio::test]
async fn a_cut_relay_resets_although_its_outlet_is_still_held_for_a_moment() {
    let (cut, close) = oneshot::channel();
    let Pushed { mut peer, far, outlet, relay } =
        pushed(Side::Downstream, async move { close.await.unwrap() }).await;
    assert_eq!(outlet.try_deliver(&[IoSlice::new(b"x")]), 1);
    in_time(peer.read_exact(&mut [0])).await.unwrap();
    cut.send(CloseReason::Revoked).unwrap();
    let error = relay.end().await.unwrap_err();
    assert_eq!(error.relayed(), Relayed { sent: 0, received: 1 });
    drop(outlet);
    assert_reset(&mut peer).await;
    drop(far);
}
