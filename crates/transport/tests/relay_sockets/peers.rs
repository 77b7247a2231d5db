//! What a TCP peer sees of ends, resets and stalls.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ambit_transport::relay::{ByteCounters, CloseReason, RelayError, Relayed, Side, relay};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{assert_reset, connected, every_path, in_time, pattern, stuff, through};

#[tokio::test]
async fn f16_half_close_passes_both_ways() {
    for path in every_path() {
        let (mut client, mut server, task) = through(path, pending()).await;
        client.write_all(b"ping").await.unwrap();
        client.shutdown().await.unwrap();
        let mut all = Vec::new();
        in_time(server.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all, b"ping");
        server.write_all(&[5; 300_000]).await.unwrap();
        drop(server);
        let mut all = Vec::new();
        in_time(client.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all.len(), 300_000);
        assert_eq!(task.end().await.unwrap(), Relayed { sent: 4, received: 300_000 });
    }
}

#[tokio::test]
async fn f17_a_reset_reaches_the_other_side_as_a_reset() {
    for path in every_path() {
        // The server resets.
        let (mut client, server, task) = through(path, pending()).await;
        server.set_zero_linger().unwrap();
        drop(server);
        assert_reset(&mut client).await;
        let error = task.end().await.unwrap_err();
        assert!(matches!(error, RelayError::Failed { side: Side::Upstream, .. }), "{error}");

        // The client resets.
        let (client, mut server, task) = through(path, pending()).await;
        client.set_zero_linger().unwrap();
        drop(client);
        assert_reset(&mut server).await;
        let error = task.end().await.unwrap_err();
        assert!(matches!(error, RelayError::Failed { side: Side::Downstream, .. }), "{error}");
    }
}

#[tokio::test]
async fn f17_bytes_before_a_reset_arrive_before_it() {
    for path in every_path() {
        const TOTAL: usize = 200_000;
        let (mut client, downstream) = connected().await;
        let (upstream, mut server) = connected().await;
        // Most of it must wait in the relay's socket: the client's takes little, the relay's takes all.
        SockRef::from(&client).set_recv_buffer_size(64 * 1024).unwrap();
        SockRef::from(&downstream).set_send_buffer_size(2 * TOTAL).unwrap();
        let counters = Arc::new(ByteCounters::default());
        let live = Arc::clone(&counters);
        let task =
            tokio::spawn(async move { relay(downstream, upstream, &live, path.limits, pending()).await });
        server.write_all(&vec![9; TOTAL]).await.unwrap();
        in_time(async {
            while counters.received() < TOTAL as u64 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        server.set_zero_linger().unwrap();
        drop(server);
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert!(!task.is_finished(), "the reset overtook the bytes");
        let mut total = 0;
        let mut piece = vec![0; 65_536];
        let end = loop {
            match in_time(client.read(&mut piece)).await {
                Ok(0) => panic!("an orderly end instead of a reset after {total} bytes"),
                Ok(bytes) => total += bytes,
                Err(error) => break error.kind(),
            }
        };
        assert_eq!((total, end), (TOTAL, io::ErrorKind::ConnectionReset));
        assert_eq!(in_time(task).await.unwrap().unwrap_err().relayed().received, TOTAL as u64);
    }
}

/// The clock is paused and runs when everybody waits, so the relay's patience costs no time.
#[tokio::test(start_paused = true)]
async fn f17_a_reset_does_not_wait_for_a_peer_that_never_reads() {
    for path in every_path() {
        let (client, downstream) = connected().await;
        let (upstream, mut server) = connected().await;
        SockRef::from(&client).set_recv_buffer_size(64 * 1024).unwrap();
        SockRef::from(&downstream).set_send_buffer_size(400_000).unwrap();
        let task =
            tokio::spawn(async move { relay(downstream, upstream, &(), path.limits, pending()).await });
        server.write_all(&[9; 200_000]).await.unwrap();
        let begun = tokio::time::Instant::now();
        server.set_zero_linger().unwrap();
        drop(server);
        assert!(task.await.unwrap().is_err());
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(client);
    }
}

#[tokio::test]
async fn a_refused_upload_still_gets_its_answer() {
    for path in every_path() {
        let (mut client, mut server, task) = through(path, pending()).await;
        // The server reads a little, answers and closes with most of the upload unread: its kernel sends a reset.
        client.write_all(&[1; 100_000]).await.unwrap();
        in_time(server.read_exact(&mut [0; 10])).await.unwrap();
        server.write_all(b"413").await.unwrap();
        drop(server);
        let mut answer = [0; 3];
        in_time(client.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"413");
        let error = task.end().await.unwrap_err();
        assert!(matches!(error, RelayError::Failed { side: Side::Upstream, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_cut_is_a_reset_for_both() {
    for path in every_path() {
        let (cut, close) = tokio::sync::oneshot::channel();
        let (mut client, mut server, task) = through(path, async move { close.await.unwrap() }).await;
        client.write_all(b"x").await.unwrap();
        in_time(server.read_exact(&mut [0])).await.unwrap();
        cut.send(CloseReason::Revoked).unwrap();
        assert_reset(&mut client).await;
        assert_reset(&mut server).await;
        assert!(matches!(task.end().await, Err(RelayError::Closed { reason: CloseReason::Revoked, .. })));
    }
}

#[tokio::test]
async fn a_dropped_relay_is_a_reset_for_both() {
    for path in every_path() {
        let (mut client, mut server, task) = through(path, pending()).await;
        client.write_all(b"x").await.unwrap();
        in_time(server.read_exact(&mut [0])).await.unwrap();
        task.task.abort();
        assert_reset(&mut client).await;
        assert_reset(&mut server).await;
    }
}

#[tokio::test]
async fn f18_a_stalled_client_gets_everything_when_it_reads_again() {
    for path in every_path() {
        const TOTAL: usize = 64 * 1024 * 1024;
        let (mut client, mut server, task) = through(path, pending()).await;
        let data = pattern(0, TOTAL);
        // The client does not read until every buffer on the way is full and the server can write no more.
        let written = stuff(&server, &data).await;
        let expected = data.clone();
        let writer = tokio::spawn(async move {
            server.write_all(&data[written..]).await.unwrap();
            server.shutdown().await.unwrap();
            server
        });
        let mut all = Vec::with_capacity(TOTAL);
        in_time(client.read_to_end(&mut all)).await.unwrap();
        assert!(all == expected, "bytes differ");
        let mut server = in_time(writer).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(in_time(server.read(&mut [0])).await.unwrap(), 0);
        assert_eq!(task.end().await.unwrap().received, TOTAL as u64);
    }
}

#[tokio::test]
async fn many_connections_at_once() {
    for path in every_path() {
        let mut running = Vec::new();
        for number in 0..150_u8 {
            running.push(tokio::spawn(async move {
                let (mut client, mut server, task) = through(path, pending()).await;
                let payload = vec![number; 40_000];
                let sent = payload.clone();
                let serve = async move {
                    let mut all = Vec::new();
                    server.read_to_end(&mut all).await.unwrap();
                    server.write_all(&all).await.unwrap();
                };
                let talk = async move {
                    client.write_all(&payload).await.unwrap();
                    client.shutdown().await.unwrap();
                    let mut all = Vec::new();
                    client.read_to_end(&mut all).await.unwrap();
                    all
                };
                let ((), answer) = tokio::join!(serve, talk);
                assert_eq!(answer, sent);
                assert_eq!(task.end().await.unwrap(), Relayed { sent: 40_000, received: 40_000 });
            }));
        }
        for task in running {
            in_time(task).await.unwrap();
        }
    }
}
