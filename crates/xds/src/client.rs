//! The client: one stream to the control plane, kept up for ever, whose changes go to one sink.
//!
//! A lost stream takes nothing away: what was applied stays in force, the stream is opened again, and the server is
//! told the version of everything that is held, so that it sends only what differs and names what is gone
//! (`initial_resource_versions`; Istio's control plane and ours both answer so).

pub mod backoff;
mod complaint;
mod metrics;
mod session;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::Change;
use ambit_proto::envoy::discovery::DeltaDiscoveryRequest as Request;
use http::Uri;
use http::uri::PathAndQuery;
use http_body::Body;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::{Grpc, GrpcService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::discovery::{METHOD, Response};
use crate::{Kind, Node, Rejection};
use backoff::Backoff;
use complaint::Complaint;
use session::{Session, Step};

/// Longest response that is read, as Istio's node proxy reads them. Istio's control plane sends a first state whole.
const MAX_RESPONSE: usize = 200 << 20;

/// Where changes go. There is one, and it is called from one place, in the order of the stream.
pub trait Sink: Send {
    /// Puts an update into force. The server is answered after it returns.
    fn apply(&mut self, update: Update);
}

impl<F: FnMut(Update) + Send> Sink for F {
    fn apply(&mut self, update: Update) {
        self(update);
    }
}

/// What one response changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The kind of all its resources.
    pub kind: Kind,
    /// Removals first, then what was set. Of rejected resources only narrowed policies and the claims of unreadable
    /// workloads and services ([`Change::Unreadable`]) are among them.
    pub changes: Vec<Change>,
    /// Whether with this update the first state of the kind on this connection is complete.
    pub initial: bool,
}

/// Why a stream ended (the values of Istio's metric `xds_connection_terminations`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Termination {
    /// It was never opened.
    ConnectionError,
    /// The server, or the network, broke it off.
    Error,
    /// The server asked to come again.
    Reconnect,
    /// The server ended it without a word.
    Complete,
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionError => "ConnectionError",
            Self::Error => "Error",
            Self::Reconnect => "Reconnect",
            Self::Complete => "Complete",
        })
    }
}

/// Hears what happens, for metrics and health. Called on the client's own task; must not block.
pub trait Observer: Send + Sync {
    /// A response arrived with this many bytes of resources (`xds_message_total`, `xds_message_bytes`).
    fn received(&self, _kind: Kind, _bytes: usize) {}
    /// A resource was rejected, or applied narrowed.
    fn rejected(&self, _kind: Kind, _rejection: &Rejection) {}
    /// A stream is open.
    fn connected(&self) {}
    /// A stream ended (`xds_connection_terminations`).
    fn terminated(&self, _why: Termination) {}
}

impl Observer for () {}

/// A subscription to everything of some kinds.
pub struct Client<S> {
    service: S,
    origin: Uri,
    session: Session,
    backoff: Backoff,
    complaint: Complaint,
    /// Some stream was answered.
    answered: bool,
    observer: Arc<dyn Observer>,
    synced: watch::Sender<bool>,
}

