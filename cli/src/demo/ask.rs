//! How are the proxies asked what they know? Over their administration ports, from within their nodes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use ambit_netns::Namespace;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;

const ADMIN: u16 = 15000;
const READINESS: u16 = 15021;
const PATIENCE: Duration = Duration::from_secs(2);

/// What a ztunnel knows, as far as the demo cares (`/config_dump`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Dump {
    /// The pods of the mesh.
    pub(crate) workloads: Vec<DumpedWorkload>,
    /// What it can prove.
    pub(crate) certificates: Vec<DumpedCertificate>,
}

/// A pod as a ztunnel knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DumpedWorkload {
    /// The pod's name.
    pub(crate) name: String,
    /// `HBONE` when it is reached through a tunnel.
    pub(crate) protocol: String,
}

/// An identity and its certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DumpedCertificate {
    /// SPIFFE ID.
    pub(crate) identity: String,
    /// Leaf first.
    pub(crate) cert_chain: Vec<DumpedLink>,
}

/// A certificate of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DumpedLink {
    /// Unique for each certificate.
    pub(crate) serial_number: String,
}

impl Dump {
    /// Whether the pod is reached through a tunnel.
    pub(crate) fn tunnels_to(&self, pod: &str) -> bool {
        self.workloads.iter().any(|workload| workload.name == pod && workload.protocol == "HBONE")
    }

    /// The serial number of each identity's certificate.
    pub(crate) fn serials(&self) -> BTreeMap<String, String> {
        let leaf = |certificate: &DumpedCertificate| {
            let serial = certificate.cert_chain.first()?.serial_number.clone();
            Some((certificate.identity.clone(), serial))
        };
        self.certificates.iter().filter_map(leaf).collect()
    }
}

/// Asks the ztunnel of a node.
pub(crate) async fn dump(node: &Namespace) -> anyhow::Result<Dump> {
    let body = tokio::time::timeout(PATIENCE, fetch(node, ADMIN, "/config_dump")).await??;
    serde_json::from_slice(&body).context("ztunnel's /config_dump cannot be understood")
}

/// Whether the proxy in this namespace says that it is ready.
pub(crate) async fn is_ready(namespace: &Namespace) -> bool {
    let asked = tokio::time::timeout(PATIENCE, fetch(namespace, READINESS, "/healthz/ready")).await;
    asked.is_ok_and(|answer| answer.is_ok())
}

async fn fetch(node: &Namespace, port: u16, path: &str) -> anyhow::Result<Bytes> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // On loopback a connection is there at once, or refused at once.
    let stream = node.run(|| TcpStream::connect(address))??;
    stream.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request =
        http::Request::get(path).header(http::header::HOST, "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    anyhow::ensure!(response.status().is_success(), "{path} answered {}", response.status());
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_understood() {
        let text = r#"{"workloads":[{"uid":"x","name":"cart","protocol":"HBONE","workloadIps":["10.0.0.1"]},
            {"name":"outsider","protocol":"TCP"}],
            "certificates":[{"identity":"spiffe://a","state":"Available","certChain":[{"serialNumber":"12"},{"serialNumber":"1"}]},
            {"identity":"spiffe://b","certChain":[]}], "version":{}}"#;
        let dump: Dump = serde_json::from_str(text).unwrap();
        assert!(dump.tunnels_to("cart") && !dump.tunnels_to("outsider") && !dump.tunnels_to("web"));
        assert_eq!(dump.serials(), BTreeMap::from([("spiffe://a".to_owned(), "12".to_owned())]));
    }
}
