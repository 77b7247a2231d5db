//! One connection to the controller: TCP, TLS with the server's name verified, HTTP/2 with keepalive.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use super::ControlError;
use super::settings::Target;
use crate::certificate::session::ALPN_H2;
use crate::tls::{HANDSHAKE_TIMEOUT, HandshakeError, ReadAhead, TlsStream, tls_error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// TCP notices a dead machine under an idle connection: 3 probes of 10 s after 60 s.
const TCP_IDLE: Duration = Duration::from_secs(60);
const TCP_INTERVAL: Duration = Duration::from_secs(10);
const TCP_PROBES: u32 = 3;
/// HTTP/2 notices a hung process.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A full snapshot of a large mesh arrives at once.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Connects, and spawns the connection's driver on the current runtime.
pub(super) async fn connect(target: &Target) -> Result<SendRequest<Body>, ControlError> {
    let config = client_config(target)?;
    let io = tcp(target).await?;
    let stream = tls(target, io, config).await?;
    let timeout_of = || ControlError::Timeout { address: target.address().to_owned(), stage: "HTTP/2 start" };
    let handshake = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(TokioIo::new(stream));
    let (sender, driver) = timeout(CONNECT_TIMEOUT, handshake)
        .await
        .map_err(|_| timeout_of())?
        .map_err(|error| target.broken(&error))?;
    let address = target.address().to_owned();
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%address, %error, "the connection to the controller ended");
        }
    });
    Ok(sender)
}

async fn tcp(target: &Target) -> Result<TcpStream, ControlError> {
    let failed = |source| ControlError::Connect { address: target.address().to_owned(), source };
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((target.host.as_str(), target.port)))
        .await
        .map_err(|_| ControlError::Timeout { address: target.address().to_owned(), stage: "TCP connect" })?
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let keepalive =
        TcpKeepalive::new().with_time(TCP_IDLE).with_interval(TCP_INTERVAL).with_retries(TCP_PROBES);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(failed)?;
    Ok(stream)
}

async fn tls(
    target: &Target,
    io: TcpStream,
    config: ClientConfig,
) -> Result<TlsStream<TcpStream>, ControlError> {
    let address = || target.address().to_owned();
    let handshake = TlsConnector::from(Arc::new(config)).connect(target.name.clone(), ReadAhead::new(io));
    let stream = timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .map_err(|_| ControlError::Timeout { address: address(), stage: "TLS handshake" })?
        .map_err(|error| refused(target, error))?;
    let stream = TlsStream::library(stream.into());
    if !stream.negotiated().http2 {
        let reason = "it does not speak HTTP/2; check that the port is the controller's".to_owned();
        return Err(ControlError::Tls { address: address(), reason });
    }
    Ok(stream)
}

fn client_config(target: &Target) -> Result<ClientConfig, ControlError> {
    let refuse = |reason: String| ControlError::Tls { address: target.address().to_owned(), reason };
    let roots = Arc::new(target.roots.load()?);
    let crypto = target.provider.crypto();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, crypto.clone())
        .build()
        .map_err(|error| refuse(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| refuse(error.to_string()))?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn refused(target: &Target, error: io::Error) -> ControlError {
    let address = target.address().to_owned();
    match tls_error(&error) {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => ControlError::WrongRoot { address, roots: target.roots.to_string() },
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ControlError::WrongName { address, name: target.name.to_str().into_owned() },
        _ => ControlError::Tls { address, reason: HandshakeError::from_io(error).to_string() },
    }
}
