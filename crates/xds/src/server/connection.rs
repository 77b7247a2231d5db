//! One accepted connection: HTTP/2 over any byte stream, normally TLS.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tower_service::Service;

/// An idle connection is asked for a sign of life this often (Istio: 30 s), and given [`PING_TIMEOUT`] to answer.
const PING: Duration = Duration::from_secs(30);

/// A peer that does not answer is gone.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams that a client may have open: discovery, and certificates.
const MAX_STREAMS: u32 = 100;

/// Longest list of headers.
const MAX_HEADERS: u32 = 64 << 10;

/// After the stop signal, how long calls may take to end. Discovery streams never end by themselves and are cut.
const GRACE: Duration = Duration::from_secs(1);

/// Why a connection ended otherwise than by the peer closing it.
#[derive(Debug, thiserror::Error)]
#[error("gRPC connection failed: {0}")]
pub struct ConnectionError(#[from] hyper::Error);

/// Serves gRPC on `io` until the peer closes it, or `stop` is ready and a second has passed. Call within a tokio
/// runtime; calls run as its tasks.
pub async fn serve_connection<I, S>(
    io: I,
    service: S,
    stop: impl Future<Output = ()>,
) -> Result<(), ConnectionError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS);
    let connection = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    tokio::pin!(connection);
    tokio::select! {
        ended = &mut connection => return Ok(ended?),
        () = stop => connection.as_mut().graceful_shutdown(),
    }
    match tokio::time::timeout(GRACE, connection).await {
        Ok(ended) => Ok(ended?),
        Err(_) => Ok(()),
    }
}
