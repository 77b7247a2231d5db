//! The driver's turn: read what there is, tell the streams, send what has gathered.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::fields::Message;
use super::super::frame::Code;
use super::super::local::Local;
use super::super::machine::{Event, Role};
use super::deliver::{Delivered, Run};
use super::{Core, Failure, Inner, Line, Locals, Phase, wake_all};
use crate::activity::Activity;
use crate::carrier::Received;

/// Bytes read in a turn before other tasks of the worker get theirs.
const TURN: usize = 1024 * 1024;
/// How long a peer may take to read the end of a connection that is closed.
const PARTING: Duration = Duration::from_secs(5);

impl<C: Line + ?Sized> Core<C> {
    /// Moves everything along. Ready when the connection is over.
    pub(in crate::engine) fn turn(&self, cx: &mut Context<'_>) -> Poll<Failure> {
        let mut wakers = Vec::new();
        let mut inner = self.inner.lock();
        let over = inner.turn(cx, &self.activity, &mut wakers);
        drop(inner);
        wake_all(wakers);
        if over.is_ready() {
            self.activity.retire();
        }
        over
    }
}

impl<C: Line + ?Sized> Inner<C> {
    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        activity: &Arc<Activity>,
        wakers: &mut Vec<Waker>,
    ) -> Poll<Failure> {
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            None => self.driver = Some(cx.waker().clone()),
        }
        self.woken = false;
        loop {
            let overdue = self.machine.overdue();
            if self.phase == Phase::Open && !overdue {
                if let Err(failure) = self.read(cx, activity, wakers) {
                    self.end(failure, wakers);
                }
                if self.phase == Phase::Open && self.is_done() {
                    // A server that is done has said so, or was left.
                    if self.role == Role::Client {
                        self.machine.farewell(Code::NO_ERROR);
                    }
                    self.end(Failure::Ended, wakers);
                }
            }
            if self.phase == Phase::Parting {
                if self.poll_parted(cx).is_pending() {
                    return Poll::Pending;
                }
                self.phase = Phase::Closed;
            }
            if self.phase == Phase::Closed {
                return Poll::Ready(self.failure.clone().unwrap_or(Failure::Ended));
            }
            if self.machine.measures() {
                self.machine.measure(Instant::now().into_std());
            }
            match self.flush(cx) {
                Poll::Ready(Err(error)) => {
                    self.phase = Phase::Closed;
                    wakers.extend(self.fail(Failure::Io(Arc::new(error))));
                    continue;
                }
                Poll::Ready(Ok(())) if self.phase == Phase::Closing => {
                    if let Poll::Ready(closed) = self.carrier.poll_close(cx) {
                        let orderly = closed.is_ok() && matches!(self.failure, Some(Failure::Ended));
                        self.phase = if orderly { Phase::Parting } else { Phase::Closed };
                        continue;
                    }
                }
                Poll::Ready(Ok(())) if overdue => continue,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            self.admit(wakers);
            return Poll::Pending;
        }
    }

    /// Ready when the peer has ended, too, or has had its time. A word of it that met a closed socket would reset the
    /// connection, and discard what is still on its way to it.
    fn poll_parted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.parting.get_or_insert_with(|| Box::pin(sleep(PARTING)));
        if time.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut read = 0;
        while read < TURN {
            match self.carrier.poll_receive(cx, &mut |_| {}) {
                Poll::Ready(Ok(Received::Bytes(bytes))) => read += bytes.max(1),
                Poll::Ready(Ok(Received::End) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The connection goes no further than to say why.
    fn end(&mut self, failure: Failure, wakers: &mut Vec<Waker>) {
        self.phase = if matches!(failure, Failure::Io(_)) { Phase::Closed } else { Phase::Closing };
        wakers.extend(self.fail(failure));
    }

    /// Both sides have said and heard everything.
    fn is_done(&self) -> bool {
        match self.role {
            Role::Client => (!self.held || self.machine.left_by_peer()) && self.machine.is_empty(),
            Role::Server => {
                self.machine.drained() || (self.machine.left_by_peer() && self.machine.is_empty())
            }
        }
    }

    fn read(
        &mut self,
        cx: &mut Context<'_>,
        activity: &Arc<Activity>,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Failure> {
        let now = Instant::now();
        self.machine.at(now.into_std());
        let mut read = 0;
        while !self.machine.overdue() {
            if read >= TURN {
                self.woken = true;
                cx.waker().wake_by_ref();
                break;
            }
            match self.receive(cx, activity, wakers)? {
                Poll::Ready(Received::Bytes(bytes)) => {
                    read += bytes;
                    (self.heard, self.asked) = (now, None);
                }
                Poll::Ready(Received::End) => {
                    self.output.unheard();
                    // What is still to be said goes as far as it goes at once: nobody waits for it.
                    if self.flush(cx).is_ready() {
                        let _ = self.carrier.poll_close(cx);
                    }
                    let failure = self.ended_by_peer();
                    self.phase = Phase::Closed;
                    wakers.extend(self.fail(failure));
                    break;
                }
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    fn ended_by_peer(&self) -> Failure {
        match self.dismissed {
            Some(code) if code != Code::NO_ERROR => Failure::Dismissed(code),
            _ => Failure::Ended,
        }
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        activity: &Arc<Activity>,
        wakers: &mut Vec<Waker>,
    ) -> Result<Poll<Received>, Failure> {
        let Self { machine, locals, requests, waiting, dismissed, carrier, .. } = self;
        let mut fault = None;
        let received = carrier.poll_receive(cx, &mut |pieces| {
            if fault.is_some() {
                return;
            }
            let (mut run, mut delivered) = (Run::default(), Delivered::default());
            fault = machine
                .receive(pieces, &mut |event| {
                    if let Event::Data { stream, bytes } = event {
                        return run.push(stream, bytes, locals, &mut delivered, wakers);
                    }
                    // Behind the bytes that came before it.
                    run.finish(locals, &mut delivered, wakers);
                    tell(event, locals, requests, waiting, dismissed, activity, wakers);
                })
                .err();
            run.finish(locals, &mut delivered, wakers);
            machine.discard(delivered.lost);
            for (stream, bytes) in delivered.consumed {
                machine.consumed(stream, bytes);
            }
        });
        if let Some(fault) = fault {
            return Err(Failure::Fault(fault));
        }
        match received {
            Poll::Ready(Ok(received)) => {
                if let Received::Bytes(bytes) = received {
                    activity.count_received(bytes);
                }
                Ok(Poll::Ready(received))
            }
            Poll::Ready(Err(error)) => Err(Failure::Io(Arc::new(error))),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Lets writers go on once half of what may wait has left.
    fn admit(&mut self, wakers: &mut Vec<Waker>) {
        if self.waiting.is_empty() || self.backlog() > self.high / 2 {
            return;
        }
        admit(&mut self.waiting, &mut self.locals, wakers);
    }
}

/// Brings anything but bytes to whom it concerns.
fn tell(
    event: Event<'_>,
    locals: &mut Locals,
    requests: &mut VecDeque<(u32, Message)>,
    waiting: &mut Vec<u32>,
    dismissed: &mut Option<Code>,
    activity: &Activity,
    wakers: &mut Vec<Waker>,
) {
    match event {
        Event::Data { .. } => {}
        Event::Request { stream, message } => {
            locals.entry(stream).or_default();
            requests.push_back((stream, message));
        }
        Event::Answer { stream, message } => {
            if let Some(local) = locals.get_mut(&stream) {
                local.answer = Some(Box::new(message));
                wakers.extend(local.reader());
            }
        }
        Event::End { stream } => {
            if let Some(local) = locals.get_mut(&stream) {
                local.ended = true;
                wakers.extend(local.reader());
            }
        }
        Event::Reset { stream, code, by } => {
            if let Some(local) = locals.get_mut(&stream) {
                local.reset = Some((code, by));
                wakers.extend(local.reader());
                wakers.extend(local.writer());
            }
        }
        Event::Room { stream: Some(stream) } => {
            wakers.extend(locals.get_mut(&stream).and_then(Local::writer));
        }
        Event::Room { stream: None } => admit(waiting, locals, wakers),
        Event::Wider => wakers.extend(locals.values_mut().filter_map(Local::writer)),
        Event::GoAway { code } => {
            *dismissed = Some(code);
            activity.retire();
        }
        Event::Settled => activity.settle(),
    }
}

/// Lets all go on that wait for room in the connection.
fn admit(waiting: &mut Vec<u32>, locals: &mut Locals, wakers: &mut Vec<Waker>) {
    for stream in waiting.drain(..) {
        if let Some(local) = locals.get_mut(&stream) {
            local.queued = false;
            wakers.extend(local.writer());
        }
    }
}
