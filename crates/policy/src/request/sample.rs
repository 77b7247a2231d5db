//! Requests for tests, from a few words.

use std::sync::Arc;

use ambit_model::Identity;
use ambit_model::l7::mesh::Normalization;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri, Version};

use super::{Client, Destination, Raw, Refusal, Request, Scheme};

/// A client of this namespace, with the service account `client`.
pub(crate) fn client(namespace: &str) -> Client {
    let identity = Identity::new("cluster.local", namespace, "client").unwrap();
    Client { identity: Some(identity), ..Client::plaintext([10, 0, 0, 1].into()) }
}

/// Port 80 of a service, inside the mesh.
pub(crate) fn destination() -> Destination {
    Destination { ip: Some([10, 96, 0, 1].into()), port: 80, gateway: None, server_name: None }
}

pub(crate) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    headers
}

/// A request as HTTP/1.1 brings it.
pub(crate) fn parsed(method: &str, target: &str, lines: &[(&str, &str)]) -> Result<Request, Refusal> {
    versioned(Version::HTTP_11, method, target, lines)
}

pub(crate) fn versioned(
    version: Version,
    method: &str,
    target: &str,
    lines: &[(&str, &str)],
) -> Result<Request, Refusal> {
    let uri: Uri = target.parse().unwrap();
    let method = Method::try_from(method).unwrap();
    let raw = Raw { method, uri: &uri, version, headers: headers(lines), scheme: Scheme::Http };
    Request::new(raw, Normalization::MergeSlashes, Arc::new(client("shop")), Arc::new(destination()))
}

/// `GET target`, of `cart.shop`, with further headers.
pub(crate) fn get(target: &str, lines: &[(&str, &str)]) -> Request {
    parsed("GET", target, &[&[("host", "cart.shop")], lines].concat()).unwrap()
}
