//! The relay between two streams in memory.

use std::future::pending;

use ambit_transport::relay::{ByteCounters, Limits, relay};
use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{runtime, work};
use crate::Work;

/// What a pipe holds.
const PIPE: usize = 256 * 1024;

/// Bytes of the bulk case.
pub(super) const BULK: usize = 1024 * 1024;
/// Round trips of the other one.
pub(super) const MESSAGES: usize = 1_000;

/// Sends [`BULK`] one way through a relay.
pub(super) fn bulk() -> anyhow::Result<Work> {
    relayed(async |mut client, mut server| {
        let bytes = vec![7; BULK];
        let send = async {
            client.write_all(&bytes).await?;
            client.shutdown().await
        };
        let mut read = Vec::with_capacity(BULK);
        let (sent, received) = tokio::join!(send, server.read_to_end(&mut read));
        sent?;
        ensure!(received? == BULK, "bytes are missing");
        Ok(())
    })
}

/// Sends small messages to and fro.
pub(super) fn messages() -> anyhow::Result<Work> {
    relayed(async |mut client, mut server| {
        let mut message = [7; 100];
        for _ in 0..MESSAGES {
            client.write_all(&message).await?;
            server.read_exact(&mut message).await?;
            server.write_all(&message).await?;
            client.read_exact(&mut message).await?;
        }
        Ok(())
    })
}

fn relayed(
    exchange: impl AsyncFn(DuplexStream, DuplexStream) -> anyhow::Result<()> + 'static,
) -> anyhow::Result<Work> {
    let runtime = runtime()?;
    work(move || {
        runtime.block_on(async {
            let ((client, downstream), (upstream, server)) = (duplex(PIPE), duplex(PIPE));
            let counters = ByteCounters::default();
            let relaying = relay(downstream, upstream, &counters, Limits::default(), pending());
            let (exchanged, relayed) = tokio::join!(exchange(client, server), relaying);
            relayed?;
            exchanged
        })
    })
}
