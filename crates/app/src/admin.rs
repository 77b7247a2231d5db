//! A small HTTP/1.1 server for operators: readiness, metrics, log levels, configuration dump, the end.
//!
//! It is bounded in connections, header time and size, body and total time, so that it never competes with the data
//! plane. It does not authenticate: listen on localhost ([`localhost`]) for anything that changes or reveals something.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ambit_transport::drain::Watch;
use ambit_transport::{Accepted, ListenError, ListenOptions, Listeners, accept_loop, tcp_listener};
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

mod answer;
mod document;
mod query;
pub mod resources;
mod routes;
mod standard;

pub use answer::{Answer, Body};
pub use document::Document;
pub use query::Query;
pub use routes::{Asked, Routes};
pub use standard::{LogChange, MetricsFormat};

/// Connections at once; more are closed as they come.
const CONNECTIONS: usize = 64;
/// Time for a request's head, and again for its body.
const READ_TIME: Duration = Duration::from_secs(5);
/// Time for a whole connection: a profile or a large dump fits, a forgotten client does not stay.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// Largest head and body of a request.
const HEAD: usize = 16 * 1024;
const BODY: usize = 64 * 1024;

/// Listens on `port` of 127.0.0.1 and, where the machine has it, of ::1.
///
/// # Errors
/// The port is taken or IPv4 has no localhost.
pub fn localhost(port: u16) -> Result<Vec<std::net::TcpListener>, ListenError> {
    let v4 = tcp_listener(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), &ListenOptions::default())?;
    // Port 0 is chosen once, for both.
    let port = v4.local_addr().map_or(port, |address| address.port());
    match tcp_listener(SocketAddr::from((Ipv6Addr::LOCALHOST, port)), &ListenOptions::default()) {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(ListenError::NotLocal { .. }) => Ok(vec![v4]),
        Err(error) => Err(error),
    }
}

/// Serves the routes on a listener until the drain starts; then lets requests in progress finish, unless the drain is
/// immediate. Connections hold the watch: give a drain of its own, if this server is to answer while others drain.
///
/// # Errors
/// The listener cannot be registered with this runtime.
pub async fn serve(listener: std::net::TcpListener, routes: Arc<Routes>, drain: Watch) -> io::Result<()> {
    let listeners = Listeners::watch([listener])?;
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    accept_loop(listeners, drain.clone(), |Accepted { stream, peer, .. }| {
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            tracing::warn!(%peer, "admin connection refused: {CONNECTIONS} are open already");
            return;
        };
        let routes = Arc::clone(&routes);
        let drain = drain.clone();
        tokio::spawn(async move {
            let stream = match TcpStream::from_std(stream) {
                Ok(stream) => stream,
                Err(error) => return tracing::debug!(%peer, %error, "admin connection cannot be watched"),
            };
            let connection = connection(stream, routes, drain);
            match tokio::time::timeout(CONNECTION_TIME, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "admin connection ended"),
                Err(_) => tracing::debug!(%peer, "admin connection cut after {CONNECTION_TIME:?}"),
            }
            drop(seat);
        });
    })
    .await;
    Ok(())
}

async fn connection(stream: TcpStream, routes: Arc<Routes>, drain: Watch) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let routes = Arc::clone(&routes);
        async move { Ok::<_, Infallible>(answer(request, &routes).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIME)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        _ = drain.signaled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = &mut connection => ended,
        () = drain.immediate() => Ok(()),
    }
}

async fn answer(request: Request<Incoming>, routes: &Routes) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(READ_TIME, Limited::new(body, BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Answer::error(
                http::StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than {BODY} bytes"),
            )
            .into();
        }
        Ok(Err(_)) => return Answer::error(http::StatusCode::BAD_REQUEST, "the body ended early").into(),
        Err(_) => {
            return Answer::error(
                http::StatusCode::REQUEST_TIMEOUT,
                format!("no whole body within {READ_TIME:?}"),
            )
            .into();
        }
    };
    routes.answer(&head, body).await.into()
}
