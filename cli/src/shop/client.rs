//! How does a program of the shop call another: by name, one connection a call, and how is it told?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::words::{Call, News, Teller, request_id};

/// Longest wait for a connection, and again for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Not a URL that can be called.
    #[error("{0:?} is not a URL such as http://cart/items")]
    Url(String),
    /// The name is unknown.
    #[error("{0} is not a known name: look into /etc/hosts")]
    Name(String),
    /// No connection.
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    /// Nothing within the patience.
    #[error("no {0} within 5 s")]
    Late(&'static str),
    /// The connection ended before the answer did.
    #[error("{}", ended(.0))]
    Ended(hyper::Error),
}

/// A connection to one server.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Its own end.
    pub(crate) local: SocketAddr,
}

/// A connection that is about to be made. Its own end is known already: a refusal may come before anything else.
#[derive(Debug)]
pub(crate) struct Dialling {
    socket: TcpSocket,
    local: SocketAddr,
    remote: SocketAddr,
}

/// What a request says about itself, besides what it asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signature(HeaderMap);

/// By which proxies' logs tell which requests belong together.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The calling side of a program.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The program's name.
    pub(crate) name: Arc<str>,
    /// The word that every body carries.
    pub(crate) marker: Arc<str>,
    /// Where news go.
    pub(crate) teller: Teller,
}

/// Where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Host as written, brackets of IPv6 left out.
    pub(crate) host: String,
    port: u16,
    authority: String,
    /// Path and query.
    pub(crate) path: String,
}

impl Client {
    /// The calling side of the program `name`.
    pub(crate) fn new(name: &str, marker: &str, teller: Teller) -> Self {
        Self { name: name.into(), marker: marker.into(), teller }
    }

    /// Makes one request over a connection of its own and tells about it. The body of the answer, when it is a success.
    pub(crate) async fn call(
        &self,
        number: Option<u64>,
        method: &str,
        url: &str,
        signed: &Signature,
    ) -> Option<Bytes> {
        let start = Instant::now();
        let mut call = Call {
            number,
            from: self.name.to_string(),
            to: url.to_owned(),
            request: method.to_owned(),
            local: None,
            remote: None,
            outcome: Ok(0),
            bytes: 0,
            microseconds: 0,
        };
        let answered = self.attempt(method, url, signed, &mut call).await;
        call.microseconds = start.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        let body = match answered {
            Ok((status, body)) => {
                call.outcome = Ok(status.as_u16());
                call.bytes = body.len();
                status.is_success().then_some(body)
            }
            Err(error) => {
                call.outcome = Err(error.to_string());
                None
            }
        };
        self.teller.tell(&News::Call(call));
        body
    }

    async fn attempt(
        &self,
        method: &str,
        url: &str,
        signed: &Signature,
        call: &mut Call,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let target = Target::parse(url)?;
        call.to.clone_from(&target.host);
        call.request = format!("{method} {}", target.path);
        let dialling = Dialling::prepare(&target).await?;
        (call.local, call.remote) = (Some(dialling.local), Some(dialling.remote));
        let mut connection = dialling.connect().await?;
        let mut request = self.request(method, &target, false);
        request.headers_mut().extend(signed.0.clone());
        let response = connection.request(request).await?;
        let status = response.status();
        let body = timeout(PATIENCE, response.into_body().collect()).await;
        let body = body.map_err(|_| CallError::Late("whole answer"))?.map_err(CallError::Ended)?;
        Ok((status, body.to_bytes()))
    }

