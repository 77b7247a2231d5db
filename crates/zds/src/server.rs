//! The agent's end: listens for proxies, and brings each to the state of the registry.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::conversation::{Conversation, Step};
use crate::listening::{self, SocketFile};
use crate::registry::{Membership, Registry};
use crate::socket::Seqpacket;
use crate::wire::{self, Datagram, MAX_RESPONSE, Violation};

/// How long a proxy may take for its hello, or for an answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Proxies at the same time: one, two during an upgrade, and room for some that have not noticed their end.
const MAX_CONNECTIONS: usize = 16;

/// How long accepting rests after it failed, for want of descriptors most likely.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Who may open the socket. Whatever they allow, only root and the agent's own user are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The socket file's mode.
    pub mode: u32,
}

impl Default for Permissions {
    /// Read and write for the owner only.
    fn default() -> Self {
        Self { mode: 0o600 }
    }
}

/// Why the agent cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path does not fit a socket address.
    #[error("{path} is longer than a unix socket's path may be (107 bytes); choose a shorter one")]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// Somebody listens there.
    #[error("another program listens at {path}; stop the other agent, or choose another path")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there, and it is not removed.
    #[error("{path} exists and is not a socket; remove it, or choose another path")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The kernel said no.
    #[error("cannot listen at {path}: {source}; check that its directory exists and may be written")]
    Io {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("ztunnel closed the connection")]
    Closed,
    #[error("ztunnel sent no hello within 5 s; check that it speaks ZDS")]
    NoHello,
    #[error("ztunnel did not read or answer {0} within 5 s; see its log")]
    Silent(String),
    #[error("ztunnel broke the protocol: {0}")]
    Violation(#[from] Violation),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
}

/// Listens for proxies.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    file: SocketFile,
}

impl Server {
    /// Listens at `path`, within a tokio runtime. A socket file that nobody listens on is replaced. The file is removed
    /// when the server is dropped.
    pub fn bind(path: impl AsRef<Path>, permissions: Permissions) -> Result<Self, BindError> {
        let path = path.as_ref();
        let (listener, file) = listening::listen(path, permissions)?;
        let listener = UnixListener::from_std(StdUnixListener::from(listener))
            .map_err(|source| BindError::Io { path: path.to_owned(), source })?;
        Ok(Self { listener, file })
    }

    /// Serves the pods of `registry` to every proxy that connects; never ends. Dropping it closes all connections.
    pub async fn run(self, registry: Registry) {
        let mut connections = JoinSet::new();
        // Held so that the file goes when the server does.
        let _file = &self.file;
        loop {
            tokio::select! {
                accepted = self.accept() => match accepted {
                    Ok(socket) if connections.len() < MAX_CONNECTIONS => {
                        connections.spawn(converse(socket, registry.clone()));
                    }
                    Ok(_) => {
                        tracing::warn!(limit = MAX_CONNECTIONS, "too many ZDS connections; refused one");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a ZDS connection; trying again");
                        sleep(ACCEPT_REST).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// The next connection of a user that may connect.
    async fn accept(&self) -> io::Result<Seqpacket> {
        loop {
            let (socket, _) = self.listener.accept().await?;
            let socket = Seqpacket::accepted(socket);
            let (peer, own) = (socket.peer_uid()?, rustix::process::geteuid().as_raw());
            if may_connect(peer, own) {
                return Ok(socket);
            }
            tracing::warn!(
                uid = peer,
                "refused a ZDS connection; only root and the agent's own user may connect"
            );
        }
    }
}

/// Whether a peer is served: the agent's own user, or root.
fn may_connect(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

async fn converse(socket: Seqpacket, registry: Registry) {
    match serve(&socket, &registry).await {
        Err(ServeError::Closed) => tracing::info!("ztunnel disconnected"),
        Err(error) => tracing::warn!(%error, "closed a ZDS connection"),
        Ok(never) => match never {},
    }
}

/// The whole dialogue with one proxy; ends with its connection.
async fn serve(socket: &Seqpacket, registry: &Registry) -> Result<std::convert::Infallible, ServeError> {
    let hello = timeout(DEADLINE, receive(socket)).await.map_err(|_| ServeError::NoHello)??;
    wire::read_hello(&hello)?;
    tracing::info!("ztunnel connected");

    let mut membership = registry.join();
    let mut conversation = Conversation::default();
    loop {
        let (step, tenure, retry) = membership.look(|desired, tenure| {
            let newest = tenure.is_some();
            let step = conversation.next(desired, newest, Instant::now());
            (step, tenure, conversation.next_retry(desired, newest))
        });
        for answer in conversation.answers(tenure) {
            report(&membership, &answer);
        }
        match step {
            Some(step) => {
                let outcome = timeout(DEADLINE, exchange(socket, &step))
                    .await
                    .map_err(|_| ServeError::Silent(describe(&step)))??;
                if let Err(reason) = &outcome {
                    tracing::warn!(request = describe(&step), ?reason, "ztunnel could not do it");
                }
                if let Some(answer) = conversation.answered(outcome, Instant::now())? {
                    report(&membership, &answer);
                }
            }
            None => idle(socket, &mut membership, retry).await?,
        }
    }
}

fn report(membership: &Membership, answer: &crate::conversation::Answer) {
    let outcome = answer.outcome.as_ref().copied().map_err(String::as_str);
    membership.answered(&answer.uid, answer.version, outcome);
}

/// Until there may be something to say. A proxy that speaks unasked breaks the protocol.
async fn idle(
    socket: &Seqpacket,
    membership: &mut Membership,
    retry: Option<Instant>,
) -> Result<(), ServeError> {
    let retry = async {
        match retry {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        received = receive(socket) => Err(match received {
            Ok(_) => Violation::Unasked.into(),
            Err(error) => error,
        }),
        () = membership.changed() => Ok(()),
        () = retry => Ok(()),
    }
}

async fn exchange(socket: &Seqpacket, step: &Step) -> Result<Result<(), String>, ServeError> {
    match step {
        Step::Add(pod) => socket.send(&wire::add(&pod.uid, &pod.identity), Some(pod.netns.as_fd())).await?,
        Step::Keep(uid) => socket.send(&wire::keep(uid), None).await?,
        Step::Remove(uid) => socket.send(&wire::remove(uid), None).await?,
        Step::SnapshotSent => socket.send(&wire::snapshot_sent(), None).await?,
    }
    Ok(wire::read_response(&receive(socket).await?)?)
}

async fn receive(socket: &Seqpacket) -> Result<Datagram<OwnedFd>, ServeError> {
    socket.receive(MAX_RESPONSE).await?.ok_or(ServeError::Closed)
}

fn describe(step: &Step) -> String {
    match step {
        Step::Add(pod) => format!("the add of pod {:?}", pod.uid),
        Step::Keep(uid) => format!("the keep of pod {uid:?}"),
        Step::Remove(uid) => format!("the removal of pod {uid:?}"),
        Step::SnapshotSent => "the end of the snapshot".to_owned(),
    }
}

#[cfg(test)]
mod tests;
