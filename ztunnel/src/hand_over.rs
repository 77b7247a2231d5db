//! The hand-over: an outbound connection to a pod of the same node, given to it inside this process. Both ends check and
//! report as at the ends of a tunnel; only the bytes go straight from one to the other.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_hbone::{Authority, OpenError};
use ambit_model::{Identity, Text};
use ambit_telemetry::report::{ConnectionReport, Failure};
use ambit_transport::{CloseReason, Counters, Watch, relay};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::arrival::{Admitted, Arrival, Turned};
use crate::connections::{Carried, Seen, Way};
use crate::network::{Ends, Network, Stream};
use crate::outcome::{Cut, of_hand_over, of_open};
use crate::pod::Pod;
use crate::proxy::Proxy;
use crate::same_node::Neighbour;

/// The source's end of a hand-over.
#[derive(Debug)]
pub struct Departure<'a, N: Network> {
    /// The worker.
    pub proxy: &'a Proxy<N>,
    /// The source pod.
    pub pod: &'a Arc<Pod>,
    /// Who it is.
    pub identity: &'a Identity,
    /// Its drain.
    pub drain: &'a Watch,
    /// The captured connection's ends.
    pub ends: Ends,
    /// Where its tunnel would end.
    pub gateway: SocketAddr,
    /// What it would ask for.
    pub authority: Authority,
    /// The service that was asked for.
    pub asked: Option<Text>,
}

/// Carries a connection to its neighbour, and reports the destination's end; `report` is the source's.
pub async fn hand_over<N: Network, S: Stream>(
    departure: Departure<'_, N>,
    client: &mut S,
    neighbour: Neighbour,
    report: &ConnectionReport,
) -> Result<(), Failure> {
    let Departure { proxy, pod, identity, drain, ends, gateway, authority, asked } = departure;
    let arrival = Arrival {
        proxy,
        pod: &neighbour.pod,
        own: &neighbour.own,
        ends: Ends { peer: neighbour.peer, destination: gateway },
        identity,
        authority,
        asked,
        carried: Carried::HandOver,
    };
    let mut theirs = arrival.report();
    theirs.same_node();
    // Listed first: an address that goes away meanwhile closes it too.
    let mut course = proxy.courses.enter(pod, gateway.ip());
    let mut cut = None;
    let gone = async { cut = Some(cut_short(proxy, (pod, drain), &neighbour, &mut course).await.0) };
    let admitted = arrival.admit(gone, &mut theirs).await;
    let Admitted { application, mut place, line: _their_line, .. } = match admitted {
        Ok(admitted) => admitted,
        Err(turned) => return not_admitted(turned, cut, theirs),
    };
    let way = Way::Outbound(ends.destination);
    let seen = Seen { way, source: ends.peer, actual: gateway, carried: Carried::HandOver };
    let _line = proxy.connections.list(pod, seen);
    let mut cut = None;
    let close = async {
        let (by, reason) = tokio::select! {
            reason = place.closed() => (Cut::ByDestination, reason),
            short = cut_short(proxy, (pod, drain), &neighbour, &mut course) => short,
        };
        cut = Some(by);
        reason
    };
    let both = Both { source: report, destination: &theirs };
    let ended = relay(client, application, &both, proxy.limits(), close).await;
    let (ours, others) = of_hand_over(ended, cut);
    theirs.finish(others);
    ours
}

/// Resolves when either pod leaves, or the controller says that the destination's is gone: who ended it, and why.
async fn cut_short<N: Network>(
    proxy: &Proxy<N>,
    (source, drain): (&Pod, &Watch),
    neighbour: &Neighbour,
    course: &mut Course,
) -> (Cut, CloseReason) {
    tokio::select! {
        reason = proxy.cut(source, drain) => match neighbour.drain.mode() {
            // The process leaves, and so do both.
            Some(ambit_transport::Mode::Immediate) => (Cut::ByBoth, reason),
            _ => (Cut::BySource, reason),
        },
        reason = proxy.cut(&neighbour.pod, &neighbour.drain) => match drain.mode() {
            Some(ambit_transport::Mode::Immediate) => (Cut::ByBoth, reason),
            _ => (Cut::ByDestination, reason),
        },
        () = course.closed() => (Cut::Between, CloseReason::PodRemoved),
    }
}

/// Both ends' failures of a connection that did not get in.
fn not_admitted(turned: Turned, cut: Option<Cut>, theirs: ConnectionReport) -> Result<(), Failure> {
    let (ours, others) = match (turned, cut) {
        (Turned::Away(status, details, failure), _) => (OpenError::refused(status, &details), failure),
        (Turned::GaveUp, Some(Cut::ByDestination)) => {
            (OpenError::Lost("the destination left".into()), Failure::drained())
        }
        (Turned::GaveUp, _) => (OpenError::Closed, Turned::gave_up()),
    };
    theirs.finish(Err(others));
    Err(of_open(ours))
}

/// Counts for both ends.
#[derive(Debug)]
struct Both<'a> {
    source: &'a ConnectionReport,
    destination: &'a ConnectionReport,
}

impl Counters for Both<'_> {
    fn sent(&self, bytes: u64) {
        self.source.request_bytes(bytes);
        self.destination.request_bytes(bytes);
    }

    fn received(&self, bytes: u64) {
        self.source.response_bytes(bytes);
        self.destination.response_bytes(bytes);
    }
}

/// The hand-overs of a worker by source pod and destination address, as tunnels are known in the pool: so that they can
/// be closed with them.
#[derive(Debug, Clone, Default)]
pub struct Courses {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    courses: HashMap<u64, (Text, IpAddr, oneshot::Sender<()>)>,
}

/// A hand-over's place among them; dropping it takes it out.
#[derive(Debug)]
pub struct Course {
    courses: Courses,
    number: u64,
    closed: oneshot::Receiver<()>,
}

impl Courses {
    /// Enters a hand-over.
    pub fn enter(&self, source: &Pod, destination: IpAddr) -> Course {
        let (close, closed) = oneshot::channel();
        let mut open = self.open.lock();
        let number = open.next;
        open.next += 1;
        open.courses.insert(number, (source.instance.clone(), destination, close));
        Course { courses: self.clone(), number, closed }
    }

    /// Closes those whose source instance and destination `matches`.
    pub fn close(&self, matches: impl Fn(&Text, IpAddr) -> bool) {
        let mut open = self.open.lock();
        let closed = open.courses.extract_if(|_, (source, destination, _)| matches(source, *destination));
        for (_, (_, _, close)) in closed {
            // A receiver that is gone has ended by itself.
            let _ = close.send(());
        }
    }
}

impl Course {
    /// Resolves when the hand-over must be closed.
    async fn closed(&mut self) {
        if (&mut self.closed).await.is_err() {
            // The sender is only ever dropped with a word or with this course.
            std::future::pending().await
        }
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        self.courses.open.lock().courses.remove(&self.number);
    }
}
