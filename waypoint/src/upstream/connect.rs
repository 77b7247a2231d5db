//! Making a connection to an endpoint, through a tunnel where it has one.

use std::time::Duration;

use ambit_hbone::{Authority, ConnectRequest, OpenError};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{ConnectError, Lease, Place, Sender, Upstream, Version};
use crate::endpoint::Endpoint;
use crate::network::Network;
use crate::proxy::Proxy;
use crate::tunnels::dial_options;

/// Receive windows of an HTTP/2 connection to an endpoint, and of each stream in it: what waits for a slow client.
const WINDOW: u32 = 1024 * 1024;
const STREAM_WINDOW: u32 = 256 * 1024;
/// Largest head of a response, as Envoy takes it.
const HEAD: usize = 60 * 1024;
const HEADERS: usize = 100;

/// Bytes to an endpoint. `request` says on the CONNECT for whom.
///
/// # Errors
/// It cannot be reached within `patience`.
pub async fn open<N: Network>(
    proxy: &Proxy<N>,
    endpoint: &Endpoint,
    request: impl FnOnce(Authority) -> ConnectRequest,
    patience: Duration,
) -> Result<Upstream<N::Stream>, ConnectError> {
    let opening = async {
        match &endpoint.tunnel {
            Some(key) => {
                let authority = Authority::address(endpoint.address).map_err(OpenError::from)?;
                proxy.rotation.follow(key.source(), &proxy.certificates, &proxy.tunnels);
                let (stream, _head) = proxy.tunnels.open(key, request(authority)).await?;
                Ok(Upstream::Tunnel(stream))
            }
            None => {
                let options = dial_options(&proxy.settings);
                Ok(Upstream::Plain(proxy.network.dial(&options, endpoint.address).await?))
            }
        }
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

/// A connection for a request to the endpoint: one that is kept, or a new one.
///
/// # Errors
/// No new one could be made.
pub async fn lease<N: Network>(
    proxy: &Proxy<N>,
    endpoint: &Endpoint,
    version: Version,
    fresh: bool,
    request: impl FnOnce(Authority) -> ConnectRequest,
    patience: Duration,
) -> Result<Lease, ConnectError> {
    let place = Place { address: endpoint.address, tunnel: endpoint.tunnel.clone(), version };
    if !fresh && let Some(lease) = proxy.upstreams.take(&place) {
        return Ok(lease);
    }
    let stream = open(proxy, endpoint, request, patience).await?;
    let sender = handshake::<N>(stream, version).await?;
    Ok(proxy.upstreams.add(place, sender))
}
