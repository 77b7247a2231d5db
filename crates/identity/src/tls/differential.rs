//! Both record layers against each other, in every pairing and for every provider: what one sends, the other reads.

use std::future::poll_fn;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::stream::Records;
use super::tests::{ANYWHERE, LAYERS, pairs, receive_all, shake, with};
use super::*;
use crate::Provider;
use crate::testing::{Root, identity};

/// What one end does next.
#[derive(Debug, Clone)]
enum Act {
    /// Seals these pieces and sends them.
    Seal(Vec<usize>),
    /// Writes that many bytes as a byte stream.
    Write(usize),
    /// Updates its key; whether it asks the peer for the same.
    Update(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        proptest::collection::vec(prop_oneof![0..300_usize, 0..40_000_usize], 0..5).prop_map(Act::Seal),
        (0..50_000_usize).prop_map(Act::Write),
        any::<bool>().prop_map(Act::Update),
    ];
    proptest::collection::vec(act, 1..12)
}

fn update_key(stream: &mut TlsStream<DuplexStream>, request: bool) {
    match &mut stream.layer {
        Records::Own(own) => own.update_key(request).unwrap(),
        Records::Library(library) => match &mut library.stream {
            tokio_rustls::TlsStream::Client(client) => client.get_mut().1.refresh_traffic_keys().unwrap(),
            tokio_rustls::TlsStream::Server(server) => server.get_mut().1.refresh_traffic_keys().unwrap(),
        },
    }
}

fn bytes(start: usize, count: usize) -> Vec<u8> {
    (start..start + count).map(|number| (number % 251) as u8).collect()
}

/// Does all of it, then ends the connection; how many bytes were sent.
async fn send(stream: &mut TlsStream<DuplexStream>, acts: &[Act]) -> usize {
    let mut sent = 0;
    for act in acts {
        match act {
            Act::Seal(sizes) => {
                let data = bytes(sent, sizes.iter().sum());
                let mut rest = data.as_slice();
                let pieces: Vec<_> = sizes.iter().map(|size| rest.split_off(..*size).unwrap()).collect();
                stream.seal(&pieces).unwrap();
                poll_fn(|cx| stream.poll_send(cx)).await.unwrap();
                assert_eq!(stream.queued(), 0);
                sent += data.len();
            }
            Act::Write(count) => {
                stream.write_all(&bytes(sent, *count)).await.unwrap();
                stream.flush().await.unwrap();
                sent += count;
            }
            Act::Update(request) => update_key(stream, *request),
        }
    }
    poll_fn(|cx| stream.poll_close(cx)).await.unwrap();
    sent
}

async fn read(stream: &mut TlsStream<DuplexStream>, sizes: &[usize]) -> Vec<u8> {
    let mut seen = Vec::new();
    for size in sizes.iter().cycle() {
        let mut piece = vec![0; *size];
        match stream.read(&mut piece).await.unwrap() {
            0 => break,
            count => seen.extend_from_slice(&piece[..count]),
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn what_one_layer_sends_the_other_reads(
        forth in acts(),
        back in acts(),
        reads in proptest::collection::vec(1..30_000_usize, 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for (root, client, server) in pairs() {
            let root = Root::new(root);
            let (client, server) = (root.certificate(client, "web"), root.certificate(server, "cart"));
            for layers in LAYERS {
                runtime.block_on(async {
                    let (mut near, mut far) = shake(layers, &client, &server).await.unwrap();
                    // In place there, as a byte stream back.
                    let (sent, seen) = tokio::join!(send(&mut near, &forth), receive_all(&mut far));
                    assert!(seen.unwrap() == bytes(0, sent), "{layers:?}: the bytes differ");
                    let (sent, seen) = tokio::join!(send(&mut far, &back), read(&mut near, &reads));
                    assert!(seen == bytes(0, sent), "{layers:?}: the bytes differ on the way back");
                });
            }
        }
    }
}

/// The server refuses the client's certificate; the client has finished by then, and learns it by its first read.
#[tokio::test]
async fn a_refused_client_learns_it_at_its_first_read() {
    for (root, client, server) in pairs() {
        let (ours, theirs) = (Root::new(root), Root::new(root));
        let server = ours.certificate(server, "cart");
        // It trusts the server, but was issued by another root.
        let client = theirs.certificate_trusting(client, &ours, "web");
        for layers in LAYERS {
            let (here, there) = duplex(1 << 16);
            let expected = identity("cart").into();
            let (connected, accepted) = tokio::join!(
                connect_with(with(layers.0), ANYWHERE, here, &client, &expected),
                accept_with(with(layers.1), there, &server)
            );
            let refusal = accepted.unwrap_err();
            assert!(matches!(refusal, HandshakeError::Peer(_)), "{layers:?}: {refusal}");
            let (mut stream, _) = connected.unwrap();
            let error = stream.read_u8().await.unwrap_err();
            assert!(is_tls_refusal(&error), "{layers:?}: {error}");
            let again = poll_fn(|cx| stream.poll_receive(cx, &mut |_| {})).await;
            assert!(again.is_err(), "{layers:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_server_is_told() {
    for layers in LAYERS {
        let (ours, theirs) = (Root::new(Provider::default()), Root::new(Provider::default()));
        let (client, server) =
            (ours.certificate(Provider::default(), "web"), theirs.certificate(Provider::default(), "cart"));
        let (here, there) = duplex(1 << 16);
        let expected = identity("cart").into();
        let (connected, accepted) = tokio::join!(
            connect_with(with(layers.0), ANYWHERE, here, &client, &expected),
            accept_with(with(layers.1), there, &server)
        );
        assert!(matches!(connected.unwrap_err(), HandshakeError::Peer(_)), "{layers:?}");
        assert!(matches!(accepted.unwrap_err(), HandshakeError::Refused(_)), "{layers:?}");
    }
}

/// Bytes of the peer that come in the same read as the end of its handshake.
#[tokio::test]
async fn nothing_behind_the_handshake_is_lost() {
    let root = Root::new(Provider::default());
    let (client, server) =
        (root.certificate(Provider::default(), "web"), root.certificate(Provider::default(), "cart"));
    for layers in LAYERS {
        for count in [1, 3000, 100_000] {
            let (here, there) = duplex(1 << 20);
            let expected = Arc::new(ExpectedPeers::from(identity("cart")));
            // The client says everything before the server is looked at again.
            let send = async {
                let (mut near, _) =
                    connect_with(with(layers.0), ANYWHERE, here, &client, &expected).await.unwrap();
                let data = bytes(0, count);
                near.seal(&[&data]).unwrap();
                poll_fn(|cx| near.poll_close(cx)).await.unwrap();
                near
            };
            let receive = async {
                let (mut far, _) = accept_with(with(layers.1), there, &server).await.unwrap();
                receive_all(&mut far).await.unwrap()
            };
            let (near, seen) = tokio::join!(send, receive);
            assert!(seen == bytes(0, count), "{layers:?}: {} of {count}", seen.len());
            drop(near);
        }
    }
}

/// Nothing of a key is ever shown.
#[tokio::test]
async fn a_stream_shows_what_was_agreed_and_nothing_else() {
    let root = Root::new(Provider::default());
    let (client, server) =
        (root.certificate(Provider::default(), "web"), root.certificate(Provider::default(), "cart"));
    for layers in LAYERS {
        let (near, _far) = shake(layers, &client, &server).await.unwrap();
        assert_eq!(format!("{near:?}"), format!("TlsStream({:?})", near.negotiated()));
    }
}
