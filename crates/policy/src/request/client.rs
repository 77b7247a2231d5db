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
    /// Issuer and subject; `None` where either is missing or empty.
    pub fn principal(&self) -> Option<(&str, &str)> {
        let part = |name: &str| self.claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some((part("iss")?, part("sub")?))
    }

    /// The texts of a claim, by the names of nested objects in order: its text, the texts of a list, the words of a
    /// claim that is separated by spaces. Numbers and truth values are no texts (Envoy's metadata matching).
    pub fn claim(&self, path: &[impl AsRef<str>]) -> impl Iterator<Item = &str> {
        let value = self.value(path);
        let words =
            path.first().is_some_and(|first| path.len() == 1 && self.is_space_delimited(first.as_ref()));
        let list = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let text = value.and_then(Value::as_str);
        let parts = text.into_iter().flat_map(move |text| text.split(move |letter| words && letter == ' '));
        list.chain(parts.filter(move |part| !words || !part.is_empty()))
    }

    /// The value of a claim, by the names of nested objects in order.
    pub fn value(&self, path: &[impl AsRef<str>]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        let outermost = self.claims.get(first.as_ref());
        rest.iter().fold(outermost, |value, name| value.and_then(|value| value.get(name.as_ref())))
    }

    fn is_space_delimited(&self, name: &str) -> bool {
        matches!(name, "scope" | "permission") || self.space_delimited.iter().any(|each| **each == *name)
    }
}
