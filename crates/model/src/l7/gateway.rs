//! A Gateway with listeners of its own, for traffic that does not come out of a tunnel (Gateway API Gateway).

use serde::{Deserialize, Serialize};

use super::destination_rule::Secret;
use super::object::ObjectKey;
use crate::Text;

/// One gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The user's object.
    pub key: ObjectKey,
    /// Its class.
    pub class: Text,
    /// What it listens on: only listeners that were accepted.
    pub listeners: Vec<Listener>,
    /// The service accounts of its pods, sorted: these alone are sent it, because of the keys.
    pub accounts: Vec<Text>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Name.
    pub name: Text,
    /// Port.
    pub port: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Host name (lower case, `*.` allowed in front); `None` for any.
    pub hostname: Option<Text>,
    /// Certificates, where it ends TLS. A listener that ends TLS and has none answers no handshake.
    pub certificates: Vec<ServerCertificate>,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2 in the clear.
    Http,
    /// The same inside TLS.
    Https,
    /// TLS that is ended here, any bytes inside.
    TlsTerminate,
    /// TLS that goes on by its server name.
    TlsPassthrough,
    /// Bytes.
    Tcp,
    /// Tunnels of the mesh.
    Hbone,
}

/// A certificate with its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerCertificate {
    /// The chain, leaf first.
    pub chain: Text,
    /// The key of the leaf.
    pub key: Secret,
}
