//! One fetch: an address checked after it was resolved and dialled as it was checked, no redirects, bounds on all.

use std::net::SocketAddr;
use std::time::Duration;

use ambit_identity::{Provider, RootCa, web};
use ambit_model::Text;
use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::address::refusal;
use super::set::{discovered, published};
use super::{KeySource, Permissions};

/// Longest answer that is read, in bytes.
const LONGEST: usize = 256 << 10;
/// Most addresses of a host that are tried.
const MOST_ADDRESSES: usize = 4;

/// Why nothing was fetched, in one line.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// No address to dial.
    #[error("{0:?} is no address; correct it")]
    Uri(String),
    /// Without TLS.
    #[error("it is fetched without TLS, which --jwks-allow-http permits")]
    Plain,
    /// Nobody has the name.
    #[error("its host cannot be resolved: {0}")]
    Resolve(std::io::Error),
    /// Not dialled.
    #[error("its host is at {address}: {reason}; --jwks-allow-network permits it")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: &'static str,
    },
    /// No connection.
    #[error("it cannot be reached: {0}")]
    Connect(std::io::Error),
    /// No trust.
    #[error(transparent)]
    Tls(#[from] web::WebError),
    /// No HTTP.
    #[error("its answer cannot be read: {0}")]
    Http(String),
    /// Elsewhere, or nowhere.
    #[error("it answers {0}, where 200 is expected and redirects are not followed")]
    Status(StatusCode),
    /// Something else.
    #[error("{0}")]
    Content(String),
    /// Too slow.
    #[error("it takes longer than {0:?}")]
    Timeout(Duration),
}

/// The keys of a source, within `longest`.
pub(super) async fn fetch(
    source: &KeySource,
    longest: Duration,
    permissions: &Permissions,
    roots: &RootCa,
) -> Result<Text, FetchError> {
    let fetching = async {
        let uri = match source {
            KeySource::Uri(uri) => uri.to_string(),
            KeySource::Issuer(issuer) => {
                let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let document = get(&document, permissions, roots).await?;
                discovered(&document, issuer).map_err(FetchError::Content)?
            }
        };
        let set = get(&uri, permissions, roots).await?;
        published(&set).map_err(|why| FetchError::Content(format!("what it answers is no key set: {why}")))
    };
    timeout(longest, fetching).await.unwrap_or(Err(FetchError::Timeout(longest)))
}

async fn get(address: &str, permissions: &Permissions, roots: &RootCa) -> Result<Bytes, FetchError> {
    let wrong = || FetchError::Uri(address.chars().take(200).collect());
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    let secure = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP && permissions.http => false,
        Some(scheme) if *scheme == Scheme::HTTP => return Err(FetchError::Plain),
        _ => return Err(wrong()),
    };
    let authority =
        uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = connect(host, port, permissions).await?;
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "ambit-controller")
        .body(Empty::new())
        .map_err(|_| wrong())?;
    if secure {
        let stream = web::connect(stream, host, roots, Provider::default()).await?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    }
}

/// Dials what was checked: the name is not resolved again. Of a host with several addresses those count that may be
/// dialled.
async fn connect(host: &str, port: u16, permissions: &Permissions) -> Result<TcpStream, FetchError> {
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await.map_err(FetchError::Resolve)?.collect();
    let mut failure = None;
    let mut tried = 0;
    for address in addresses {
        if let Some(reason) = refusal(address.ip(), &permissions.networks) {
            failure.get_or_insert(FetchError::Refused { address, reason });
            continue;
        }
        tried += 1;
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(FetchError::Connect(error)),
        }
        if tried == MOST_ADDRESSES {
            break;
        }
    }
    Err(failure.unwrap_or_else(|| FetchError::Resolve(std::io::ErrorKind::NotFound.into())))
}

async fn exchange<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: IO,
    request: Request<Empty<Bytes>>,
) -> Result<Bytes, FetchError> {
    let failed = |error: hyper::Error| FetchError::Http(error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
    // Ends with this function, whatever the server does.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), LONGEST).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| FetchError::Http(error.to_string()))
}
