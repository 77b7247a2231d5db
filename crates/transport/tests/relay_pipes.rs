//! The relay over in-memory pipes: ends, back-pressure, counts, cuts, and any order of all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::{pending, ready};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

use ambit_transport::relay::{
    Abort, ByteCounters, CloseReason, Direction, FailureKind, Limits, RelayError, Relayed, Side, relay,
};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpStream;

/// A pipe that remembers whether it was reset, and can fail its next read.
struct Pipe {
    inner: DuplexStream,
    aborted: Arc<AtomicBool>,
    failing: Option<io::ErrorKind>,
}

impl Pipe {
    fn new(inner: DuplexStream) -> (Self, Arc<AtomicBool>) {
        let aborted = Arc::new(AtomicBool::new(false));
        (Self { inner, aborted: Arc::clone(&aborted), failing: None }, aborted)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(kind) = self.failing {
            return Poll::Ready(Err(kind.into()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Abort for Pipe {
    fn abort(&mut self) {
        self.aborted.store(true, Ordering::SeqCst);
    }
}

fn limits() -> Limits {
    Limits::default()
}

#[tokio::test]
async fn f16_half_close_from_downstream_keeps_the_answer() {
    let (mut client, downstream) = duplex(64);
    let (upstream, mut server) = duplex(64);
    let relayed =
        tokio::spawn(async move { relay(downstream, upstream, &(), limits(), pending()).await.unwrap() });

    client.write_all(b"request").await.unwrap();
    client.shutdown().await.unwrap();
    let mut request = Vec::new();
    server.read_to_end(&mut request).await.unwrap();
    assert_eq!(request, b"request");

    // The client has finished; the server answers for as long as it likes.
    for _ in 0..100 {
        server.write_all(&[7; 100]).await.unwrap();
        let mut answer = [0; 100];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [7; 100]);
    }
    server.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(relayed.await.unwrap(), Relayed { sent: 7, received: 10_000 });
}

#[tokio::test]
async fn f16_half_close_from_upstream_keeps_the_upload() {
    let (mut client, downstream) = duplex(64);
    let (upstream, mut server) = duplex(64);
    let relayed =
        tokio::spawn(async move { relay(downstream, upstream, &(), limits(), pending()).await.unwrap() });

    server.write_all(b"banner").await.unwrap();
    server.shutdown().await.unwrap();
    let mut banner = Vec::new();
    client.read_to_end(&mut banner).await.unwrap();
    assert_eq!(banner, b"banner");

    client.write_all(b"late").await.unwrap();
    client.shutdown().await.unwrap();
    let mut late = Vec::new();
    server.read_to_end(&mut late).await.unwrap();
    assert_eq!(late, b"late");
    assert_eq!(relayed.await.unwrap(), Relayed { sent: 4, received: 6 });
}

#[tokio::test]
async fn f18_a_stalled_reader_stops_the_writer_and_loses_nothing() {
    const PIPE: usize = 4096;
    let (mut client, downstream) = duplex(PIPE);
    let (upstream, mut server) = duplex(PIPE);
    let counters = Arc::new(ByteCounters::default());
    let live = Arc::clone(&counters);
    let relayed =
        tokio::spawn(async move { relay(downstream, upstream, &live, limits(), pending()).await.unwrap() });

    // Nobody reads on the server's side: writing stops after the two pipes and one read of the relay are full.
    let mut written = 0_usize;
    let mut idle = 0;
    while idle < 10 {
        let write = client.write(&[1; 512]);
        tokio::select! {
            biased;
            bytes = write => { written += bytes.unwrap(); idle = 0; }
            () = tokio::task::yield_now() => idle += 1,
        }
        tokio::task::yield_now().await;
        assert!(written <= 2 * PIPE + 16 * 1024, "back-pressure does not reach the writer");
    }
    assert_eq!(counters.sent(), PIPE as u64, "a byte counts when upstream has accepted it");

    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        all.len()
    });
    client.shutdown().await.unwrap();
    drop(client);
    assert_eq!(reader.await.unwrap(), written);
    assert_eq!(relayed.await.unwrap().sent, written as u64);
    assert_eq!(counters.sent(), written as u64);
}

#[tokio::test]
async fn a_cut_resets_both_sides_and_says_why() {
    let (mut client, downstream) = duplex(64);
    let (upstream, _server) = duplex(64);
    let (downstream, down) = Pipe::new(downstream);
    let (upstream, up) = Pipe::new(upstream);
    let (cut, close) = tokio::sync::oneshot::channel();
    let close = async move { close.await.unwrap() };
    let relayed = tokio::spawn(async move { relay(downstream, upstream, &(), limits(), close).await });

    client.write_all(b"abc").await.unwrap();
    tokio::task::yield_now().await;
    assert!(!down.load(Ordering::SeqCst));
    cut.send(CloseReason::Policy("shop/deny-all".to_owned())).unwrap();
    let error = relayed.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, RelayError::Closed { reason: CloseReason::Policy(name), .. } if name == "shop/deny-all")
    );
    assert_eq!(error.relayed(), Relayed { sent: 3, received: 0 });
    assert_eq!(error.to_string(), "closed: no longer allowed by policy (shop/deny-all)");
    assert!(down.load(Ordering::SeqCst) && up.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_cut_before_the_first_byte_moves_nothing() {
    let (mut client, downstream) = duplex(64);
    let (upstream, mut server) = duplex(64);
    client.write_all(b"abc").await.unwrap();
    let error = relay(downstream, upstream, &(), limits(), ready(CloseReason::Drain)).await.unwrap_err();
    assert_eq!(error.relayed(), Relayed::default());
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn f17_a_reset_of_one_side_resets_the_other() {
    for side in [Side::Downstream, Side::Upstream] {
        let (_client, downstream) = duplex(64);
        let (upstream, _server) = duplex(64);
        let (mut downstream, down) = Pipe::new(downstream);
        let (mut upstream, up) = Pipe::new(upstream);
        match side {
            Side::Downstream => downstream.failing = Some(io::ErrorKind::ConnectionReset),
            Side::Upstream => upstream.failing = Some(io::ErrorKind::ConnectionReset),
        }
        let error = relay(downstream, upstream, &(), limits(), pending()).await.unwrap_err();
        let RelayError::Failed { side: failed, direction, kind, .. } = error else { panic!("{error}") };
        assert_eq!((failed, direction.from(), kind), (side, side, FailureKind::Reset));
        assert!(down.load(Ordering::SeqCst) && up.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_truncated_stream_is_no_orderly_end() {
    let (_client, downstream) = duplex(64);
    let (upstream, _server) = duplex(64);
    let (mut downstream, _) = Pipe::new(downstream);
    downstream.failing = Some(io::ErrorKind::UnexpectedEof);
    let (upstream, up) = Pipe::new(upstream);
    let error = relay(downstream, upstream, &(), limits(), pending()).await.unwrap_err();
    assert!(matches!(error, RelayError::Failed { kind: FailureKind::Truncated, .. }), "{error}");
    assert!(up.load(Ordering::SeqCst), "a FIN would claim that the stream was complete");
}

#[tokio::test]
async fn an_answer_behind_a_refused_upload_still_arrives() {
    let (mut client, downstream) = duplex(64);
    let (upstream, mut server) = duplex(64);
    let (downstream, down) = Pipe::new(downstream);
    let relayed = tokio::spawn(async move { relay(downstream, upstream, &(), limits(), pending()).await });
    server.write_all(b"413 too large").await.unwrap();
    drop(server);
    // The upload meets a closed peer, by the pipe at once, by TCP after one more write.
    let upload = client.write_all(&[0; 64]).await;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"413 too large");
    let error = relayed.await.unwrap().unwrap_err();
    let RelayError::Failed { side, direction, kind, .. } = error else { panic!("{error}") };
    assert_eq!((side, direction, kind), (Side::Upstream, Direction::Send, FailureKind::Reset));
    assert!(upload.is_err() || down.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_dropped_relay_resets_both_sides() {
    let (mut client, downstream) = duplex(64);
    let (upstream, mut server) = duplex(64);
    let (downstream, down) = Pipe::new(downstream);
    let (upstream, up) = Pipe::new(upstream);
    let task = tokio::spawn(async move { relay(downstream, upstream, &(), limits(), pending()).await });
    client.write_all(b"x").await.unwrap();
    server.read_exact(&mut [0]).await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(down.load(Ordering::SeqCst) && up.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_orderly_end_resets_nobody() {
    let (client, downstream) = duplex(64);
    let (upstream, server) = duplex(64);
    let (downstream, down) = Pipe::new(downstream);
    let (upstream, up) = Pipe::new(upstream);
    drop((client, server));
    assert_eq!(relay(downstream, upstream, &(), limits(), pending()).await.unwrap(), Relayed::default());
    assert!(!down.load(Ordering::SeqCst) && !up.load(Ordering::SeqCst));
}

#[tokio::test]
async fn many_relays_side_by_side_do_not_mix() {
    let mut running = Vec::new();
    for number in 0..200_u32 {
        let (client, downstream) = duplex(1024);
        let (upstream, mut server) = duplex(1024);
        running.push(tokio::spawn(async move {
            let counters = ByteCounters::default();
            let echo = async move {
                let (mut read, mut write) = tokio::io::split(&mut server);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let talk = async move {
                let sent: Vec<u8> =
                    (0..20_000_u32).map(|i| (i.wrapping_mul(number + 1) >> 3) as u8).collect();
                let (mut read, mut write) = tokio::io::split(client);
                let mut received = Vec::new();
                let writing = async {
                    write.write_all(&sent).await.unwrap();
                    write.shutdown().await.unwrap();
                };
                let (_, outcome) = tokio::join!(writing, read.read_to_end(&mut received));
                outcome.unwrap();
                assert_eq!(sent, received);
            };
            let (relayed, (), ()) =
                tokio::join!(relay(downstream, upstream, &counters, limits(), pending()), echo, talk);
            assert_eq!(relayed.unwrap(), Relayed { sent: 20_000, received: 20_000 });
            assert_eq!((counters.sent(), counters.received()), (20_000, 20_000));
        }));
    }
    for task in running {
        task.await.unwrap();
    }
}

#[test]
fn a_busy_relay_leaves_turns_to_others() {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    // Both ends are always ready, so only the relay's own limit makes it yield.
    let (downstream, upstream) = (Endless(Pipe::new(duplex(1).0).0), Endless(Pipe::new(duplex(1).0).0));
    let counters = ByteCounters::default();
    let narrow = Limits { turn: 32 * 1024, ..limits() };
    let mut relayed = pin!(relay(downstream, upstream, &counters, narrow, pending()));
    for turn in 1..=3 {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Arc::clone(&woken).into();
        assert!(relayed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!((counters.sent(), counters.received()), (turn * 32 * 1024, turn * 32 * 1024));
        assert!(woken.0.load(Ordering::SeqCst), "it asks for its next turn");
    }
}

/// Always has bytes and always takes them.
struct Endless(Pipe);

impl AsyncRead for Endless {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buf.put_slice(&[0; 1024]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Abort for Endless {
    fn abort(&mut self) {
        self.0.abort();
    }
}

#[test]
fn the_future_stays_small() {
    fn size<F: Future>(_: impl FnOnce(TcpStream, TcpStream) -> F) -> usize {
        std::mem::size_of::<F>()
    }
    let plain = size(|down, up| async move { relay(down, up, &(), limits(), pending()).await });
    assert!(plain <= 1024, "one relay takes {plain} bytes");
}

/// What one end of a connection does.
#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Read(usize),
    Yield,
    Finish,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..5000_usize).prop_map(Step::Write),
        3 => (1..5000_usize).prop_map(Step::Read),
        2 => Just(Step::Yield),
        1 => Just(Step::Finish),
    ];
    proptest::collection::vec(step, 0..30)
}

/// Plays the steps, then finishes writing and reads to the end. Returns what was written and read.
async fn play(stream: DuplexStream, steps: Vec<Step>, seed: u8) -> (Vec<u8>, Vec<u8>) {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let (reads, writes): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| matches!(step, Step::Read(_)));
    let write = async {
        let mut written = Vec::new();
        for step in writes {
            match step {
                Step::Write(bytes) => {
                    let piece: Vec<u8> =
                        (0..bytes).map(|i| seed.wrapping_add((written.len() + i) as u8)).collect();
                    writing.write_all(&piece).await.unwrap();
                    written.extend(piece);
                }
                Step::Finish => break,
                _ => tokio::task::yield_now().await,
            }
        }
        writing.shutdown().await.unwrap();
        written
    };
    let read = async {
        let mut all = Vec::new();
        for step in reads {
            if let Step::Read(bytes) = step {
                let mut piece = vec![0; bytes];
                let got = reading.read(&mut piece).await.unwrap();
                all.extend_from_slice(&piece[..got]);
                tokio::task::yield_now().await;
            }
        }
        reading.read_to_end(&mut all).await.unwrap();
        all
    };
    tokio::join!(write, read)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_chunks_and_any_order_of_ends_carry_every_byte(
        client_steps in steps(),
        server_steps in steps(),
        pipes in (1..3000_usize, 1..3000_usize),
        turn in 1..10_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (relayed, client, server, counted) = runtime.block_on(async {
            let (client, downstream) = duplex(pipes.0);
            let (upstream, server) = duplex(pipes.1);
            let counters = ByteCounters::default();
            let limits = Limits { turn, ..limits() };
            let (relayed, client, server) = tokio::join!(
                relay(downstream, upstream, &counters, limits, pending()),
                play(client, client_steps, 0),
                play(server, server_steps, 100),
            );
            (relayed.unwrap(), client, server, (counters.sent(), counters.received()))
        });
        prop_assert_eq!(&client.0, &server.1, "what the client wrote is what the server read");
        prop_assert_eq!(&server.0, &client.1, "what the server wrote is what the client read");
        prop_assert_eq!(relayed, Relayed { sent: client.0.len() as u64, received: server.0.len() as u64 });
        prop_assert_eq!(counted, (relayed.sent, relayed.received));
    }
}
