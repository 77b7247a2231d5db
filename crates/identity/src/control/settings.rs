//! Where the controller is, how it is verified, and what each call to it carries.

use std::path::{Path, PathBuf};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};
use rustls_pki_types::ServerName;
use zeroize::Zeroizing;

use super::{ControlError, RootCa};
use crate::Provider;

/// Longest token read; a Kubernetes token has about 1 KiB.
const LONGEST_TOKEN: usize = 16 * 1024;

/// How to reach a controller. The environment variables that Istio's ztunnel has for this map one to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSettings {
    /// `https://HOST:PORT` or `HOST:PORT`; plaintext does not exist. An IPv6 address stands in brackets.
    pub address: String,
    /// The name that the controller's certificate must carry, when it is not the host of the address
    /// (Istio `ALT_CA_HOSTNAME`, `ALT_XDS_HOSTNAME`).
    pub verify_name: Option<String>,
    /// The roots that its certificate must chain to.
    pub roots: RootCa,
    /// The token file, read at every call because the kubelet replaces it. `None` sends no credentials.
    pub token: Option<PathBuf>,
    /// Sent as metadata `clusterid`.
    pub cluster_id: Option<String>,
    /// Extra metadata, names in lower case (Istio `CA_HEADER_*`, `XDS_HEADER_*`).
    pub headers: Vec<(String, String)>,
    /// The crypto provider.
    pub provider: Provider,
}

impl ControlSettings {
    /// Settings with `address` and `roots`, no token, no extra headers, and the default provider.
    pub fn new(address: impl Into<String>, roots: RootCa) -> Self {
        Self {
            address: address.into(),
            verify_name: None,
            roots,
            token: None,
            cluster_id: None,
            headers: Vec::new(),
            provider: Provider::default(),
        }
    }
}

/// Settings that have been understood.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    address: String,
    authority: Authority,
    pub(super) name: ServerName<'static>,
    pub(super) roots: RootCa,
    pub(super) provider: Provider,
    token: Option<PathBuf>,
    headers: HeaderMap,
}

impl Target {
    pub(super) fn new(settings: ControlSettings) -> Result<Self, ControlError> {
        let refuse = |reason| ControlError::Address { address: settings.address.clone(), reason };
        let bare = match settings.address.split_once("://") {
            Some(("https", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(refuse("only https is spoken")),
            None => settings.address.as_str(),
        };
        let authority: Authority = bare.parse().map_err(|_| refuse("it is not HOST:PORT"))?;
        let port =
            authority.port_u16().filter(|port| *port != 0).ok_or_else(|| refuse("the port is missing"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(refuse("it is not HOST:PORT"));
        }
        let name = settings.verify_name.clone().unwrap_or_else(|| host.clone());
        let name = ServerName::try_from(name)
            .map_err(|_| refuse("the name to verify is neither a DNS name nor an IP address"))?;
        Ok(Self {
            address: authority.as_str().to_owned(),
            host,
            port,
            authority,
            name,
            headers: headers(settings.cluster_id, settings.headers)?,
            roots: settings.roots,
            provider: settings.provider,
            token: settings.token,
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Makes the request's URI absolute and adds the fixed metadata.
    pub(super) fn complete<B>(&self, request: &mut Request<B>) -> Result<(), ControlError> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| ControlError::Address {
            address: self.address.clone(),
            reason: "it makes no valid URI",
        })?;
        request.headers_mut().extend(self.headers.clone());
        Ok(())
    }

    /// The token as it is in the file now, without surrounding white space.
    pub(super) fn read_token(&self) -> Result<Option<Zeroizing<String>>, ControlError> {
        let Some(path) = &self.token else { return Ok(None) };
        let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
            token_error(path, &format!("{error}; create one for this node and put it there"))
        })?;
        match text.trim() {
            "" => Err(token_error(path, "the file is empty; create a token for this node and put it there")),
            token if token.len() > LONGEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(self.token_malformed())
            }
            token => Ok(Some(Zeroizing::new(token.to_owned()))),
        }
    }

    pub(super) fn token_malformed(&self) -> ControlError {
        let path = self.token.as_deref().unwrap_or(Path::new(""));
        token_error(path, "it does not hold one token of printable ASCII; create a new one for this node")
    }

    pub(super) fn broken(&self, error: &hyper::Error) -> ControlError {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            reason.push_str(": ");
            reason.push_str(&inner.to_string());
            source = inner.source();
        }
        ControlError::Broken { address: self.address.clone(), reason }
    }
}

fn token_error(path: &Path, reason: &str) -> ControlError {
    ControlError::Token { path: path.to_owned(), reason: reason.to_owned() }
}

fn headers(cluster_id: Option<String>, extra: Vec<(String, String)>) -> Result<HeaderMap, ControlError> {
    let cluster_id = cluster_id.map(|id| ("clusterid".to_owned(), id));
    let mut headers = HeaderMap::new();
    for (name, value) in cluster_id.into_iter().chain(extra) {
        let refuse = || ControlError::Header(name.clone());
        let value = HeaderValue::from_str(&value).map_err(|_| refuse())?;
        headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?, value);
    }
    Ok(headers)
}
