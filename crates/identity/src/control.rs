//! The connection to the controller, for certificates and configuration: verified TLS, HTTP/2, made when needed and
//! made again when it breaks.

mod connect;
mod error;
mod roots;
mod settings;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::Mutex;
use tonic::body::Body;
use tower_service::Service;
use zeroize::Zeroizing;

pub use error::ControlError;
pub use roots::RootCa;
pub(crate) use roots::SYSTEM_BUNDLES;
pub use settings::ControlSettings;
use settings::Target;

/// A channel to the controller, for tonic's generated clients. Cheap to clone; all clones share one connection, which is
/// made by the first call and again by the first call after it broke. Its driver runs on the runtime of that call, so all
/// clones belong on one runtime. It does not pace reconnects: callers back off.
///
/// Each call carries `authorization: Bearer`, read from the token file at that moment, `clusterid` and the extra headers.
#[derive(Clone, Debug)]
pub struct ControlChannel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Target,
    connection: Mutex<Option<SendRequest<Body>>>,
}

impl ControlChannel {
    /// Prepares a channel; connects nothing and reads no file yet.
    pub fn new(settings: ControlSettings) -> Result<Self, ControlError> {
        let target = Target::new(settings)?;
        Ok(Self { shared: Arc::new(Shared { target, connection: Mutex::new(None) }) })
    }

    /// Connects now instead of at the first call; an error says what is wrong with the address, the roots or the server.
    pub async fn connect(&self) -> Result<(), ControlError> {
        self.shared.sender().await.map(drop)
    }

    /// The controller's address, `host:port`.
    pub fn address(&self) -> &str {
        self.shared.target.address()
    }
}

impl Shared {
    /// The living connection, made if there is none. Callers at the same time wait for one attempt and share it.
    async fn sender(&self) -> Result<SendRequest<Body>, ControlError> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.as_mut() {
            if sender.ready().await.is_ok() {
                return Ok(sender.clone());
            }
            *connection = None;
        }
        let sender = connect::connect(&self.target).await?;
        *connection = Some(sender.clone());
        Ok(sender)
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, ControlError> {
        self.prepare(&mut request)?;
        let mut sender = self.sender().await?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok(response),
            Err(mut failure) => match failure.take_message() {
                // Not sent: the connection closed just before. Once more, on a new one.
                Some(request) => {
                    let mut sender = self.sender().await?;
                    sender.send_request(request).await.map_err(|error| self.target.broken(&error))
                }
                None => Err(self.target.broken(failure.error())),
            },
        }
    }

    /// Completes the address, which tonic leaves to its transport, and adds the credentials.
    fn prepare(&self, request: &mut Request<Body>) -> Result<(), ControlError> {
        self.target.complete(request)?;
        if let Some(token) = self.target.read_token()? {
            let text = Zeroizing::new(format!("Bearer {}", token.as_str()));
            let mut value = HeaderValue::from_str(&text).map_err(|_| self.target.token_malformed())?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(())
    }
}

impl Service<Request<Body>> for ControlChannel {
    type Response = Response<Incoming>;
    type Error = ControlError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, ControlError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ControlError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move { shared.send(request).await })
    }
}
