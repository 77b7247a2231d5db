//! The server's side of HTTP: one connection of a client, in whichever version it speaks.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_telemetry::requests::RequestFlags;
use ambit_transport::{Ahead, Mode};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;

use crate::body::ResponseBody;
use crate::exchange::exchange;
use crate::network::{Network, Stream};
use crate::session::Session;
use crate::strict::{Fault, Gate, Http1, Http2, Verdict};

/// Largest head of a request, and most fields in it (Envoy's defaults): 431 beyond.
const HEAD: usize = 60 * 1024;
const HEADERS: usize = 100;
/// A connection is closed when it has waited so long for the head of a request (Envoy's idle timeout).
const IDLE: Duration = Duration::from_secs(3600);
/// Requests at a time that a client may have in one HTTP/2 connection.
const STREAMS: u32 = 1000;
/// Receive windows of an HTTP/2 connection and of each stream in it: what waits for a slow endpoint.
const WINDOW: u32 = 1024 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
/// Resets of streams that were not yet looked at, before the connection counts as an attack (CVE-2023-44487).
const RESETS: usize = 100;

/// Serves HTTP/1.1 and 1.0 until the client ends it. A drain answers the request that is under way with
/// `Connection: close`.
pub async fn http1<N: Network, S: Stream>(session: Arc<Session<N>>, stream: Ahead<S>) {
    let drain = session.drain.clone();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE).max_headers(HEADERS).max_header_size(HEAD);
    let verdict = Verdict::default();
    let stream = Gate::new(stream, Http1::until(session.switched.clone()), verdict.clone());
    let of = session.clone();
    let service = service_fn(move |request| answer(session.clone(), request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = &mut connection => ended,
        mode = drain.signaled() => {
            if mode == Mode::Graceful {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = drain.immediate() => return,
                }
            } else {
                return;
            }
        }
    };
    say(&of, &verdict, ended);
}

/// Serves HTTP/2 until the client ends it. A drain lets the requests that are under way end (GOAWAY).
pub async fn http2<N: Network, S: Stream>(session: Arc<Session<N>>, stream: Ahead<S>) {
    let drain = session.drain.clone();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_header_list_size(HEAD as u32)
        .max_pending_accept_reset_streams(RESETS);
    let verdict = Verdict::default();
    let stream = Gate::new(stream, Http2::default(), verdict.clone());
    let of = session.clone();
    let service = service_fn(move |request| answer(session.clone(), request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        mode = drain.signaled() => {
            if mode == Mode::Graceful {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = drain.immediate() => return,
                }
            } else {
                return;
            }
        }
    };
    say(&of, &verdict, ended);
}

/// What the client's bytes were refused for is counted as a request of its own: 400, or what else it was told, with `DPE`.
fn say<N: Network>(session: &Session<N>, verdict: &Verdict, ended: hyper::Result<()>) {
    let Err(error) = ended else { return };
    tracing::debug!(%error, "a client's HTTP connection ended");
    let fault = verdict.fault();
    let status = match fault {
        Some(Fault::Slow) => StatusCode::REQUEST_TIMEOUT,
        None if error.is_parse_too_large() => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        None if !error.is_parse() => return,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut report = session.request_report(Instant::now());
    report.code(status.as_u16()).flag(RequestFlags::CLIENT_PROTOCOL);
    report.details(format!(
        "request_refused{{{}}}",
        fault.map_or_else(|| error.to_string(), |fault| fault.to_string())
    ));
    report.finish();
}

async fn answer<N: Network>(
    session: Arc<Session<N>>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let upgrade = request.extensions().get::<OnUpgrade>().cloned();
    // Boxed: the connection holds it, and most of the time there is none.
    let response = Box::pin(exchange(session, request)).await;
    if let Some(refused) = upgrade.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) {
        tokio::spawn(end(refused));
    }
    Ok(response)
}

/// Ends a connection that was not switched to the protocol that its last request asked for: the library drops it at the
/// end like one that was, and a stream that is dropped may lose the answer.
async fn end(refused: OnUpgrade) {
    if let Ok(connection) = refused.await
        && let Err(error) = TokioIo::new(connection).shutdown().await
    {
        tracing::debug!(%error, "a client did not wait for the end of its connection");
    }
}
