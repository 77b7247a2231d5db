//! Mutual TLS in memory, with each record layer: handshakes, sealing and opening.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use ambit_identity::csr::certificate_request;
use ambit_identity::tls::{self, Handshake, Layer, Options, Received, TlsStream};
use ambit_identity::{Authority, Certificate, ExpectedPeers, KeyPair, Provider};
use ambit_model::Identity;
use anyhow::{bail, ensure};
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::Runtime;

use super::relay::{BULK, MESSAGES};
use super::{runtime, work};
use crate::Work;

/// What the pipe below holds.
const PIPE: usize = 512 * 1024;
/// Bytes sealed at a time: what the relay leases.
const PIECE: usize = 64 * 1024;
/// Handshakes of one case. Few: each is millions of instructions.
const HANDSHAKES: usize = 4;

/// An address that means nothing here.
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A certificate, and whom it expects: its own identity at both ends.
struct Party {
    certificate: Certificate,
    expected: ExpectedPeers,
    options: Options,
}

impl Party {
    fn new(options: Options) -> anyhow::Result<Self> {
        let (identity, now) = (Identity::new("cluster.local", "shop", "web")?, SystemTime::now());
        let authority = Authority::create(Provider::default(), "cluster.local", "micro", now)?;
        let key = KeyPair::generate(Provider::default())?;
        let request = certificate_request(&key, &identity)?;
        let chain = authority.sign(&request, &identity, Duration::from_secs(3600), now)?;
        let certificate = Certificate::from_pem(&chain, &key, &identity, now)?;
        Ok(Self { certificate, expected: ExpectedPeers::new([identity]), options })
    }

    /// Client and server, connected, each having heard from the other.
    async fn connected(&self) -> anyhow::Result<[TlsStream<DuplexStream>; 2]> {
        let (near, far) = duplex(PIPE);
        let (client, server) = tokio::join!(
            tls::connect_with(self.options, ANYWHERE, near, &self.certificate, &self.expected),
            tls::accept_with(self.options, far, &self.certificate)
        );
        let (mut client, mut server) = (client?.0, server?.0);
        send(&mut server, b"word").await?;
        receive(&mut client, b"word").await?;
        Ok([client, server])
    }

    /// Both ends of some handshakes, each of this kind.
    async fn handshakes(&self, kind: Handshake) -> anyhow::Result<()> {
        for _ in 0..HANDSHAKES {
            let [client, _server] = self.connected().await?;
            ensure!(client.negotiated().handshake == kind, "the handshake was {:?}", client.negotiated());
        }
        Ok(())
    }
}

fn established(records: Layer) -> anyhow::Result<(Runtime, [TlsStream<DuplexStream>; 2])> {
    let (runtime, party) = (runtime()?, Party::new(Options { records, resumption: false })?);
    let streams = runtime.block_on(party.connected())?;
    Ok((runtime, streams))
}

/// Seals and sends, a piece at a time.
async fn send(stream: &mut TlsStream<DuplexStream>, bytes: &[u8]) -> anyhow::Result<()> {
    for piece in bytes.chunks(PIECE) {
        stream.seal(&[piece])?;
        poll_fn(|cx| stream.poll_send(cx)).await?;
    }
    Ok(())
}

/// Receives just these bytes.
async fn receive(stream: &mut TlsStream<DuplexStream>, bytes: &[u8]) -> anyhow::Result<()> {
    let mut rest = bytes;
    let mut same = true;
    while !rest.is_empty() {
        let received = poll_fn(|cx| {
            stream.poll_receive(cx, &mut |pieces| {
                for piece in pieces {
                    match rest.strip_prefix(*piece) {
                        Some(after) => rest = after,
                        None => same = false,
                    }
                }
            })
        });
        if received.await? == Received::End {
            bail!("the stream ended early");
        }
        ensure!(same, "other bytes came out");
    }
    Ok(())
}

/// [`BULK`] sealed and opened.
pub(super) fn bulk(records: Layer) -> anyhow::Result<Work> {
    let (runtime, [mut client, mut server]) = established(records)?;
    let bytes = vec![7; BULK];
    work(move || {
        runtime.block_on(async {
            let (sent, received) = tokio::join!(send(&mut client, &bytes), receive(&mut server, &bytes));
            sent.and(received)
        })
    })
}

/// Small messages to and fro.
pub(super) fn messages(records: Layer) -> anyhow::Result<Work> {
    let (runtime, [mut client, mut server]) = established(records)?;
    work(move || {
        runtime.block_on(async {
            let message = [7; 100];
            for _ in 0..MESSAGES {
                send(&mut client, &message).await?;
                receive(&mut server, &message).await?;
                send(&mut server, &message).await?;
                receive(&mut client, &message).await?;
            }
            Ok(())
        })
    })
}

/// Handshakes with certificates.
pub(super) fn handshakes(records: Layer) -> anyhow::Result<Work> {
    let (runtime, party) = (runtime()?, Party::new(Options { records, resumption: false })?);
    work(move || runtime.block_on(party.handshakes(Handshake::Full)))
}

/// Handshakes that are spared the certificates.
pub(super) fn resumptions(records: Layer) -> anyhow::Result<Work> {
    let (runtime, party) = (runtime()?, Party::new(Options { records, resumption: true })?);
    runtime.block_on(party.connected())?;
    work(move || runtime.block_on(party.handshakes(Handshake::Resumed)))
}
