//! A tunnel in memory, with each engine: CONNECT, and DATA to and fro; without TLS.

use ambit_hbone::client::connect;
use ambit_hbone::{
    Authority, Baggage, Buffered, ClientSettings, ConnectRequest, Connection, Engine, Incoming,
    ServerSettings, Stream, serve,
};
use ambit_transport::drain::{self, Drain};
use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Runtime;

use super::relay::{BULK, MESSAGES};
use super::{runtime, work};
use crate::Work;

/// What the pipe below holds.
const PIPE: usize = 256 * 1024;
const CONNECTS: usize = 100;

/// A client's tunnel to an echo server, both on one runtime.
struct Tunnel {
    runtime: Runtime,
    connection: Connection,
    request: ConnectRequest,
    _drain: Drain,
}

impl Tunnel {
    fn new(engine: Engine) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let (near, far) = duplex(PIPE);
        let (near, far) = (Buffered::new(near), Buffered::new(far));
        let (drain, watch) = drain::channel();
        let connection = runtime.block_on(async {
            let settings = ServerSettings { engine, ..ServerSettings::default() };
            tokio::spawn(async move { serve(far, &settings, watch, echo).await });
            let settings = ClientSettings { engine, ..ClientSettings::default() };
            let (connection, driver) = connect(near, &settings).await?;
            tokio::spawn(driver);
            anyhow::Ok(connection)
        })?;
        let mut request = ConnectRequest::new("10.0.0.2:8080".parse::<Authority>()?);
        let baggage = Baggage { namespace: "shop".into(), service: "web".into(), ..Baggage::default() };
        request.baggage = Some(baggage.encode().context("baggage")?);
        Ok(Self { runtime, connection, request, _drain: drain })
    }

    async fn open(&self) -> anyhow::Result<Stream> {
        Ok(self.connection.open(self.request.clone()).await?.0)
    }
}

async fn echo(incoming: Incoming) {
    let Ok(stream) = incoming.accept(None) else { return };
    let (mut reader, mut writer) = tokio::io::split(stream);
    // A stream that breaks is seen by the client, which fails the case.
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}

/// [`BULK`] there and back on one stream.
pub(super) fn bulk(engine: Engine) -> anyhow::Result<Work> {
    let tunnel = Tunnel::new(engine)?;
    let bytes = vec![7; BULK];
    work(move || {
        tunnel.runtime.block_on(async {
            let (mut reader, mut writer) = tokio::io::split(tunnel.open().await?);
            let send = async {
                writer.write_all(&bytes).await?;
                writer.shutdown().await
            };
            let mut back = Vec::with_capacity(BULK);
            let (sent, received) = tokio::join!(send, reader.read_to_end(&mut back));
            sent?;
            ensure!(received? == BULK, "bytes are missing");
            Ok(())
        })
    })
}

/// Small messages there and back on one stream.
pub(super) fn messages(engine: Engine) -> anyhow::Result<Work> {
    let tunnel = Tunnel::new(engine)?;
    work(move || {
        tunnel.runtime.block_on(async {
            let mut stream = tunnel.open().await?;
            let mut message = [7; 100];
            for _ in 0..MESSAGES {
                stream.write_all(&message).await?;
                stream.flush().await?;
                stream.read_exact(&mut message).await?;
            }
            Ok(())
        })
    })
}

/// Streams that carry a word each.
pub(super) fn connects(engine: Engine) -> anyhow::Result<Work> {
    let tunnel = Tunnel::new(engine)?;
    work(move || {
        tunnel.runtime.block_on(async {
            for _ in 0..CONNECTS {
                let mut stream = tunnel.open().await?;
                stream.write_all(b"word").await?;
                stream.shutdown().await?;
                let mut back = Vec::new();
                stream.read_to_end(&mut back).await?;
                ensure!(back == b"word", "other bytes came back");
            }
            Ok(())
        })
    })
}
