//! A reader that stalls while every buffer on the way is full, the relay's piece among them: what follows for each end.

use std::future::pending;

use ambit_transport::relay::{RelayError, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Path, Running, assert_reset, drain, every_path, in_time, pattern, stuff, through};

const TOTAL: usize = 64 * 1024 * 1024;

/// A relay whose one end has written all it could and whose other end has read nothing.
struct Stalled {
    writer: TcpStream,
    reader: TcpStream,
    relay: Running,
    /// The writer's side.
    side: Side,
    data: Vec<u8>,
    written: usize,
}

async fn stalled(path: Path, side: Side) -> Stalled {
    let (client, server, relay) = through(path, pending()).await;
    let (writer, reader) = match side {
        Side::Downstream => (client, server),
        Side::Upstream => (server, client),
    };
    let data = pattern(side as u32, TOTAL);
    let written = stuff(&writer, &data).await;
    let accepted = relay.live.sent() + relay.live.received();
    assert!((written as u64) > accepted + 64 * 1024, "nothing is held: {written} of which {accepted} passed");
    Stalled { writer, reader, relay, side, data, written }
}

fn every_case() -> impl Iterator<Item = (Path, Side)> {
    every_path().into_iter().flat_map(|path| [Side::Downstream, Side::Upstream].map(|side| (path, side)))
}

#[tokio::test]
async fn f16_an_end_comes_after_the_bytes_that_were_held() {
    for (path, side) in every_case() {
        let Stalled { mut writer, mut reader, relay, data, written, .. } = stalled(path, side).await;
        writer.shutdown().await.unwrap();
        let (all, reset) = drain(&mut reader).await;
        assert!(!reset && all == data[..written], "{} of {written} bytes", all.len());
        // The way back still works.
        reader.write_all(b"thanks").await.unwrap();
        drop(reader);
        assert_eq!(drain(&mut writer).await, (b"thanks".to_vec(), false));
        let moved = relay.end().await.unwrap();
        assert_eq!(moved.sent + moved.received, written as u64 + 6);
    }
}

#[tokio::test]
async fn f17_a_reset_of_the_writer_comes_after_the_bytes_that_were_held() {
    for (path, side) in every_case() {
        let Stalled { writer, mut reader, relay, data, written, .. } = stalled(path, side).await;
        writer.set_zero_linger().unwrap();
        drop(writer);
        // What the writer's own kernel had not sent yet is gone with the reset; everything else comes first.
        let (all, reset) = drain(&mut reader).await;
        assert!(reset, "an orderly end instead of a reset after {} bytes", all.len());
        assert!(all == data[..all.len()], "bytes differ");
        let error = relay.end().await.unwrap_err();
        assert!(matches!(error, RelayError::Failed { side: failed, .. } if failed == side), "{error}");
        let moved = error.relayed();
        assert_eq!(moved.sent + moved.received, all.len() as u64, "of {written}");
    }
}

#[tokio::test]
async fn f17_a_reset_of_the_reader_reaches_the_writer() {
    for (path, side) in every_case() {
        let Stalled { mut writer, reader, relay, side: writing, .. } = stalled(path, side).await;
        let passed = relay.live.sent() + relay.live.received();
        reader.set_zero_linger().unwrap();
        drop(reader);
        assert_reset(&mut writer).await;
        let error = relay.end().await.unwrap_err();
        assert!(matches!(error, RelayError::Failed { side, .. } if side == writing.other()), "{error}");
        let moved = error.relayed();
        assert_eq!(moved.sent + moved.received, passed, "held bytes were never accepted");
    }
}

#[tokio::test]
async fn f17_a_reset_after_the_other_way_has_ended_is_still_one() {
    for (path, side) in every_case() {
        let Stalled { mut writer, mut reader, relay, data, .. } = stalled(path, side).await;
        reader.shutdown().await.unwrap();
        assert_eq!(in_time(writer.read(&mut [0])).await.unwrap(), 0);
        writer.set_zero_linger().unwrap();
        drop(writer);
        let (all, reset) = drain(&mut reader).await;
        assert!(reset && all == data[..all.len()]);
        assert!(relay.end().await.is_err());
    }
}

/// The bytes of a cut relay must not turn up in the next one, which uses the same worker's buffers and pipes.
#[tokio::test]
async fn held_bytes_of_a_dropped_relay_never_reach_another() {
    for (path, side) in every_case() {
        for _ in 0..4 {
            let Stalled { mut writer, mut reader, relay, .. } = stalled(path, side).await;
            relay.task.abort();
            assert!(relay.task.await.unwrap_err().is_cancelled());
            assert_reset(&mut writer).await;
            let (_, reset) = drain(&mut reader).await;
            assert!(reset);
        }
        let data = pattern(77, 4 * 1024 * 1024);
        let mut others = Vec::new();
        for _ in 0..4 {
            let (mut client, mut server, relay) = through(path, pending()).await;
            let data = data.clone();
            others.push(tokio::spawn(async move {
                let write = async {
                    client.write_all(&data).await.unwrap();
                    client.shutdown().await.unwrap();
                };
                let ((), (all, reset)) = tokio::join!(write, drain(&mut server));
                assert!(!reset && all == data, "bytes differ");
                drop(server);
                assert_eq!(relay.end().await.unwrap().sent, data.len() as u64);
            }));
        }
        for other in others {
            other.await.unwrap();
        }
    }
}
