//! The one relay of the project: bytes both ways between two streams until both are finished, one fails, or this
//! proxy cuts them.
//!
//! What passes through unchanged: the end of each direction on its own (FIN, half-close), a reset (RST), and
//! back-pressure (a side that does not read stops the other side's writer, for as long as it likes, and loses nothing).
//! A relay that is dropped halfway resets both sides: a FIN would claim that the stream was complete.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::socket::Tap;

mod abort;
mod ahead;
mod buffers;
mod counters;
mod direction;
mod error;
mod outlet;
mod pipes;

pub use abort::Abort;
pub use ahead::Ahead;
pub use counters::{ByteCounters, Counters};
pub use error::{CloseReason, Direction, FailureKind, RelayError, Side};
pub use outlet::{Outlet, SharedCounters};

use direction::{At, Fault, OneWay};
use outlet::Delivery;

/// How long a reset waits for bytes that were already accepted for the other side to leave this machine.
const LINGER: Duration = Duration::from_secs(5);
/// How often it looks.
const LINGER_STEP: Duration = Duration::from_millis(5);

/// What one relay may take of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest read in bytes. Reads start at 16 KiB and grow to 64 and 256 KiB while the source fills them.
    pub largest_read: usize,
    /// Bytes that each direction may move before other connections get their turn.
    pub turn: usize,
    /// Let the kernel move the bytes between two sockets once a direction fills reads of 64 KiB. Needs a
    /// `largest_read` of 256 KiB.
    pub splice: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { largest_read: 256 * 1024, turn: 512 * 1024, splice: true }
    }
}

/// A relay that both sides finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relayed {
    /// Bytes from downstream that upstream accepted.
    pub sent: u64,
    /// Bytes from upstream that downstream accepted.
    pub received: u64,
}

/// Relays until both directions have ended. Idle, it owns no buffer.
///
/// `counters` sees every byte as the receiving side accepts it. When `close` resolves, both sides are reset at once.
/// A side that fails takes the other with it by a reset, after what it had sent before has been passed on.
///
/// # Errors
/// One side failed ([`RelayError::Failed`]) or `close` resolved ([`RelayError::Closed`]); both say how much had passed.
pub async fn relay<D, U, N, C>(
    downstream: D,
    upstream: U,
    counters: &N,
    limits: Limits,
    close: C,
) -> Result<Relayed, RelayError>
where
    D: AsyncRead + AsyncWrite + Abort + Unpin,
    U: AsyncRead + AsyncWrite + Abort + Unpin,
    N: Counters + ?Sized,
    C: Future<Output = CloseReason>,
{
    let mut pair = Pair::new(downstream, upstream, limits);
    pair.open_outlets(counters);
    let mut close = pin!(close);
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(reason) = close.as_mut().poll(cx) {
            return Poll::Ready(Outcome::Cut(reason));
        }
        pair.poll(cx, counters)
    })
    .await;
    let Relayed { sent, received } = pair.moved();
    match outcome {
        Outcome::Finished => {
            pair.finished = true;
            Ok(Relayed { sent, received })
        }
        Outcome::Cut(reason) => Err(RelayError::Closed { reason, sent, received }),
        Outcome::Failed { side, direction, source } => {
            // The rare path: boxed, so that every healthy relay stays small.
            if pair.unsent(side.other()) {
                Box::pin(linger(&pair, side.other(), close)).await;
            }
            let kind = FailureKind::of(&source);
            Err(RelayError::Failed { side, direction, kind, source, sent, received })
        }
    }
}

/// Waits until the side's accepted bytes have left, the time is up or the relay is cut: a reset discards what is queued.
async fn linger<D: Abort, U: Abort>(
    pair: &Pair<D, U>,
    side: Side,
    close: std::pin::Pin<&mut impl Future<Output = CloseReason>>,
) {
    let sent = async {
        while pair.unsent(side) {
            tokio::time::sleep(LINGER_STEP).await;
        }
    };
    tokio::select! {
        biased;
        _ = close => {}
        () = sent => {}
        () = tokio::time::sleep(LINGER) => {}
    }
}

enum Outcome {
    Finished,
    Failed { side: Side, direction: Direction, source: io::Error },
    Cut(CloseReason),
}

/// The two streams and the two ways between them. Dropped before both ways are done, it resets both.
struct Pair<D: Abort, U: Abort> {
    downstream: D,
    upstream: U,
    send: OneWay,
    receive: OneWay,
    /// What goes past the two ways.
    pushed_up: Option<Arc<Delivery>>,
    pushed_down: Option<Arc<Delivery>>,
    /// A side stopped taking bytes while what it has sent is still being read; it fails the relay after that.
    broken: Option<(Side, io::Error)>,
    finished: bool,
}