impl<S> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<S> Client<S>
where
    S: GrpcService<tonic::body::Body> + Clone,
    S::ResponseBody: Body<Data = bytes::Bytes> + Send + 'static,
    <S::ResponseBody as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    /// A client over `service`, which is cloned for every stream. The service connects, proves who asks (header
    /// `authorization`) and keeps the connection alive with pings: a dead peer must end the stream.
    ///
    /// `origin` gives scheme and authority of the requests, such as `https://istiod.istio-system.svc:15012`.
    pub fn new(service: S, origin: Uri, node: Node, kinds: &[Kind]) -> Self {
        Self {
            service,
            origin,
            session: Session::new(node, kinds),
            backoff: Backoff::default(),
            complaint: Complaint::default(),
            answered: false,
            observer: Arc::new(()),
            synced: watch::Sender::new(kinds.is_empty()),
        }
    }

    /// Has `observer` hear what happens.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Becomes true once the first state of every kind was applied, and stays true.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// Keeps the subscription until it is dropped.
    pub async fn run(mut self, mut sink: impl Sink) -> Infallible {
        loop {
            let opened = Instant::now();
            let end = self.stream(&mut sink).await;
            self.observer.terminated(end.why);
            self.session.closed(end.status.as_ref());
            if end.answered {
                self.answered = true;
                self.backoff.lived(opened.elapsed());
            }
            let pause = self.backoff.pause(rand::random());
            self.complain(&end, pause);
            sleep(pause).await;
        }
    }

    /// Says why there is no stream, unless it was just said.
    fn complain(&mut self, end: &End, pause: Duration) {
        let reason = end.reason();
        if !self.complaint.is_due(reason, Instant::now()) {
            return;
        }
        let origin = &self.origin;
        if self.answered {
            tracing::warn!(
                why = %end.why, reason, retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "configuration stream to {origin} ended; what was received stays in force",
            );
        } else {
            tracing::warn!(why = %end.why, "no configuration yet from {origin}: {reason}; it is tried again");
        }
    }

    /// One stream, from opening to its end.
    async fn stream(&mut self, sink: &mut impl Sink) -> End {
        let (replies, requests) = mpsc::unbounded_channel::<Request>();
        for request in self.session.open() {
            // The receiver is in the next line.
            let _ = replies.send(request);
        }
        let mut grpc = Grpc::with_origin(self.service.clone(), self.origin.clone())
            .max_decoding_message_size(MAX_RESPONSE);
        if let Err(error) = grpc.ready().await {
            let error: Box<dyn std::error::Error + Send + Sync> = error.into();
            return End::unopened(Status::unavailable(format!("cannot connect: {error}")));
        }
        let requests = tonic::Request::new(UnboundedReceiverStream::new(requests));
        let codec = ProstCodec::<Request, Response>::default();
        let mut responses = match grpc.streaming(requests, PathAndQuery::from_static(METHOD), codec).await {
            Ok(response) => response.into_inner(),
            Err(status) => return End::unopened(status),
        };
        self.observer.connected();
        let mut answered = false;
        loop {
            match responses.next().await {
                None => return End { why: Termination::Complete, status: None, answered },
                Some(Err(status)) => {
                    return End { why: termination(&status), status: Some(status), answered };
                }
                Some(Ok(response)) => {
                    answered = true;
                    let reply = self.receive(response, sink);
                    // The sender fails when the stream is over, which the next response tells.
                    let _ = replies.send(reply);
                }
            }
        }
    }

    fn receive(&mut self, response: Response, sink: &mut impl Sink) -> Request {
        let Step { kind, bytes, update, rejections, reply } = self.session.receive(response);
        if let Some(kind) = kind {
            self.observer.received(kind, bytes);
            for rejection in &rejections {
                tracing::warn!(%kind, resource = %rejection.name, reason = %rejection.reason, "resource rejected");
                self.observer.rejected(kind, rejection);
            }
        }
        if let Some(update) = update {
            sink.apply(update);
        }
        if self.session.synced() {
            self.synced.send_if_modified(|synced| !std::mem::replace(synced, true));
        }
        reply
    }
}

/// How a stream ended.
struct End {
    why: Termination,
    status: Option<Status>,
    /// Whether the server had sent anything.
    answered: bool,
}

impl End {
    fn unopened(status: Status) -> Self {
        Self { why: Termination::ConnectionError, status: Some(status), answered: false }
    }

    fn reason(&self) -> &str {
        match &self.status {
            None => "the server ended the stream",
            Some(status) if status.message().is_empty() => status.code().description(),
            Some(status) => status.message(),
        }
    }
}

/// What Istio's node proxy counts as a request to come again: ends that a healthy server or proxy in between causes.
fn termination(status: &Status) -> Termination {
    let unavailable = ["transport is closing", "received prior goaway"];
    match status.code() {
        Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => Termination::Reconnect,
        Code::Unavailable if unavailable.iter().any(|text| status.message().contains(text)) => {
            Termination::Reconnect
        }
        _ => Termination::Error,
    }
}
