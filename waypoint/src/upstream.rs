//! HTTP connections to endpoints, kept for the next request: one worker's own, inside tunnels or in the clear.

mod connect;
mod error;
mod gate;
mod shelf;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_hbone::Key;
use ambit_model::Text;
use http::header::UPGRADE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};

use crate::body::Progress;
use crate::sent::RequestBody;
use crate::strict::{Interims, check_response};

pub use connect::{lease, open};
pub use error::{ConnectError, SendError};
pub use shelf::{Keep, Lease, Shelves};
pub use stream::{Bare, Upstream};

/// The version that an endpoint is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.1: one request at a time.
    Http1,
    /// HTTP/2 with prior knowledge: many at a time.
    Http2,
}

/// What two requests must have in common to share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The number of the rules by which it is called ([`crate::destinations::Current::number`]).
    pub number: u64,
    /// The endpoint's address and port.
    pub address: SocketAddr,
    /// The tunnel to it.
    pub tunnel: Option<Key>,
    /// What is spoken there.
    pub version: Version,
    /// The server that TLS asked for, where that is the host of each request.
    pub server: Option<Text>,
}

/// A connection that takes a request.
#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    /// With a token for each request that is under way.
    Http2(http2::SendRequest<RequestBody>, Arc<()>),
}

impl Sender {
    /// Whether it takes a request now.
    fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender, _) => sender.is_ready(),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender, _) => sender.is_closed(),
        }
    }

    /// Requests that share the connection at this moment, where many may.
    fn under_way(&self) -> usize {
        match self {
            Self::Http1(_) => 0,
            Self::Http2(_, token) => Arc::strong_count(token) - 1,
        }
    }
}

/// Sends a request on a leased connection. The lease comes back with the response: its body is on the same connection.
///
/// # Errors
/// There is no response; with it, whether the connection had served before.
pub async fn send(
    mut lease: Lease,
    mut request: Request<RequestBody>,
    progress: Arc<Progress>,
) -> Result<(Response<Incoming>, Lease), (SendError, bool)> {
    let reused = lease.is_reused();
    let upgrade = request.headers().get(UPGRADE).cloned();
    let interims = Interims::default();
    let counted = interims.clone();
    hyper::ext::on_informational(&mut request, move |_| counted.count());
    let sending = async {
        match lease.sender() {
            Some(Sender::Http1(sender)) => Some(sender.try_send_request(request).await),
            Some(Sender::Http2(sender, _)) => Some(sender.try_send_request(request).await),
            None => None,
        }
    };
    let sent = tokio::select! {
        sent = sending => sent,
        ambiguous = interims.too_many() => return Err((ambiguous.into(), reused)),
    };
    let Some(sent) = sent else { return Err((SendError::Gone, reused)) };
    match sent {
        Ok(response) => {
            check_response(&response, upgrade.as_ref()).map_err(|ambiguous| (ambiguous.into(), reused))?;
            lease.follow(progress);
            Ok((response, lease))
        }
        Err(mut error) => {
            // What comes back was not sent.
            let error = match error.take_message() {
                Some(_) => SendError::Gone,
                None => SendError::of(error.into_error(), &progress),
            };
            Err((error, reused))
        }
    }
}
