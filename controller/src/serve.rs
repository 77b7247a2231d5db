//! The one port of the mesh: TLS, HTTP/2, and behind it configuration, certificates and the agents' reports.

mod captured;
mod dispatch;
mod sources;

use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;

use ambit_identity::serving::accept_control;
use ambit_transport::drain::Watch;
use ambit_transport::{Accepted, Listeners, accept_loop};
use ambit_xds::server::serve_connection;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::authority::Serving;
use crate::metrics::Metrics;

pub use dispatch::Dispatch;
use sources::{Place, Sources};

/// Connections at once; more are closed as they come.
const CONNECTIONS: usize = 4096;

/// Everything that a connection needs.
#[derive(Debug, Clone)]
pub struct Server {
    serving: Arc<Serving>,
    dispatch: Dispatch,
    seats: Arc<Semaphore>,
    sources: Sources,
    metrics: Metrics,
}

impl Server {
    /// A server of `dispatch` under the certificate of `serving`.
    pub fn new(serving: Arc<Serving>, dispatch: Dispatch, metrics: Metrics) -> Self {
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        Self { serving, dispatch, seats, sources: Sources::default(), metrics }
    }

    /// Serves a listener until the drain starts. Connections hold the watch.
    pub async fn run(self, listener: Listeners<1>, drain: Watch) {
        let connections = drain.clone();
        accept_loop(listener, drain, |Accepted { stream, peer, .. }| {
            let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
                self.refused(peer, "full", &format!("{CONNECTIONS} connections are open already"));
                return;
            };
            let Some(place) = self.sources.take(peer.ip()) else {
                let reason = format!("{} unproven connections of this address are open", sources::MOST);
                self.refused(peer, "source", &reason);
                return;
            };
            let (server, drain) = (self.clone(), connections.clone());
            tokio::spawn(async move {
                server.connection(stream, peer, place, drain).await;
                drop(seat);
            });
        })
        .await;
    }

    async fn connection(&self, stream: StdStream, peer: SocketAddr, place: Place, drain: Watch) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return self.refused(peer, "exhausted", &error.to_string()),
        };
        // Bounded in time by the handshake itself.
        let stream = match accept_control(stream, &self.serving.current()).await {
            Ok(stream) => stream,
            Err(error) => return self.refused(peer, "handshake", &error.to_string()),
        };
        self.metrics.connections.add(1);
        let (dispatch, unproven) = self.dispatch.for_connection();
        let stop = async {
            tokio::select! {
                _ = drain.signaled() => return,
                proven = unproven.outcome() => if !proven {
                    return self.refused(peer, "unproven", "no call with a valid token came");
                },
            }
            drop(place);
            drain.signaled().await;
        };
        if let Err(error) = serve_connection(stream, dispatch, stop).await {
            tracing::debug!(%peer, %error, "control connection ended");
        }
        self.metrics.connections.add(-1);
    }

    fn refused(&self, peer: SocketAddr, word: &str, reason: &str) {
        self.metrics.refused_connections.with([word]).increment();
        tracing::debug!(%peer, reason, "control connection refused");
    }
}
