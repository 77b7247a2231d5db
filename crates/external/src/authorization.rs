//! May a request pass, in the words of `envoy.service.auth.v3`? What is asked and what is answered.
//!
//! An answer that is not understood in full is none: whoever asked denies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use ambit_proto::envoy::auth::check_response::HttpResponse;
use ambit_proto::envoy::auth::{AttributeContext, CheckRequest, CheckResponse, attribute_context};
use ambit_proto::envoy::core::{self, Address, HeaderValueOption, SocketAddress};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use prost::Message;

use crate::grpc::{NotOne, frame, unframe};

/// Path of the one call that there is.
pub const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// A request that somebody is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// When it came.
    pub time: SystemTime,
    /// The client's address.
    pub client: SocketAddr,
    /// Who the client proved to be, `spiffe://...`.
    pub client_principal: Option<&'q str>,
    /// What was dialled.
    pub destination: Option<SocketAddr>,
    /// This proxy.
    pub own_principal: &'q str,
    /// `x-request-id`.
    pub id: &'q str,
    /// Method.
    pub method: &'q str,
    /// `http` or `https`.
    pub scheme: &'q str,
    /// Host and port.
    pub host: &'q str,
    /// Path and query.
    pub path: &'q str,
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: &'q str,
    /// Headers, without the host.
    pub headers: &'q HeaderMap,
    /// As much of the body as is told.
    pub body: Option<&'q [u8]>,
}

/// What becomes of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Another value beside those that there are.
    Append,
    /// This value where there is none.
    AddIfAbsent,
    /// This value and no other.
    Set,
    /// The same, where there is one.
    Replace,
}

/// A header to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderChange {
    /// Its name.
    pub name: HeaderName,
    /// The value.
    pub value: HeaderValue,
    /// What becomes of it.
    pub change: Change,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The request passes.
    Allow {
        /// Headers of the request, on its way on.
        request: Vec<HeaderChange>,
        /// Headers that are taken off it.
        remove: Vec<HeaderName>,
        /// Headers of its response.
        response: Vec<HeaderChange>,
    },
    /// It does not; the client is told this.
    Deny {
        /// 403 where nothing was said.
        status: StatusCode,
        /// Headers.
        headers: Vec<HeaderChange>,
        /// Body.
        body: String,
    },
}

/// Why an answer is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Not one message.
    #[error(transparent)]
    NotOne(#[from] NotOne),
    /// Not this message.
    #[error("the answer is no CheckResponse: {0}")]
    Malformed(String),
    /// It allows and denies at once.
    #[error("the answer's status and its response contradict each other")]
    Contradiction,
    /// A header that HTTP does not have, or what is to become of it.
    #[error("the answer changes header {0:?} in a way that is not understood")]
    Header(String),
    /// A status that HTTP does not have.
    #[error("the answer has status {0}, which is none of HTTP")]
    Status(i32),
    /// Changes to the query.
    #[error("the answer changes the query, which is not done here")]
    Query,
}

impl Question<'_> {
    /// The message that asks, framed.
    pub fn encode(&self) -> Bytes {
        let peer = |address: Option<SocketAddr>, principal: Option<&str>| attribute_context::Peer {
            address: address.map(address_of),
            principal: principal.unwrap_or_default().to_owned(),
            ..attribute_context::Peer::default()
        };
        let since = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = prost_types::Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
        };
        let text = self.body.map(std::str::from_utf8);
        let http = attribute_context::HttpRequest {
            id: self.id.to_owned(),
            method: self.method.to_owned(),
            headers: joined(self),
            path: self.path.to_owned(),
            host: self.host.to_owned(),
            scheme: self.scheme.to_owned(),
            size: self.body.map_or(-1, |body| i64::try_from(body.len()).unwrap_or(-1)),
            protocol: self.protocol.to_owned(),
            body: text.and_then(Result::ok).unwrap_or_default().to_owned(),
            // What is no text cannot be told as such.
            raw_body: match text {
                Some(Err(_)) => self.body.unwrap_or_default().to_vec(),
                _ => Vec::new(),
            },
            ..attribute_context::HttpRequest::default()
        };
        frame(&CheckRequest {
            attributes: Some(AttributeContext {
                source: Some(peer(Some(self.client), self.client_principal)),
                destination: Some(peer(self.destination, Some(self.own_principal))),
                request: Some(attribute_context::Request { time: Some(time), http: Some(http) }),
                ..AttributeContext::default()
            }),
        })
    }
}