    /// A request; a POST brings an order, with the marker in it.
    pub(crate) fn request(&self, method: &str, target: &Target, keep: bool) -> Request<Full<Bytes>> {
        let post = method.eq_ignore_ascii_case("POST");
        let body = match post {
            true => Bytes::from(format!("{{\"order\":\"2 teapots\",\"marker\":\"{}\"}}\n", self.marker)),
            false => Bytes::new(),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = if post { Method::POST } else { Method::GET };
        // Parsed as part of a URL already.
        *request.uri_mut() = target.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = target.authority.parse() {
            headers.insert(HOST, host);
        }
        if post {
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        }
        if !keep {
            headers.insert(CONNECTION, http::HeaderValue::from_static("close"));
        }
        if let Ok(marker) = self.marker.parse() {
            headers.insert("shop-marker", marker);
        }
        request
    }
}

impl Signature {
    /// Of the order `number` that the program `name` got.
    pub(crate) fn ordered(name: &str, number: u64, token: Option<&str>) -> Self {
        let id = request_id(name, number).parse().ok();
        let bearer = token.and_then(|token| format!("Bearer {token}").parse().ok());
        let headers = [(REQUEST_ID, id), (AUTHORIZATION, bearer)];
        Self(
            headers
                .into_iter()
                .filter_map(|(name, value): (_, Option<HeaderValue>)| Some((name, value?)))
                .collect(),
        )
    }

    /// Of a request that is made in order to answer one with these headers.
    pub(crate) fn passed_on(headers: &HeaderMap) -> Self {
        Self(headers.get(REQUEST_ID).map(|id| (REQUEST_ID, id.clone())).into_iter().collect())
    }
}

impl Connection {
    /// Connects to a target.
    pub(crate) async fn open(target: &Target) -> Result<Self, CallError> {
        Dialling::prepare(target).await?.connect().await
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn request(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, CallError> {
        self.sender.ready().await.map_err(CallError::Ended)?;
        let answer = timeout(PATIENCE, self.sender.send_request(request)).await;
        answer.map_err(|_| CallError::Late("answer"))?.map_err(CallError::Ended)
    }
}

impl Dialling {
    /// Chooses the first address of the target's name, of IPv4 where it has one, as most programs in clusters do.
    pub(crate) async fn prepare(target: &Target) -> Result<Self, CallError> {
        let unknown = || CallError::Name(target.host.clone());
        let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        let remote = found.map_err(|_| unknown())?.min_by_key(SocketAddr::is_ipv6).ok_or_else(unknown)?;
        let bound = || -> std::io::Result<(TcpSocket, SocketAddr)> {
            let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(source_of(remote)?, 0))?;
            let local = socket.local_addr()?;
            Ok((socket, local))
        };
        let (socket, local) = bound().map_err(|error| CallError::Connect(remote, error))?;
        Ok(Self { socket, local, remote })
    }

    async fn connect(self) -> Result<Connection, CallError> {
        let Self { socket, local, remote } = self;
        let stream = timeout(PATIENCE, socket.connect(remote)).await;
        let stream = stream
            .map_err(|_| CallError::Late("connection"))?
            .map_err(|error| CallError::Connect(remote, error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(CallError::Ended)?;
        // Its error comes back through the request as well.
        tokio::spawn(connection);
        Ok(Connection { sender, local })
    }
}

/// The address from which the system reaches `remote`. Sends nothing.
fn source_of(remote: SocketAddr) -> std::io::Result<IpAddr> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    socket.local_addr().map(|local| local.ip())
}

impl Target {
    /// Where `url` leads; the port is 80 unless it says otherwise.
    pub(crate) fn parse(url: &str) -> Result<Self, CallError> {
        let wrong = || CallError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(80), authority: authority.to_string(), path })
    }
}

/// What the end of a connection means to a reader who does not know the library.
fn ended(error: &hyper::Error) -> String {
    use std::error::Error;
    let reset = error
        .source()
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::ConnectionReset);
    match error {
        _ if reset => "connection reset".to_owned(),
        error if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
            "connection closed without an answer".to_owned()
        }
        other => format!("connection failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_somewhere() {
        let target = Target::parse("http://[fd96::c]:81/items?a=b").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("fd96::c", 81, "/items?a=b"));
        let target = Target::parse("http://cart").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("cart", 80, "/"));
        for bad in ["cart/items", "https://cart/", "", "http:///x"] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
    }
}
