//! A network of one server and its clients: connections are pipes in memory that the test can cut.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ambit_model::service::ServiceKey;
use ambit_model::{Change, Service, Snapshot, Text};
use ambit_xds::client::{self, Update};
use ambit_xds::server::{self, ClientView, Mount, serve_connection};
use ambit_xds::{Client, Kind, Node, Rejection, Resource, Server, Store};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What every client of the tests shows.
const TOKEN: &str = "Bearer good";

/// The way from clients to whichever server is up.
#[derive(Clone, Default)]
pub(crate) struct Network {
    server: Arc<Mutex<Option<Mount<Incoming>>>>,
    /// Counts cuts; every open connection ends at the next one.
    cuts: Arc<watch::Sender<u32>>,
    /// True once servers were told to stop.
    stopping: Arc<watch::Sender<bool>>,
    pub(crate) attempts: Arc<Mutex<Vec<Instant>>>,
}

impl Network {
    /// Has a server of this store answer from now on.
    pub(crate) fn up(&self, store: &Store) -> Arc<Reports> {
        let reports = Arc::new(Reports::default());
        let authorize = |metadata: &MetadataMap, node: &Node| match metadata
            .get("authorization")
            .map(|token| token == TOKEN)
        {
            Some(true) => Ok(ClientView::everything(node.id.as_str())),
            _ => Err(Status::unauthenticated("a token is needed")),
        };
        let server = Server::new(store.clone(), authorize).observed_by(reports.clone());
        *self.server.lock().unwrap() = Some(Mount::default().with(server));
        reports
    }

    /// Takes the server away, and every connection with it.
    pub(crate) fn down(&self) {
        *self.server.lock().unwrap() = None;
        self.cut();
    }

    /// Tells servers to stop.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn call(network: Network, mut request: Request<Body>) -> Result<Response<Incoming>, Error> {
    network.attempts.lock().unwrap().push(Instant::now());
    let mount = network.server.lock().unwrap().clone().ok_or("connection refused")?;
    let (here, there) = tokio::io::duplex(64 << 10);
    let (mut cuts, mut stopping) = (network.cuts.subscribe(), network.stopping.subscribe());
    tokio::spawn(async move {
        let stop = async {
            stopping.wait_for(|stopping| *stopping).await.unwrap();
        };
        tokio::select! {
            served = serve_connection(there, mount, stop) => served.unwrap_or_default(),
            _ = cuts.changed() => {}
        }
    });
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(here)).await?;
    tokio::spawn(connection);
    request.headers_mut().entry("authorization").or_insert(HeaderValue::from_static(TOKEN));
    Ok(sender.send_request(request).await?)
}

impl tower_service::Service<Request<Body>> for Network {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(call(self.clone(), request))
    }
}

/// What the server's observer heard.
#[derive(Default)]
pub(crate) struct Reports {
    pub(crate) resources: Mutex<usize>,
    pub(crate) removed: Mutex<usize>,
    pub(crate) rejected: Mutex<Vec<(Text, Kind, String)>>,
    pub(crate) clients: watch::Sender<i32>,
}

impl server::Observer for Reports {
    fn connected(&self, _: &Text, _: &Node) {
        self.clients.send_modify(|clients| *clients += 1);
    }

    fn disconnected(&self, _: &Text) {
        self.clients.send_modify(|clients| *clients -= 1);
    }

    fn sent(&self, _: &Text, _: Kind, resources: usize, removed: usize, _: usize) {
        *self.resources.lock().unwrap() += resources;
        *self.removed.lock().unwrap() += removed;
    }

    fn rejected(&self, client: &Text, kind: Kind, message: &str) {
        self.rejected.lock().unwrap().push((client.clone(), kind, message.to_owned()));
    }
}

/// What the client's observer heard.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) rejections: Mutex<Vec<Rejection>>,
    pub(crate) terminations: Mutex<Vec<client::Termination>>,
}

impl client::Observer for Heard {
    fn rejected(&self, _: Kind, rejection: &Rejection) {
        self.rejections.lock().unwrap().push(rejection.clone());
    }

    fn terminated(&self, why: client::Termination) {
        self.terminations.lock().unwrap().push(why);
    }
}

/// A running client, and what it made of what it was sent.
pub(crate) struct Peer {
    updates: mpsc::UnboundedReceiver<Update>,
    pub(crate) snapshot: Snapshot,
    pub(crate) synced: watch::Receiver<bool>,
    pub(crate) heard: Arc<Heard>,
    task: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub(crate) fn start(network: &Network, name: &str) -> Self {
        let node = Node { id: name.into(), ..Node::default() };
        let heard = Arc::new(Heard::default());
        let origin = http::Uri::from_static("http://controller:15012");
        let client = Client::new(network.clone(), origin, node, &Kind::ALL).observed_by(heard.clone());
        let synced = client.synced();
        let (sender, updates) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let sink = move |update: Update| {
                // The test may have ended.
                let _ = sender.send(update);
            };
            match client.run(sink).await {}
        });
        Self { updates, snapshot: Snapshot::new(""), synced, heard, task }
    }

    /// The next update, applied.
    pub(crate) async fn update(&mut self) -> Update {
        let update = self.updates.recv().await.unwrap();
        self.snapshot.apply(update.changes.clone());
        update
    }

    /// Applies updates until both first states on a connection are complete.
    pub(crate) async fn first_state(&mut self) -> Vec<Update> {
        let mut updates: Vec<Update> = Vec::new();
        while updates.iter().filter(|update| update.initial).count() < Kind::ALL.len() {
            updates.push(self.update().await);
        }
        updates
    }

    /// Names of the services it knows, by key.
    pub(crate) fn services(&self) -> BTreeMap<String, String> {
        self.snapshot.services().map(|service| (service.key.to_string(), service.name.to_string())).collect()
    }

    pub(crate) fn nothing_came(&mut self) -> bool {
        self.updates.try_recv().is_err()
    }
}

pub(crate) fn service(host: &str, name: &str) -> Resource {
    Resource::service(&Service::new(name, ServiceKey::new("ns", host)))
}

/// The number of changes that set something.
pub(crate) fn set_by(updates: &[Update]) -> usize {
    let changes = updates.iter().flat_map(|update| &update.changes);
    changes.filter(|change| !matches!(change, Change::RemoveAddress(_) | Change::RemovePolicy(_))).count()
}
