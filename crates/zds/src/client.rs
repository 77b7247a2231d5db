//! The proxy's end: connects to the agent, says hello, and gives out the agent's requests one at a time.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::identity::WorkloadIdentity;
use crate::session::Session;
use crate::socket::{self, Seqpacket};
use crate::wire::{self, MAX_REQUEST, Violation};

/// What the agent asks. Each is to be answered with [`Client::ack`].
#[derive(Debug, PartialEq, Eq)]
pub enum Event<N = OwnedFd> {
    /// Proxy for this pod. The same pod with another namespace (another inode) replaces what was there before; with
    /// the same namespace it is a repetition: done already, or a chance to try again what failed.
    Add {
        /// The pod.
        uid: String,
        /// Which workload it is.
        identity: WorkloadIdentity,
        /// Its network namespace, close-on-exec. That it is one is for the receiver to find out (`setns`).
        netns: N,
    },
    /// The pod lives, but the agent has lost its namespace: go on with what you have. An error is the answer when there
    /// is nothing to go on with.
    Keep {
        /// The pod.
        uid: String,
    },
    /// The pod has gone. Unknown pods are fine, too.
    Remove {
        /// The pod.
        uid: String,
    },
    /// All pods of the node have been named: drop the stale ones, and be ready.
    SnapshotSent {
        /// Pods this client has given out before (and not removed) that the agent did not name in this connection.
        stale: Vec<String>,
    },
}

/// Why there is no connection. Pods stay as they are; the next [`Client::next`] connects again.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Nobody listens, or we may not connect.
    #[error(
        "cannot connect to the node agent at {path}: {source}; check that the agent runs and that both use this path"
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The agent ended, or closed the connection.
    #[error("the node agent at {path} closed the connection; its log says why")]
    Closed {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the connection to the node agent at {path} broke: {source}; it is made again")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The agent broke the protocol; the connection was closed and nothing of the message was used.
    #[error("the node agent at {path} broke the protocol: {violation}")]
    Violation {
        /// The socket.
        path: PathBuf,
        /// How.
        violation: Violation,
    },
}

/// Receives the pods of this node from the agent.
///
/// ```no_run
/// # async fn example(mut client: ambit_zds::client::Client) {
/// loop {
///     match client.next().await {
///         Ok(event) => client.ack(Err(format!("cannot do {event:?} yet"))),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    session: Session,
    backoff: Backoff,
    link: Link,
}

/// The state of the connection.
#[derive(Debug)]
enum Link {
    /// None; connect at this time, or at once.
    Down(Option<Instant>),
    Up(Up),
}

#[derive(Debug)]
struct Up {
    socket: Seqpacket,
    /// The hello or an answer that is still to be sent.
    outgoing: Option<Vec<u8>>,
    /// An event was given out and has no answer yet.
    unanswered: bool,
}

impl Client {
    /// A client of the agent that listens at `path` (Istio `INPOD_UDS`). It connects with the first [`Self::next`].
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            session: Session::default(),
            backoff: Backoff::new(),
            link: Link::Down(None),
        }
    }

    /// The agent's next request; connects first when there is no connection.
    ///
    /// After an error, the next call waits (10 ms, doubling to 15 s, with jitter; from the start after each complete
    /// snapshot) and connects again. An event that was not answered with [`Self::ack`] is answered with an error.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Result<Event, ConnectionError> {
        loop {
            match &mut self.link {
                Link::Down(wait) => {
                    if let Some(until) = *wait {
                        sleep_until(until).await;
                    }
                    self.connect()?;
                }
                Link::Up(up) => {
                    let received = up.exchange().await;
                    let datagram = received.map_err(|source| self.broken(Some(source)))?;
                    let datagram = datagram.ok_or_else(|| self.broken(None))?;
                    let event = wire::read_request(datagram).and_then(|event| self.session.admit(event));
                    return self.give_out(event);
                }
            }
        }
    }

    /// Answers the event that [`Self::next`] gave out last: done, or why not (cut to 1000 bytes).
    ///
    /// Does nothing when that event has an answer already or its connection is gone.
    pub fn ack(&mut self, outcome: Result<(), String>) {
        if let Link::Up(up) = &mut self.link
            && up.unanswered
        {
            up.answer(outcome.as_ref().copied().map_err(String::as_str));
        }
    }

    /// Whether a connection to the agent stands and its snapshot was received whole.
    pub fn is_synced(&self) -> bool {
        matches!(self.link, Link::Up(_)) && self.session.is_complete()
    }

    fn connect(&mut self) -> Result<(), ConnectionError> {
        match socket::connect(&self.path).and_then(Seqpacket::new) {
            Ok(socket) => {
                self.session.connected();
                self.link = Link::Up(Up { socket, outgoing: Some(wire::hello()), unanswered: false });
                Ok(())
            }
            Err(source) => {
                let path = self.path.clone();
                Err(self.lost(ConnectionError::Connect { path, source }))
            }
        }
    }

    fn give_out(&mut self, event: Result<Event, Violation>) -> Result<Event, ConnectionError> {
        match event {
            Ok(event) => {
                if let Link::Up(up) = &mut self.link {
                    up.unanswered = true;
                }
                if matches!(event, Event::SnapshotSent { .. }) {
                    self.backoff.reset();
                }
                Ok(event)
            }
            Err(violation) => {
                // The agent's log should say why, too.
                if let Link::Up(up) = &mut self.link {
                    up.answer(Err(&violation.to_string()));
                }
                let path = self.path.clone();
                Err(self.lost(ConnectionError::Violation { path, violation }))
            }
        }
    }

    fn broken(&mut self, source: Option<io::Error>) -> ConnectionError {
        let path = self.path.clone();
        self.lost(match source {
            Some(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                ConnectionError::Io { path, source }
            }
            _ => ConnectionError::Closed { path },
        })
    }

    fn lost(&mut self, error: ConnectionError) -> ConnectionError {
        self.link = Link::Down(Some(Instant::now() + self.backoff.wait(rand::random())));
        error
    }
}

impl Up {
    /// Sends what is to be sent, then receives.
    async fn exchange(&mut self) -> io::Result<Option<wire::Datagram<OwnedFd>>> {
        if self.unanswered {
            self.answer(Err("ztunnel gave no answer"));
        }
        if let Some(bytes) = &self.outgoing {
            self.socket.send(bytes, None).await?;
            self.outgoing = None;
        }
        self.socket.receive(MAX_REQUEST).await
    }

    /// Answers now if the socket has room, else with the next exchange.
    fn answer(&mut self, outcome: Result<(), &str>) {
        let bytes = wire::response(outcome);
        self.unanswered = false;
        // Any failure shows again in the exchange.
        self.outgoing = self.socket.send_now(&bytes).is_err().then_some(bytes);
    }
}

#[cfg(test)]
mod tests;
