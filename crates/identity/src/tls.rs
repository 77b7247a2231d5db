//! Mutual TLS 1.3 between workloads, over any byte stream.

#[cfg(test)]
mod differential;
mod error;
mod library;
mod own;
mod read_ahead;
#[cfg(test)]
mod resumption;
mod scratch;
mod stream;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ambit_model::Identity;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::san::identity_of;
use crate::{Certificate, ExpectedPeers};

pub(crate) use error::tls_error;
pub use error::{AcceptError, ConnectError, Fault, HandshakeError, is_tls_refusal};
pub(crate) use read_ahead::ReadAhead;
use stream::negotiated;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Options {
    /// The record layer.
    pub records: Layer,
    /// Whether two ends that have met before may spare the certificates: the key of the earlier connection, mixed with
    /// a new key exchange, vouches for both. Only as long as neither's certificate and trust bundle were replaced, and
    /// only while the other's certificate would still be accepted; never with data in the first flight.
    pub resumption: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { records: Layer::default(), resumption: true }
    }
}

/// The server's side of a mesh connection. The client must prove an identity of our own trust domain, which is
/// returned.
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
    let sessions = certificate.sessions();
    let config = sessions
        .server(options.resumption)
        .map_err(|error| HandshakeError::Configuration(error.to_string()))?;
    let again = |chain: &[CertificateDer<'_>]| sessions.verify_client(chain, UnixTime::now());
    match options.records {
        Layer::Own => {
            let established = within_limit(own::accept(&mut io, config)).await?;
            let peer = peer_identity(established.peer.as_deref(), established.handshake(), &again)?;
            Ok((own_stream(io, established)?, peer))
        }
        Layer::Library => {
            let accept = TlsAcceptor::from(config).accept(ReadAhead::new(io));
            let stream = within_limit(accept).await?;
            let session = stream.get_ref().1;
            let peer = peer_identity(session.peer_certificates(), negotiated(session).handshake, &again)?;
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
    let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    connect_with(Options::default(), anywhere, io, certificate, expected).await
}

/// [`connect`] with other options than the default ones. `address` is whom we dial: a connection is resumed only where
/// an earlier one went. It is never sent.
pub async fn connect_with<IO>(
    options: Options,
    address: IpAddr,
    mut io: IO,
    certificate: &Certificate,
    expected: &ExpectedPeers,
) -> Result<(TlsStream<IO>, Identity), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let sessions = certificate.sessions();
    let config = sessions
        .client(expected, options.resumption)
        .map_err(|error| HandshakeError::Configuration(error.to_string()))?;
    let name = ServerName::from(address);
    let again = |chain: &[CertificateDer<'_>]| sessions.verify_server(expected, chain, UnixTime::now());
    match options.records {
        Layer::Own => {
            let established = within_limit(own::connect(&mut io, config, name)).await?;
            let peer = peer_identity(established.peer.as_deref(), established.handshake(), &again)?;
            Ok((own_stream(io, established)?, peer))
        }
        Layer::Library => {
            let connect = TlsConnector::from(config).connect(name, ReadAhead::new(io));
            let stream = within_limit(connect).await?;
            let session = stream.get_ref().1;
            let peer = peer_identity(session.peer_certificates(), negotiated(session).handshake, &again)?;
            Ok((TlsStream::library(stream.into()), peer))
        }
    }
}

fn own_stream<IO>(io: IO, established: own::Established) -> Result<TlsStream<IO>, HandshakeError> {
    TlsStream::own(io, established).map_err(|error| HandshakeError::Configuration(error.to_string()))
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

/// Whom the peer's chain proves. rustls has verified the chain of a full handshake; that of a resumed one is from the
/// past, and `again` judges it anew, for time passes.
fn peer_identity(
    chain: Option<&[CertificateDer<'_>]>,
    handshake: Handshake,
    again: &dyn Fn(&[CertificateDer<'_>]) -> Result<(), rustls::Error>,
) -> Result<Identity, HandshakeError> {
    let chain = chain.unwrap_or_default();
    let leaf = chain.first().ok_or(HandshakeError::NoCertificate)?;
    if handshake == Handshake::Resumed {
        again(chain).map_err(HandshakeError::from_tls)?;
    }
    identity_of(leaf).map_err(|refusal| HandshakeError::Peer(refusal.into()))
}
