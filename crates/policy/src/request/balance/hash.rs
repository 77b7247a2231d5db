//! What of a request is hashed, and how? (Istio ConsistentHashLB)

use std::net::IpAddr;
use std::time::Duration;

use ambit_model::Text;
use ambit_model::l7::destination_rule::HashKey;
use http::header::{HeaderName, HeaderValue};

use crate::request::canonical::Request;

/// FNV-1a, its bits mixed at the end. The same in every replica and version: sessions depend on it.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What is hashed of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashInput {
    /// This.
    Hash(u64),
    /// The client has no cookie and is given one; the endpoint is that of its value.
    New(NewCookie),
    /// Nothing: any endpoint will do.
    Nothing,
}

/// A cookie that a client is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCookie {
    name: Text,
    path: Text,
    age: Duration,
    attributes: Vec<(Text, Text)>,
}

impl NewCookie {
    /// The `Set-Cookie` of a value (letters and digits) that the caller drew; `None` where name, path or attributes could
    /// not stand in a header. An age of zero is a session's.
    pub fn with_value(&self, value: &str) -> Option<HeaderValue> {
        let mut line = format!("{}={value}", self.name);
        if !self.age.is_zero() {
            line += &format!("; Max-Age={}", self.age.as_secs());
        }
        if !self.path.is_empty() {
            line += &format!("; Path={}", self.path);
        }
        line += "; HttpOnly";
        for (name, value) in &self.attributes {
            let value = if value.is_empty() { String::new() } else { format!("={value}") };
            line += &format!("; {name}{value}");
        }
        HeaderValue::try_from(line).ok()
    }
}

/// What the rule wants hashed of this request.
pub fn hash_input(key: &HashKey, request: &Request) -> HashInput {
    let hash = |bytes: &[u8]| HashInput::Hash(stable_hash(bytes));
    match key {
        HashKey::Header(name) => {
            let name = HeaderName::try_from(&**name).ok();
            name.and_then(|name| request.header(&name)).map_or(HashInput::Nothing, |value| hash(&value))
        }
        HashKey::SourceIp => match request.client.ip {
            IpAddr::V4(ip) => hash(&ip.octets()),
            IpAddr::V6(ip) => hash(&ip.octets()),
        },
        HashKey::Query(name) => {
            request.query_parameter(name).map_or(HashInput::Nothing, |value| hash(&value))
        }
        HashKey::Cookie { name, path, ttl, attributes } => match (request.cookie(name), ttl) {
            (Some(value), _) => hash(value.as_bytes()),
            (None, None) => HashInput::Nothing,
            (None, Some(age)) => HashInput::New(NewCookie {
                name: name.clone(),
                path: path.clone(),
                age: *age,
                attributes: attributes.clone(),
            }),
        },
    }
}
