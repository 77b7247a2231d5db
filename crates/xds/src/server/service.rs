//! The discovery service on the wire: admits a client, then turns its session's answers into a stream.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_model::Text;
use ambit_proto::envoy::discovery::DeltaDiscoveryRequest as Request;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body::Body;
use prost::Message;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use super::session::{Event, Session};
use super::{ClientView, Store};
use crate::discovery::{METHOD, Response, SERVICE};
use crate::{Kind, Node};

/// Longest request that is read: the names and versions of a large mesh.
const MAX_REQUEST: usize = 64 << 20;

/// How long an admitted client may take to say who it is.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// Decides who may ask, and for what. A closure over metadata and node is one.
pub trait Authorize: Send + Sync {
    /// Called when a stream opens, before anything of it is read.
    fn admit(&self, _metadata: &MetadataMap) -> Result<(), Status> {
        Ok(())
    }

    /// Called with the first request: what the client may see. `node` is only the client's claim.
    fn authorize(&self, metadata: &MetadataMap, node: &Node) -> Result<ClientView, Status>;
}

impl<F> Authorize for F
where
    F: Fn(&MetadataMap, &Node) -> Result<ClientView, Status> + Send + Sync,
{
    fn authorize(&self, metadata: &MetadataMap, node: &Node) -> Result<ClientView, Status> {
        self(metadata, node)
    }
}

/// What a client means by a name, for clients that ask by other names than the resources have (an address
/// `network/ip`, a service whose workloads are wanted with it).
pub trait Lookup: Send + Sync {
    /// The names of the resources that `asked` stands for; those that do not exist are passed over.
    fn resolve(&self, kind: Kind, asked: &Text) -> Vec<Text>;
}

/// A name is the name of a resource.
impl Lookup for () {
    fn resolve(&self, _kind: Kind, asked: &Text) -> Vec<Text> {
        vec![asked.clone()]
    }
}

/// Hears what happens to clients, named as their [`ClientView`] is. Must not block.
pub trait Observer: Send + Sync {
    /// A client was admitted.
    fn connected(&self, _client: &Text, _node: &Node) {}
    /// A client's stream is over.
    fn disconnected(&self, _client: &Text) {}
    /// A response was sent.
    fn sent(&self, _client: &Text, _kind: Kind, _resources: usize, _removed: usize, _bytes: usize) {}
    /// A client rejected resources: `name: reason; ...`. They are not sent again before they change.
    fn rejected(&self, _client: &Text, _kind: Kind, _message: &str) {}
}

impl Observer for () {}

/// The aggregated discovery service over a store. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    store: Store,
    authorize: Arc<dyn Authorize>,
    lookup: Arc<dyn Lookup>,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Server {
    /// A server of `store` to whom `authorize` admits.
    pub fn new(store: Store, authorize: impl Authorize + 'static) -> Self {
        Self { store, authorize: Arc::new(authorize), lookup: Arc::new(()), observer: Arc::new(()) }
    }

    /// Has names resolved by `lookup`.
    #[must_use]
    pub fn resolving_by(mut self, lookup: Arc<dyn Lookup>) -> Self {
        self.lookup = lookup;
        self
    }

    /// Has `observer` hear what happens.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    fn open(&self, request: tonic::Request<Streaming<Request>>) -> Result<Responses, Status> {
        self.authorize.admit(request.metadata())?;
        let (metadata, _, requests) = request.into_parts();
        let changes = self.store.changes();
        let opened = Conversation { server: self.clone(), metadata, requests, changes, session: None };
        let responses = stream::unfold(Some(opened), |conversation| async move {
            let mut conversation = conversation?;
            match conversation.next().await {
                Ok(Some(response)) => Some((Ok(response), Some(conversation))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(responses.boxed())
    }
}

type Responses = BoxStream<'static, Result<Response, Status>>;

/// A stream and what is known about its client.
struct Conversation {
    server: Server,
    metadata: MetadataMap,
    requests: Streaming<Request>,
    changes: watch::Receiver<u64>,
    /// `None` until the client said who it is.
    session: Option<Session>,
}

impl Conversation {
    /// The next response; `None` when the client is done.
    async fn next(&mut self) -> Result<Option<Response>, Status> {
        if self.session.is_none() && !self.introduce().await? {
            return Ok(None);
        }
        loop {
            if let Some(response) = self.respond()? {
                return Ok(Some(response));
            }
            tokio::select! {
                request = self.requests.message() => match request? {
                    Some(request) => self.take(request),
                    None => return Ok(None),
                },
                changed = self.changes.changed() => {
                    changed.map_err(|_| Status::unavailable("the server is closing"))?;
                }
            }
        }
    }

    async fn introduce(&mut self) -> Result<bool, Status> {
        let first = timeout(FIRST_REQUEST, self.requests.message());
        let first =
            first.await.map_err(|_| Status::deadline_exceeded("no request came; send the first one"))??;
        let Some(mut request) = first else { return Ok(false) };
        let node = request
            .node
            .take()
            .ok_or_else(|| Status::invalid_argument("the first request names no node; set its field node"))?;
        let node = Node::from_proto(node);
        let view = self.server.authorize.authorize(&self.metadata, &node)?;
        self.server.observer.connected(view.name(), &node);
        self.session = Some(Session::new(view, &node, self.server.lookup.clone()));
        self.take(request);
        Ok(true)
    }

    fn take(&mut self, request: Request) {
        let Some(session) = &mut self.session else { return };
        match session.request(&self.server.store, request) {
            None => {}
            Some(Event::Rejected(kind, message)) => {
                let client = session.view().name();
                tracing::warn!(%client, %kind, message, "client rejected resources");
                self.server.observer.rejected(client, kind, &message);
            }
            // Refusing would take from a newer client what it can be served.
            Some(Event::Unserved(url)) => {
                let client = session.view().name();
                tracing::warn!(%client, url, "client asks for a type that is not served; it gets no answer");
            }
        }
    }

    fn respond(&mut self) -> Result<Option<Response>, Status> {
        let Some(session) = &mut self.session else { return Ok(None) };
        // Marked before the store is read, so that no change falls between.
        self.changes.mark_unchanged();
        let Some((kind, response)) = session.next(&self.server.store)? else { return Ok(None) };
        let (resources, removed) = (response.resources.len(), response.removed_resources.len());
        self.server.observer.sent(session.view().name(), kind, resources, removed, response.encoded_len());
        Ok(Some(response))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            self.server.observer.disconnected(session.view().name());
        }
    }
}

impl NamedService for Server {
    const NAME: &'static str = SERVICE;
}

impl<B> tower_service::Service<http::Request<B>> for Server
where
    B: Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            if request.uri().path() != METHOD {
                return Ok(
                    Status::unimplemented("only incremental aggregated discovery is served").into_http()
                );
            }
            let codec = ProstCodec::<Response, Request>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_REQUEST);
            Ok(grpc.streaming(Method(server), request).await)
        })
    }
}

struct Method(Server);

impl StreamingService<Request> for Method {
    type Response = Response;
    type ResponseStream = Responses;
    type Future = Ready<Result<tonic::Response<Responses>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Request>>) -> Self::Future {
        ready(self.0.open(request).map(tonic::Response::new))
    }
}