impl<D: Abort, U: Abort> Pair<D, U> {
    fn new(downstream: D, upstream: U, limits: Limits) -> Self {
        let way = || OneWay::new(limits);
        Self {
            downstream,
            upstream,
            send: way(),
            receive: way(),
            pushed_up: None,
            pushed_down: None,
            broken: None,
            finished: false,
        }
    }

    /// Lets a tunnel on one side push what it receives into the socket on the other.
    fn open_outlets<N: Counters + ?Sized>(&mut self, counters: &N) {
        if self.downstream.pushes() {
            self.pushed_up = delivery(self.upstream.tap(), Direction::Send, counters);
            if let Some(outlet) = &self.pushed_up {
                self.downstream.push_into(outlet.clone());
            }
        }
        if self.upstream.pushes() {
            self.pushed_down = delivery(self.downstream.tap(), Direction::Receive, counters);
            if let Some(outlet) = &self.pushed_down {
                self.upstream.push_into(outlet.clone());
            }
        }
    }

    fn moved(&self) -> Relayed {
        let pushed = |outlet: &Option<Arc<Delivery>>| outlet.as_ref().map_or(0, |outlet| outlet.delivered());
        Relayed {
            sent: self.send.moved() + pushed(&self.pushed_up),
            received: self.receive.moved() + pushed(&self.pushed_down),
        }
    }

    fn unsent(&self, side: Side) -> bool {
        match side {
            Side::Downstream => self.downstream.unsent(),
            Side::Upstream => self.upstream.unsent(),
        }
    }

    fn way(&self, direction: Direction) -> &OneWay {
        match direction {
            Direction::Send => &self.send,
            Direction::Receive => &self.receive,
        }
    }
}

fn delivery<N: Counters + ?Sized>(
    tap: Option<Tap>,
    direction: Direction,
    counters: &N,
) -> Option<Arc<Delivery>> {
    Some(Arc::new(Delivery::new(tap?, direction, counters.shared()?)))
}

impl<D, U> Pair<D, U>
where
    D: AsyncRead + AsyncWrite + Abort + Unpin,
    U: AsyncRead + AsyncWrite + Abort + Unpin,
{
    fn poll<N: Counters + ?Sized>(&mut self, cx: &mut Context<'_>, counters: &N) -> Poll<Outcome> {
        for direction in [Direction::Send, Direction::Receive] {
            if let Poll::Ready(outcome) = self.poll_way(cx, counters, direction) {
                return Poll::Ready(outcome);
            }
        }
        if self.send.done() && self.receive.done() { Poll::Ready(Outcome::Finished) } else { Poll::Pending }
    }

    fn poll_way<N: Counters + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        counters: &N,
        direction: Direction,
    ) -> Poll<Outcome> {
        if self.broken.as_ref().is_some_and(|(side, _)| *side == direction.to()) {
            return Poll::Pending;
        }
        // After a break the last bytes are passed on, but no FIN: a reset follows.
        let last = self.broken.is_some();
        let moved = match direction {
            Direction::Send => {
                let count = |bytes| counters.sent(bytes);
                self.send.poll(cx, &mut self.downstream, &mut self.upstream, count, last)
            }
            Direction::Receive => {
                let count = |bytes| counters.received(bytes);
                self.receive.poll(cx, &mut self.upstream, &mut self.downstream, count, last)
            }
        };
        match (moved, self.broken.take()) {
            // Whatever ends the reading of a broken side, the break is what there is to report.
            (Poll::Ready(_), Some((side, source))) => {
                Poll::Ready(Outcome::Failed { side, direction: direction.other(), source })
            }
            (Poll::Pending, broken) => {
                self.broken = broken;
                Poll::Pending
            }
            (Poll::Ready(Ok(())), None) => Poll::Pending,
            (Poll::Ready(Err(Fault { at, source })), None) => self.fault(cx, counters, direction, at, source),
        }
    }

    fn fault<N: Counters + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        counters: &N,
        direction: Direction,
        at: At,
        source: io::Error,
    ) -> Poll<Outcome> {
        match at {
            At::Reader => Poll::Ready(Outcome::Failed { side: direction.from(), direction, source }),
            At::Writer if self.way(direction.other()).done() => {
                Poll::Ready(Outcome::Failed { side: direction.to(), direction, source })
            }
            // An answer may be waiting behind the reset (a server that refuses an upload answers, then closes).
            At::Writer => {
                self.broken = Some((direction.to(), source));
                self.poll_way(cx, counters, direction.other())
            }
        }
    }
}

impl<D: Abort, U: Abort> Drop for Pair<D, U> {
    fn drop(&mut self) {
        if !self.finished {
            self.downstream.abort();
            self.upstream.abort();
        }
    }
}
