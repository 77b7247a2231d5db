//! Which call goes where, and whether a connection has proven itself yet.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_xds::server::Mount;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::body::Body;
use tower_service::Service;

use super::captured;
use crate::discovery::Gate;
use crate::publish::Reports;

/// How long a connection may stay open without a call that carries a valid token.
const UNPROVEN: Duration = Duration::from_secs(10);

/// Everything that is served on the port. Clones serve the same.
#[derive(Debug, Clone)]
pub struct Dispatch {
    shared: Arc<Shared>,
    proven: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    services: Mount<Incoming>,
    gate: Gate,
    reports: Reports,
}

/// Watches over a connection on which nobody has proven anything yet.
#[derive(Debug)]
pub(super) struct Unproven(watch::Receiver<bool>);

impl Dispatch {
    /// gRPC services beside the agents' reports.
    pub fn new(services: Mount<Incoming>, gate: Gate, reports: Reports) -> Self {
        Self { shared: Arc::new(Shared { services, gate, reports }), proven: watch::Sender::new(false) }
    }

    /// The same for one connection.
    pub(super) fn for_connection(&self) -> (Self, Unproven) {
        let proven = watch::Sender::new(false);
        let unproven = Unproven(proven.subscribe());
        (Self { shared: self.shared.clone(), proven }, unproven)
    }

    /// Whether the call proves a node, which then holds for the connection's right to stay.
    fn note(&self, request: &Request<Incoming>) {
        if *self.proven.borrow() {
            return;
        }
        if self.shared.gate.proves(request.headers().get(http::header::AUTHORIZATION)) {
            self.proven.send_replace(true);
        }
    }
}

impl Unproven {
    /// Whether something was proven in time.
    pub(super) async fn outcome(mut self) -> bool {
        let proven = async { self.0.wait_for(|proven| *proven).await.is_ok() };
        tokio::time::timeout(UNPROVEN, proven).await.unwrap_or(false)
    }
}

impl Service<Request<Incoming>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.note(&request);
        if !request.uri().path().starts_with(captured::PREFIX) {
            return self.shared.services.clone().call(request);
        }
        let shared = self.shared.clone();
        Box::pin(async move { Ok(captured::answer(request, &shared.gate, &shared.reports).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_connection_has_ten_seconds_to_prove_itself() {
        let (_sender, receiver) = watch::channel(false);
        let began = Instant::now();
        assert!(!Unproven(receiver).outcome().await);
        assert_eq!(began.elapsed(), UNPROVEN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_proved_itself_stays() {
        let (sender, receiver) = watch::channel(false);
        let outcome = tokio::spawn(Unproven(receiver).outcome());
        tokio::time::advance(UNPROVEN / 2).await;
        sender.send_replace(true);
        assert!(outcome.await.unwrap());
    }
}
