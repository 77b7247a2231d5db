//! Mutual TLS 1.3 between workloads, over any byte stream.

#[cfg(test)]
mod differential;
mod error;
mod library;
mod own;
mod read_ahead;
mod scratch;
mod stream;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ambit_model::Identity;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::san::identity_of;
use crate::{Certificate, ExpectedPeers};

pub(crate) use error::tls_error;
pub use error::{AcceptError, ConnectError, Fault, HandshakeError, is_tls_refusal};
pub(crate) use read_ahead::ReadAhead;
pub use stream::{Handshake, Negotiated, Received, TlsStream};

/// How long a handshake may take, from the first byte to the last; a peer that is slower is cut off.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Who makes and reads the records of a connection. Both speak the same TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layer {
    /// Our record layer, which works in place and in bulk.
    #[default]
    Own,
    /// rustls', the fallback.
    Library,
}

/// What is a matter of choice in a mesh connection. The default is the fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Options {
    /// The record layer.
    pub records: Layer,
}

/// The server's side of a mesh connection. The client must prove an identity of our own trust domain, which is
/// returned. No resumption: every handshake is a full one.
///
/// Takes at most [`HANDSHAKE_TIMEOUT`]; needs a tokio runtime with time.
pub async fn accept<IO>(io: IO, certificate: &Certificate) -> Result<(TlsStream<IO>, Identity), AcceptError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    accept_with(Options::default(), io, certificate).await
}

/// [`accept`] with other options than the default ones.
pub async fn accept_with<IO>(
    options: Options,
    mut io: IO,
    certificate: &Certificate,
) -> Result<(TlsStream<IO>, Identity), AcceptError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let config = certificate.server_config();
    match options.records {
        Layer::Own => {
            let established = within_limit(own::accept(&mut io, config)).await?;
            finish(io, established)
        }
        Layer::Library => {
            let accept = TlsAcceptor::from(config).accept(ReadAhead::new(io));
            let stream = within_limit(accept).await?;
            let peer = peer_identity(stream.get_ref().1.peer_certificates())?;
            Ok((TlsStream::library(stream.into()), peer))
        }
    }
}

/// The client's side of a mesh connection. The server must prove one of `expected`; which one is returned. No server
/// name is sent.
///
/// In TLS 1.3 the client is done first: a server that refuses our certificate says so only in answer to our first
/// bytes, so the first read may fail with an error that [`is_tls_refusal`] recognises.
///
/// Takes at most [`HANDSHAKE_TIMEOUT`]; needs a tokio runtime with time.
pub async fn connect<IO>(
    io: IO,
    certificate: &Certificate,
    expected: &ExpectedPeers,
) -> Result<(TlsStream<IO>, Identity), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    connect_with(Options::default(), io, certificate, expected).await
}

/// [`connect`] with other options than the default ones.
pub async fn connect_with<IO>(
    options: Options,
    mut io: IO,
    certificate: &Certificate,
    expected: &ExpectedPeers,
) -> Result<(TlsStream<IO>, Identity), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let config = certificate
        .client_config(expected)
        .map_err(|error| HandshakeError::Configuration(error.to_string()))?;
    let unnamed = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    match options.records {
        Layer::Own => {
            let established = within_limit(own::connect(&mut io, config, unnamed)).await?;
            finish(io, established)
        }
        Layer::Library => {
            let connect = TlsConnector::from(config).connect(unnamed, ReadAhead::new(io));
            let stream = within_limit(connect).await?;
            let peer = peer_identity(stream.get_ref().1.peer_certificates())?;
            Ok((TlsStream::library(stream.into()), peer))
        }
    }
}

fn finish<IO>(io: IO, established: own::Established) -> Result<(TlsStream<IO>, Identity), HandshakeError> {
    let peer = peer_identity(established.peer.as_deref())?;
    let stream =
        TlsStream::own(io, established).map_err(|error| HandshakeError::Configuration(error.to_string()))?;
    Ok((stream, peer))
}

/// Bounds a handshake in time and says whose fault its failure is.
pub(crate) async fn within_limit<T>(
    handshake: impl Future<Output = io::Result<T>>,
) -> Result<T, HandshakeError> {
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Err(_) => Err(HandshakeError::Timeout),
        Ok(Err(error)) => Err(HandshakeError::from_io(error)),
        Ok(Ok(stream)) => Ok(stream),
    }
}

fn peer_identity(certificates: Option<&[CertificateDer<'_>]>) -> Result<Identity, HandshakeError> {
    let leaf = certificates.and_then(<[_]>::first).ok_or(HandshakeError::NoCertificate)?;
    identity_of(leaf).map_err(|refusal| HandshakeError::Peer(refusal.into()))
}
