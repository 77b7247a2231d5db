//! The canonical request: one form of path, host and headers for every stage, or a refusal.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::l7::mesh::Normalization;
use http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use super::authority::Authority;
use super::client::{Client, Destination, Token};
use super::framing;
use super::path::{InvalidPath, normalize};

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// No TLS between the client and here (a tunnel is none).
    Http,
    /// TLS that ended here.
    Https,
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL need not name.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A request as it was read.
#[derive(Debug)]
pub struct Raw<'a> {
    /// Method.
    pub method: Method,
    /// Target: origin form and `*` on HTTP/1, absolute form anywhere. Its fragment is gone.
    pub uri: &'a Uri,
    /// Version.
    pub version: Version,
    /// Headers.
    pub headers: HeaderMap,
    /// Whether TLS ended here.
    pub scheme: Scheme,
}

/// A request as every stage sees it. Made by [`Request::new`] only.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method; its letters are upper case.
    pub method: Method,
    /// Scheme.
    pub scheme: Scheme,
    /// Version that the client speaks.
    pub version: Version,
    /// Headers, without `host`; cookies in one line.
    pub headers: HeaderMap,
    /// Who asks.
    pub client: Arc<Client>,
    /// What was dialled.
    pub destination: Arc<Destination>,
    /// Where the request was sent from, by forwarding headers that are trusted: the client's address unless set.
    pub remote_ip: IpAddr,
    /// A validated token; `None` until authentication sets it.
    pub token: Option<Token>,
    authority: Authority,
    path: String,
    query: Option<String>,
}

/// Why a request is answered here, before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The path.
    #[error("{0}")]
    Path(#[from] InvalidPath),
    /// Methods are written in upper case.
    #[error("the method has letters that are not upper case")]
    Method,
    /// Neither `:authority` nor Host.
    #[error("the request names no host")]
    NoHost,
    /// More than one Host.
    #[error("the request has several Host headers")]
    SeveralHosts,
    /// The host cannot be one.
    #[error("the request's host is malformed")]
    InvalidHost,
    /// Target and Host name different hosts.
    #[error("the request's target and its Host header differ")]
    HostsDiffer,
    /// Content-Length twice, malformed, or beside Transfer-Encoding.
    #[error("the length of the request's body is ambiguous")]
    TwoLengths,
    /// A Transfer-Encoding other than `chunked`.
    #[error("the request's Transfer-Encoding is not `chunked` alone")]
    TransferCoding,
    /// A header of HTTP/1 connections on HTTP/2.
    #[error("an HTTP/2 request has a header of HTTP/1 connections")]
    ConnectionHeader,
    /// A target with a scheme that is neither `http` nor `https`.
    #[error("the request's scheme is not http or https")]
    Scheme,
    /// `CONNECT host:port`.
    #[error("CONNECT is not offered here")]
    Connect,
}

impl Refusal {
    /// The status that answers the request.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Connect => StatusCode::FORBIDDEN,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl Request {
    /// The canonical form of a request.
    ///
    /// # Errors
    /// The request is malformed, or two implementations could read it differently.
    pub fn new(
        raw: Raw<'_>,
        level: Normalization,
        client: Arc<Client>,
        destination: Arc<Destination>,
    ) -> Result<Self, Refusal> {
        let Raw { method, uri, version, mut headers, scheme } = raw;
        if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(Refusal::Method);
        }
        framing::check(version, &headers)?;
        if uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
            return Err(Refusal::Scheme);
        }
        let authority = authority(uri, &headers)?;
        let Some(target) = uri.path_and_query() else { return Err(Refusal::Connect) };
        let path = match target.path() {
            "*" if method == Method::OPTIONS => "*".to_owned(),
            // `:path` without a path (RFC 9113 section 8.3.1); a URL may do without.
            _ if version >= Version::HTTP_2 && target.as_str().starts_with('?') => {
                return Err(InvalidPath::Relative.into());
            }
            path => normalize(path, level)?,
        };
        headers.remove(HOST);
        join_cookies(&mut headers);
        let query = target.query().map(str::to_owned);
        let remote_ip = client.ip;
        Ok(Self {
            method,
            scheme,
            version,
            headers,
            client,
            destination,
            remote_ip,
            token: None,
            authority,
            path,
            query,
        })
    }

    /// What policies for connections look at ([`super::PolicySet::compile_streams`]): a request that asks nothing.
    pub fn of_stream(client: Arc<Client>, destination: Arc<Destination>) -> Self {
        Self {
            method: Method::CONNECT,
            scheme: Scheme::Http,
            version: Version::HTTP_10,
            headers: HeaderMap::new(),
            remote_ip: client.ip,
            client,
            destination,
            token: None,
            authority: Authority::nobody(),
            path: String::new(),
            query: None,
        }
    }

    /// Host and port as the client sent them, made equal.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The path, with neither query nor fragment.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as the client sent it, without `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Keeps only these pairs of the query, each as the client sent it.
    pub(super) fn retain_query(&mut self, keep: impl Fn(&str) -> bool) {
        let Some(query) = &self.query else { return };
        if !query.split('&').all(&keep) {
            let kept: Vec<&str> = query.split('&').filter(|pair| keep(pair)).collect();
            self.query = Some(kept.join("&")).filter(|kept| !kept.is_empty());
        }
    }

    /// Keeps only the cookies of these names.
    pub(super) fn retain_cookies(&mut self, keep: impl Fn(&str) -> bool) {
        let Some(line) = self.headers.get(COOKIE).and_then(|line| line.to_str().ok()) else { return };
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().trim().to_owned();
        if line.split(';').all(|pair| keep(&name(pair))) {
            return;
        }
        let kept: Vec<&str> = line.split(';').map(str::trim).filter(|pair| keep(&name(pair))).collect();
        match HeaderValue::try_from(kept.join("; ")) {
            Ok(line) if !kept.is_empty() => drop(self.headers.insert(COOKIE, line)),
            _ => drop(self.headers.remove(COOKIE)),
        }
    }

    /// Whether it is a gRPC call: errors are answered in gRPC's way. gRPC-Web is not.
    pub fn is_grpc(&self) -> bool {
        let Some(kind) = self.headers.get(CONTENT_TYPE) else { return false };
        match kind.as_bytes().strip_prefix(b"application/grpc") {
            Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
            None => false,
        }
    }
}

/// The target's host goes before the Host header, and they must agree.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let parse = |text: &str| Authority::parse(text).ok_or(Refusal::InvalidHost);
    let named = match headers.get(HOST) {
        Some(value) => Some(parse(value.to_str().map_err(|_| Refusal::InvalidHost)?)?),
        None => None,
    };
    let Some(target) = uri.authority() else { return named.ok_or(Refusal::NoHost) };
    let target = parse(target.as_str())?;
    match named {
        Some(named) if named != target => Err(Refusal::HostsDiffer),
        _ => Ok(target),
    }
}

/// HTTP/2 clients may send a line for each cookie; applications on HTTP/1 read one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests;
