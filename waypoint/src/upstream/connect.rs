//! Making a connection to an endpoint, through a tunnel where it has one.

use ambit_hbone::{Authority, ConnectRequest, OpenError};
use ambit_identity::application::Inside;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::gate::Seat;
use super::shelf::Kept;
use super::{Bare, ConnectError, Keep, Lease, Place, Sender, Upstream, Version};
use crate::destinations::Current;
use crate::endpoint::Endpoint;
use crate::network::Network;
use crate::proxy::Proxy;
use crate::tunnels::dial_options;
use ambit_transport::dial::Keepalive;

/// Receive windows of an HTTP/2 connection to an endpoint, and of each stream in it: what waits for a slow client.
const WINDOW: u32 = 1024 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
/// Largest head of a response, as Envoy takes it.
const HEAD: usize = 60 * 1024;
const HEADERS: usize = 100;

/// Bytes to an endpoint. `request` says on the CONNECT for whom; `host` and `inside` are for TLS to the application.
///
/// # Errors
/// It cannot be reached in the time that its rules give.
pub async fn open<N: Network>(
    proxy: &Proxy<N>,
    current: &Current,
    endpoint: &Endpoint,
    inside: Inside,
    host: &str,
    request: impl FnOnce(Authority) -> ConnectRequest,
) -> Result<Upstream<N::Stream>, ConnectError> {
    let patience = current.connect_patience();
    let opening = async {
        let bare = match &endpoint.tunnel {
            Some(key) => {
                let authority = Authority::address(endpoint.address).map_err(OpenError::from)?;
                proxy.rotation.follow(key.source(), &proxy.certificates, &proxy.tunnels);
                let (stream, _head) = proxy.tunnels.open(key, request(authority)).await?;
                Bare::Tunnel(stream)
            }
            None => {
                let mut options = dial_options(&proxy.settings);
                if let Some((idle, interval, probes)) =
                    current.policy().connections.and_then(|pool| pool.keepalive)
                {
                    options.keepalive = Some(Keepalive { idle, interval, probes });
                }
                Bare::Plain(proxy.network.dial(&options, endpoint.address).await?)
            }
        };
        Ok(match current.tls() {
            Some(tls) => Upstream::Secured(Box::new(tls.connect(bare, host, inside).await?)),
            None => Upstream::Bare(bare),
        })
    };
    // Boxed: opening is large and short.
    match tokio::time::timeout(patience, Box::pin(opening)).await {
        Ok(opened) => opened,
        Err(_) => Err(ConnectError::TimedOut(patience)),
    }
}

/// A connection of the place's version over these bytes, run by a task of its own.
///
/// # Errors
/// The endpoint does not speak it.
pub(super) async fn handshake<N: Network>(
    stream: Upstream<N::Stream>,
    version: Version,
) -> Result<Sender, hyper::Error> {
    let io = TokioIo::new(stream);
    match version {
        Version::Http1 => {
            let mut builder = http1::Builder::new();
            builder.max_headers(HEADERS).max_header_size(HEAD);
            let (sender, connection) = builder.handshake(io).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "a connection to an endpoint ended");
                }
            });
            Ok(Sender::Http1(sender))
        }
        Version::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_header_list_size(HEAD as u32);
            let (sender, connection) = builder.handshake(io).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to an endpoint ended");
                }
            });
            Ok(Sender::Http2(sender, std::sync::Arc::new(())))
        }
    }
}

/// A connection for a request to the endpoint: one that is kept, or a new one, or one that another request gives back.
///
/// # Errors
/// No new one could be made, or too many requests wait already.
pub async fn lease<N: Network>(
    proxy: &Proxy<N>,
    current: &Current,
    endpoint: &Endpoint,
    version: Version,
    host: &str,
    fresh: bool,
    request: impl FnOnce(Authority) -> ConnectRequest,
) -> Result<Lease, ConnectError> {
    let (number, address, tunnel) = (current.number(), endpoint.address, endpoint.tunnel.clone());
    let by_host = current.tls().is_some_and(|tls| tls.follows_host());
    let place = Place { number, address, tunnel, version, server: by_host.then(|| host.into()) };
    let shelves = &proxy.upstreams;
    let keep = Keep::new(current.policy().connections.as_ref());
    if !fresh && let Some(lease) = shelves.take(&place, keep, false) {
        return Ok(lease);
    }
    let _pending = current.pending.take().ok_or(ConnectError::Overflow)?;
    let gate = shelves.gate(&place);
    if version == Version::Http2 {
        if !fresh && gate.is_soon(keep.streams) {
            gate.wait().await;
            if let Some(lease) = shelves.take(&place, keep, true) {
                return Ok(lease);
            }
        }
        let making = gate.making();
        let stream = open(proxy, current, endpoint, version.into(), host, request).await?;
        let sender = handshake::<N>(stream, version).await?;
        let lease = shelves.add(place, Kept::new(sender, keep, None));
        drop(making);
        return Ok(lease);
    }
    let seat = loop {
        match current.connections.take() {
            Some(permit) => break Seat::new(gate, Some(permit)),
            // Other workers have them all. One of its own lets this worker's requests end.
            None if gate.is_empty() => break Seat::new(gate, None),
            None => gate.wait().await,
        }
        if let Some(lease) = shelves.take(&place, keep, true) {
            return Ok(lease);
        }
    };
    let stream = open(proxy, current, endpoint, version.into(), host, request).await?;
    let sender = handshake::<N>(stream, version).await?;
    Ok(shelves.add(place, Kept::new(sender, keep, Some(seat))))
}

impl From<Version> for Inside {
    fn from(version: Version) -> Self {
        match version {
            Version::Http1 => Self::Http1,
            Version::Http2 => Self::Http2,
        }
    }
}
