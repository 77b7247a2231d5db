//! HTTP keep-alive connections under load: each sends its next request when the last is answered (closed loop), or at the
//! moments of a fixed rate (open loop).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::connect::{PATIENCE, connect};
use super::message;
use super::pattern::mix;
use super::shared::Shared;

/// The timer's token.
const TIMER: u64 = u64::MAX;
/// How often a loop looks whether it is told to stop and whether an answer is overdue, in milliseconds.
const LOOK: u8 = 20;

/// What one thread is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Where to.
    pub(super) to: SocketAddr,
    /// Which thread.
    pub(super) thread: usize,
    /// Its connections.
    pub(super) connections: usize,
    /// Time between two requests of one connection; `None` is a closed loop.
    pub(super) interval: Option<Duration>,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// The request in flight, and when it was sent.
    flight: Option<(u64, Instant)>,
    answered: u64,
    /// When the next one is to begin, or the one in flight was to; in an open loop.
    due: Instant,
}

struct Loop<'a> {
    share: Share,
    shared: &'a Shared,
    epoll: Epoll,
    timer: TimerFd,
    connections: Vec<Connection>,
    waiting: BinaryHeap<Reverse<(Instant, usize)>>,
    in_flight: usize,
    unanswered: usize,
    drained: bool,
    output: Vec<u8>,
}

/// Runs until told to stop and everything in flight is answered.
pub(super) fn run(share: Share, shared: &Shared) -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
    epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
    let mut connections = Vec::with_capacity(share.connections);
    for index in 0..share.connections {
        let stream = connect(share.to).with_context(|| format!("connection {index}"))?;
        stream.set_nonblocking(true)?;
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        let now = Instant::now();
        connections.push(Connection {
            stream,
            input: Vec::with_capacity(1024),
            flight: None,
            answered: 0,
            due: now,
        });
    }
    let mut this = Loop {
        share,
        shared,
        epoll,
        timer,
        unanswered: connections.len(),
        connections,
        waiting: BinaryHeap::new(),
        in_flight: 0,
        drained: false,
        output: Vec::with_capacity(256),
    };
    this.run()
}

impl Loop<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        for index in 0..self.connections.len() {
            self.connections[index].due = start;
            self.send(index, start)?;
        }
        let (mut events, mut buffer) = ([EpollEvent::empty(); 128], [0; 4096]);
        let mut looked = start;
        while !(self.shared.stopped() && self.in_flight == 0) {
            let count = match self.epoll.wait(&mut events, LOOK) {
                Err(nix::Error::EINTR) => 0,
                other => other?,
            };
            for event in events.iter().take(count) {
                match event.data() {
                    TIMER => drop(self.timer.wait()),
                    index => self.receive(index as usize, &mut buffer)?,
                }
            }
            let now = Instant::now();
            if self.share.interval.is_some() {
                self.send_due(now)?;
            }
            if now - looked > PATIENCE / 10 {
                looked = now;
                self.look(now)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, index: usize, now: Instant) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let id = mix(((self.share.thread as u64) << 56) ^ ((index as u64) << 36) ^ connection.answered);
        message::write_request(id, &mut self.output);
        // The connection is idle: a request always fits its buffer.
        let written =
            connection.stream.write(&self.output).with_context(|| format!("connection {index}: send"))?;
        ensure!(
            written == self.output.len(),
            "connection {index}: a request did not fit the socket's buffer"
        );
        connection.flight = Some((id, now));
        self.in_flight += 1;
        Ok(())
    }

    fn receive(&mut self, index: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let Some((id, sent)) = connection.flight else {
            anyhow::bail!("connection {index} was closed, or more came than was asked for");
        };
        match connection.stream.read(buffer) {
            Ok(0) => anyhow::bail!("connection {index} was closed before the answer"),
            Ok(count) => connection.input.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("connection {index}: receive")),
        }
        if !message::check_answer(id, &connection.input).with_context(|| format!("connection {index}"))? {
            return Ok(());
        }
        connection.input.clear();
        connection.flight = None;
        connection.answered += 1;
        self.in_flight -= 1;
        let now = Instant::now();
        let first = connection.answered == 1;
        let (due, recorder) = (connection.due, &self.shared.recorders[self.share.thread]);
        match self.share.interval {
            None => recorder.record(now, now - sent),
            Some(_) => recorder.record(due, now - due),
        }
        if first {
            self.unanswered -= 1;
            if self.unanswered == 0 {
                self.shared.ready.fetch_add(1, Ordering::SeqCst);
            }
        }
        match self.share.interval {
            None if self.shared.stopped() => Ok(()),
            None => self.send(index, now),
            Some(interval) => {
                // The first request only opens the connection; the rate begins after it, spread over the connections.
                let all = self.connections.len() as u32;
                let next =
                    if first { now + interval + interval * index as u32 / all } else { due + interval };
                self.connections[index].due = next;
                self.waiting.push(Reverse((next, index)));
                Ok(())
            }
        }
    }

    /// Sends what is due, and sets the timer for what comes next.
    fn send_due(&mut self, now: Instant) -> anyhow::Result<()> {
        let ended = self.shared.ended();
        while let Some(&Reverse((due, index))) = self.waiting.peek() {
            if self.shared.stopped() || ended.is_some_and(|ended| due >= ended) {
                if self.in_flight == 0 && ended.is_some() && !self.drained {
                    self.drained = true;
                    self.shared.drained.fetch_add(1, Ordering::SeqCst);
                }
                return Ok(());
            }
            if due > now {
                let left = TimeSpec::from_duration(due - now);
                self.timer.set(Expiration::OneShot(left), TimerSetTimeFlags::empty())?;
                return Ok(());
            }
            self.waiting.pop();
            self.send(index, now)?;
        }
        Ok(())
    }

    fn look(&self, now: Instant) -> anyhow::Result<()> {
        for (index, connection) in self.connections.iter().enumerate() {
            let overdue = connection.flight.is_some_and(|(_, sent)| now - sent > PATIENCE);
            ensure!(!overdue, "connection {index}: no answer within {PATIENCE:?}");
        }
        Ok(())
    }
}
