//! Who asks, what was dialled, and what a validated token says: the facts of a request that are not in the request.

use std::net::IpAddr;

use ambit_model::{Identity, Text};
use serde_json::{Map, Value};

/// The client of a connection. One value serves all requests of it.
#[derive(Debug, Clone)]
pub struct Client {
    /// Identity that the client's tunnel or TLS proved; `None` for plaintext.
    pub identity: Option<Identity>,
    /// The identity is of a trust domain that is neither the mesh's nor another name of it. It never gains by its
    /// namespace or service account: `shop` of another trust domain is not `shop`.
    pub foreign: bool,
    /// Address of the client's pod, canonical; at a gateway that of the TCP peer.
    pub ip: IpAddr,
    /// Labels of the client's workload, where it is known.
    pub labels: Vec<(Text, Text)>,
}

impl Client {
    /// A client without identity or labels.
    pub fn plaintext(ip: IpAddr) -> Self {
        Self { identity: None, foreign: false, ip, labels: Vec::new() }
    }

    /// The client's namespace in this mesh: `None` for plaintext and for another trust domain's identities.
    pub fn namespace(&self) -> Option<&Text> {
        self.identity.as_ref().filter(|_| !self.foreign).map(Identity::namespace)
    }
}

/// What the client dialled. One value serves all requests of a connection.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The address, canonical; `None` where a host name was dialled.
    pub ip: Option<IpAddr>,
    /// Port of the service, or of the gateway's listener.
    pub port: u16,
    /// The gateway (`namespace/name`) that the request came in through; `None` inside the mesh.
    pub gateway: Option<Text>,
    /// Server name of the client's TLS handshake, in lower case.
    pub server_name: Option<Text>,
}

/// What a validated token says (RFC 7519).
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The claims.
    pub claims: Map<String, Value>,
    /// Claims whose text is a list separated by spaces, besides `scope` and `permission`.
    pub space_delimited: Vec<Text>,
}

impl Token {
    /// `issuer/subject`, as `requestPrincipals` compares it; `None` where either is missing or empty.
    pub fn principal(&self) -> Option<String> {
        let part = |name: &str| self.claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(format!("{}/{}", part("iss")?, part("sub")?))
    }

    /// The texts of a claim, by the names of nested objects in order: the elements of a list, the words of a claim that
    /// is separated by spaces, a number or truth value as JSON writes it. Empty where there is none.
    pub fn claim(&self, path: &[impl AsRef<str>]) -> Vec<String> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let mut value = self.claims.get(first.as_ref());
        for name in rest {
            value = value.and_then(|value| value.get(name.as_ref()));
        }
        let words = rest.is_empty() && self.is_space_delimited(first.as_ref());
        match value {
            Some(Value::String(text)) if words => {
                text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
            }
            Some(Value::Array(elements)) => elements.iter().filter_map(scalar).collect(),
            Some(value) => scalar(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn is_space_delimited(&self, name: &str) -> bool {
        matches!(name, "scope" | "permission") || self.space_delimited.iter().any(|each| **each == *name)
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
