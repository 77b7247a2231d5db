//! Several gRPC services on one port, told apart by path.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower_service::Service;

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;
type Call<B> = dyn Fn(http::Request<B>) -> Answer + Send + Sync;

/// Services by name; a path `/<service>/<method>` goes to its service, others are answered `UNIMPLEMENTED`. Clones
/// are the same services. The services must always be ready, as generated ones and [`crate::Server`] are.
pub struct Mount<B> {
    services: Vec<(&'static str, Arc<Call<B>>)>,
}

impl<B> Clone for Mount<B> {
    fn clone(&self) -> Self {
        Self { services: self.services.clone() }
    }
}

impl<B> Default for Mount<B> {
    fn default() -> Self {
        Self { services: Vec::new() }
    }
}

impl<B> fmt::Debug for Mount<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.services.iter().map(|(name, _)| name)).finish()
    }
}

impl<B: 'static> Mount<B> {
    /// Adds a service.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<B>, Response = http::Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.services.push((S::NAME, Arc::new(move |request| Box::pin(service.clone().call(request)))));
        self
    }
}

impl<B> Service<http::Request<B>> for Mount<B> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        let asked = request.uri().path().split('/').nth(1).unwrap_or_default();
        match self.services.iter().find(|(name, _)| *name == asked) {
            Some((_, call)) => call(request),
            None => Box::pin(async { Ok(Status::unimplemented("no such service").into_http()) }),
        }
    }
}
