//! Bulk between two sockets, each way, both ways and in every order of ends; and small messages after it.

use std::future::pending;

use ambit_transport::relay::Relayed;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{connected, drain, every_path, in_time, pattern, stuff, through};

const MIB: usize = 1024 * 1024;

/// Writes, ends and reads to the end.
async fn exchange(stream: &mut TcpStream, sent: &[u8]) -> Vec<u8> {
    let (mut reading, mut writing) = stream.split();
    let mut received = Vec::new();
    let write = async {
        writing.write_all(sent).await.unwrap();
        writing.shutdown().await.unwrap();
    };
    let ((), read) = in_time(async { tokio::join!(write, reading.read_to_end(&mut received)) }).await;
    read.unwrap();
    received
}

#[tokio::test]
async fn bulk_both_ways_at_once_arrives_unchanged() {
    for path in every_path() {
        let (mut client, mut server, relay) = through(path, pending()).await;
        let (up, down) = (pattern(1, 9 * MIB + 7), pattern(2, 5 * MIB + 13));
        let (at_client, at_server) = tokio::join!(exchange(&mut client, &up), exchange(&mut server, &down));
        assert!(at_server == up && at_client == down, "bytes differ");
        let moved = Relayed { sent: up.len() as u64, received: down.len() as u64 };
        assert_eq!(relay.end().await.unwrap(), moved);
    }
}

#[tokio::test]
async fn f16_half_close_in_either_order_keeps_the_bulk_of_the_other_way() {
    for path in every_path() {
        for client_first in [true, false] {
            let (mut client, mut server, relay) = through(path, pending()).await;
            let (first, second) =
                if client_first { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let data = pattern(3, 3 * MIB);
            let (written, (read, reset)) = tokio::join!(
                async {
                    first.write_all(&data).await.unwrap();
                    first.shutdown().await
                },
                drain(second)
            );
            written.unwrap();
            assert!(read == data && !reset);
            // The way back is as wide as before.
            let answer = pattern(4, 4 * MIB + 1);
            let (written, (read, reset)) = tokio::join!(
                async {
                    second.write_all(&answer).await.unwrap();
                    second.shutdown().await
                },
                drain(first)
            );
            written.unwrap();
            assert!(read == answer && !reset);
            let (sent, received) = (data.len() as u64, answer.len() as u64);
            let moved = if client_first {
                Relayed { sent, received }
            } else {
                Relayed { sent: received, received: sent }
            };
            assert_eq!(relay.end().await.unwrap(), moved);
        }
    }
}

#[tokio::test]
async fn small_messages_after_bulk_are_not_held_back() {
    for path in every_path() {
        let (mut client, mut server, _relay) = through(path, pending()).await;
        let data = pattern(5, 2 * MIB + 3);
        for round in 0..5_u8 {
            let mut all = vec![0; data.len()];
            let (written, read) =
                in_time(async { tokio::join!(server.write_all(&data), client.read_exact(&mut all)) }).await;
            written.unwrap();
            read.unwrap();
            assert!(all == data, "bytes differ");
            for message in 0..20_u8 {
                let (mut at_server, mut at_client) = ([0; 2], [0; 3]);
                client.write_all(&[round, message]).await.unwrap();
                in_time(server.read_exact(&mut at_server)).await.unwrap();
                server.write_all(&[round, message, 7]).await.unwrap();
                in_time(client.read_exact(&mut at_client)).await.unwrap();
                assert_eq!((at_server, at_client), ([round, message], [round, message, 7]));
            }
        }
    }
}

/// TCP's urgent byte stands in the way of a splice for as long as nobody reads past it.
#[tokio::test]
async fn an_urgent_byte_stops_nothing() {
    for path in every_path() {
        let (client, mut server, relay) = through(path, pending()).await;
        let data = pattern(6, 32 * MIB);
        // The relay has to meet the urgent byte in the midst of bulk, so it waits behind full buffers.
        let written = stuff(&client, &data).await;
        let urgent = tokio::spawn(async move {
            loop {
                client.writable().await.unwrap();
                let sent = client
                    .try_io(tokio::io::Interest::WRITABLE, || SockRef::from(&client).send_out_of_band(b"!"));
                if sent.is_ok() {
                    break;
                }
            }
            let mut client = client;
            client.write_all(&data[..MIB]).await.unwrap();
            client.shutdown().await.unwrap();
            (client, data)
        });
        let (all, reset) = drain(&mut server).await;
        let (client, data) = in_time(urgent).await.unwrap();
        assert!(!reset);
        assert_eq!(all.len(), written + MIB, "the urgent byte is no part of the stream ({path:?})");
        assert!(all[..written] == data[..written] && all[written..] == data[..MIB], "bytes differ");
        server.shutdown().await.unwrap();
        assert_eq!(relay.end().await.unwrap().sent, all.len() as u64);
        drop(client);
    }
}

#[tokio::test]
async fn ipv6_sockets_are_sockets() {
    for path in every_path() {
        let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
            panic!("this machine has no IPv6 on its loopback");
        };
        let address = listener.local_addr().unwrap();
        let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut client, downstream) = (dialled.unwrap(), accepted.unwrap().0);
        let (upstream, mut server) = connected().await;
        let relayed = tokio::spawn(async move {
            ambit_transport::relay(downstream, upstream, &(), path.limits, pending()).await
        });
        let (up, down) = (pattern(7, 2 * MIB), pattern(8, 2 * MIB));
        let (at_client, at_server) = tokio::join!(exchange(&mut client, &up), exchange(&mut server, &down));
        assert!(at_server == up && at_client == down, "bytes differ");
        in_time(relayed).await.unwrap().unwrap();
    }
}
