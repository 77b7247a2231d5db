//! Bytes that a tunnel hands straight to their receiver: each once, in order, and only while the receiver waits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/tunnel.rs"]
mod tunnel;

use std::io::IoSlice;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use ambit_hbone::Stream;
use ambit_transport::Abort;
use ambit_transport::relay::Outlet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tunnel::request;

/// A receiver whose socket takes so much of each delivery, by turns.
#[derive(Debug)]
struct Receiver {
    all: Mutex<Vec<u8>>,
    takes: Vec<usize>,
    deliveries: Mutex<usize>,
}

impl Receiver {
    fn new(takes: &[usize]) -> Arc<Self> {
        Arc::new(Self { all: Mutex::default(), takes: takes.to_vec(), deliveries: Mutex::default() })
    }
}

impl Outlet for Receiver {
    fn try_deliver(&self, pieces: &[IoSlice<'_>]) -> usize {
        let mut deliveries = self.deliveries.lock().unwrap();
        let most = self.takes[*deliveries % self.takes.len()];
        *deliveries += 1;
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).take(most).collect();
        self.all.lock().unwrap().extend_from_slice(&bytes);
        bytes.len()
    }
}

async fn pair() -> (Stream, Stream, tunnel::Client, tunnel::Server) {
    let (found, mut streams) = mpsc::unbounded_channel();
    let (client, server) = tunnel::tunnel(move |incoming| {
        let found = found.clone();
        async move { drop(found.send(incoming.accept(None).unwrap())) }
    })
    .await;
    let (near, _) = client.connection.open(request()).await.unwrap();
    (near, streams.recv().await.unwrap(), client, server)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

async fn each_byte_arrives_once_and_in_order() {
    for takes in [&[usize::MAX][..], &[0], &[1, 10_000, 0, 3, usize::MAX], &[17]] {
        let (mut near, mut far, _client, _server) = pair().await;
        let receiver = Receiver::new(takes);
        far.push_into(receiver.clone());
        let sent = pattern(3 << 20);
        let copy = sent.clone();
        let sending = tokio::spawn(async move {
            // Small and large writes by turns.
            let (mut rest, mut turn) = (copy.as_slice(), 0);
            while !rest.is_empty() {
                turn += 1;
                let (piece, after) = rest.split_at(rest.len().min([100, 5_000, 100_000][turn % 3]));
                near.write_all(piece).await.unwrap();
                rest = after;
            }
            near.shutdown().await.unwrap();
            near
        });
        // What does not go past it comes here, as to a relay.
        let mut space = vec![0; 10_000];
        loop {
            match far.read(&mut space).await.unwrap() {
                0 => break,
                read => receiver.all.lock().unwrap().extend_from_slice(&space[..read]),
            }
        }
        assert!(*receiver.all.lock().unwrap() == sent, "{takes:?}: bytes were lost, doubled or moved");
        let delivered = *receiver.deliveries.lock().unwrap();
        assert_eq!(far.pushes(), delivered > 0, "{takes:?}: {delivered} deliveries");
        drop(sending.await.unwrap());
    }
}

async fn nothing_is_delivered_to_who_does_not_wait() {
    let (mut near, mut far, client, _server) = pair().await;
    let receiver = Receiver::new(&[usize::MAX]);
    far.push_into(receiver.clone());
    near.write_all(&[7; 100_000]).await.unwrap();
    near.shutdown().await.unwrap();
    // Answered behind the bytes, which have arrived then.
    client.connection.open(request()).await.unwrap();
    assert_eq!(*receiver.deliveries.lock().unwrap(), 0);
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.unwrap();
    assert_eq!((bytes.len(), receiver.all.lock().unwrap().len()), (100_000, 0));
}

/// Who read ahead has bytes in hand that the outlet's receiver has not got.
async fn nothing_is_delivered_to_who_waited_before_there_was_an_outlet() {
    let (mut near, mut far, client, _server) = pair().await;
    let waits = std::future::poll_fn(|cx| Poll::Ready(far.poll_chunk(cx).is_pending())).await;
    assert!(waits);
    let receiver = Receiver::new(&[usize::MAX]);
    far.push_into(receiver.clone());
    near.write_all(b"later").await.unwrap();
    near.shutdown().await.unwrap();
    client.connection.open(request()).await.unwrap();
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).await.unwrap();
    assert_eq!((&bytes[..], *receiver.deliveries.lock().unwrap()), (&b"later"[..], 0));
}

tunnel::pairings! {
    each_byte_arrives_once_and_in_order,
    nothing_is_delivered_to_who_waited_before_there_was_an_outlet,
    nothing_is_delivered_to_who_does_not_wait,
}