fn address_of(address: SocketAddr) -> Address {
    let socket = SocketAddress {
        protocol: 0,
        address: address.ip().to_string(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(address.port().into())),
    };
    Address { address: Some(core::address::Address::SocketAddress(socket)) }
}

/// Headers as text, several values joined by commas, with HTTP/2's own names for the first line.
fn joined(question: &Question<'_>) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in question.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(name.as_str().to_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    let Question { method, path, host, scheme, .. } = question;
    for (name, value) in [(":method", method), (":path", path), (":authority", host), (":scheme", scheme)] {
        joined.insert(name.to_owned(), (*value).to_owned());
    }
    joined
}

impl Answer {
    /// Reads a framed answer.
    ///
    /// # Errors
    /// It is not understood in full.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoAnswer> {
        let response =
            CheckResponse::decode(unframe(bytes)?).map_err(|error| NoAnswer::Malformed(error.to_string()))?;
        let allowed = response.status.as_ref().map_or(0, |status| status.code) == 0;
        match (allowed, response.http_response) {
            (true, None) => Ok(Self::Allow { request: Vec::new(), remove: Vec::new(), response: Vec::new() }),
            (true, Some(HttpResponse::OkResponse(ok))) => {
                if !ok.query_parameters_to_set.is_empty() || !ok.query_parameters_to_remove.is_empty() {
                    return Err(NoAnswer::Query);
                }
                let name = |text: &String| name(text).ok_or_else(|| NoAnswer::Header(text.clone()));
                Ok(Self::Allow {
                    request: changes(&ok.headers)?,
                    remove: ok.headers_to_remove.iter().map(name).collect::<Result<_, _>>()?,
                    response: changes(&ok.response_headers_to_add)?,
                })
            }
            (false, None) => {
                Ok(Self::Deny { status: StatusCode::FORBIDDEN, headers: Vec::new(), body: String::new() })
            }
            (false, Some(HttpResponse::DeniedResponse(denied))) => {
                let code = denied.status.map_or(0, |status| status.code);
                let status = match code {
                    0 => Some(StatusCode::FORBIDDEN),
                    code => u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok()),
                };
                let status = status.filter(|status| (200..600).contains(&status.as_u16()));
                let status = status.ok_or(NoAnswer::Status(code))?;
                Ok(Self::Deny { status, headers: changes(&denied.headers)?, body: denied.body })
            }
            (true, Some(HttpResponse::DeniedResponse(_))) | (false, Some(HttpResponse::OkResponse(_))) => {
                Err(NoAnswer::Contradiction)
            }
        }
    }
}

/// A header's name; none of the first line's parts.
fn name(text: &str) -> Option<HeaderName> {
    HeaderName::try_from(text).ok()
}

fn changes(options: &[HeaderValueOption]) -> Result<Vec<HeaderChange>, NoAnswer> {
    options.iter().map(change).collect()
}

fn change(option: &HeaderValueOption) -> Result<HeaderChange, NoAnswer> {
    let header = option.header.as_ref().ok_or_else(|| NoAnswer::Header(String::new()))?;
    let refused = || NoAnswer::Header(header.key.clone());
    let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
    // In these messages a header replaces what there is unless something else is said.
    let change = match (option.append, option.append_action) {
        (Some(true), _) => Change::Append,
        (Some(false), _) | (None, 0 | 2) => Change::Set,
        (None, 1) => Change::AddIfAbsent,
        (None, 3) => Change::Replace,
        _ => return Err(refused()),
    };
    Ok(HeaderChange {
        name: name(&header.key).ok_or_else(refused)?,
        value: HeaderValue::from_bytes(value).map_err(|_| refused())?,
        change,
    })
}

impl HeaderChange {
    /// Changes headers.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let (name, value) = (self.name.clone(), self.value.clone());
        let present = headers.contains_key(&name);
        match self.change {
            Change::Append => drop(headers.append(name, value)),
            Change::AddIfAbsent if present => {}
            Change::Replace if !present => {}
            Change::AddIfAbsent | Change::Set | Change::Replace => drop(headers.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests;
