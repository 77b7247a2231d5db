//! Handshakes of every pair of providers, and what established streams do.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::NamedGroup;
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};

use super::stream::Records;
use super::*;
use crate::Provider;
use crate::testing::{Root, identity};

pub(super) type Pair = (TlsStream<DuplexStream>, TlsStream<DuplexStream>);

/// Every pair of record layers, the client's and the server's.
pub(super) const LAYERS: [(Layer, Layer); 4] = [
    (Layer::Own, Layer::Own),
    (Layer::Own, Layer::Library),
    (Layer::Library, Layer::Own),
    (Layer::Library, Layer::Library),
];

/// An address that means nothing here.
pub(super) const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

pub(super) fn with(records: Layer) -> Options {
    Options { records, resumption: false }
}

pub(super) async fn shake(
    layers: (Layer, Layer),
    client: &Certificate,
    server: &Certificate,
) -> Result<Pair, HandshakeError> {
    let (here, there) = duplex(1 << 16);
    let expected = ExpectedPeers::new([identity("other"), server.identity().clone()]);
    let (connected, accepted) = tokio::join!(
        connect_with(with(layers.0), ANYWHERE, here, client, &expected),
        accept_with(with(layers.1), there, server)
    );
    let ((near, far_identity), (far, near_identity)) = (connected?, accepted?);
    assert_eq!((&near_identity, &far_identity), (client.identity(), server.identity()));
    Ok((near, far))
}

async fn exchange((near, far): &mut Pair) {
    send_marker(near, far).await;
    send_marker(far, near).await;
}

async fn send_marker(from: &mut TlsStream<DuplexStream>, to: &mut TlsStream<DuplexStream>) {
    from.write_all(b"marker").await.unwrap();
    from.flush().await.unwrap();
    let mut seen = [0; 6];
    to.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"marker");
}

/// Every pair of client and server, under roots made by each provider.
pub(super) fn pairs() -> impl Iterator<Item = (Provider, Provider, Provider)> {
    let all = Provider::COMPILED;
    all.iter().flat_map(move |root| {
        all.iter().flat_map(move |client| all.iter().map(move |server| (*root, *client, *server)))
    })
}

fn only(provider: Provider, groups: &[NamedGroup]) -> Arc<CryptoProvider> {
    let mut crypto = (*provider.crypto()).clone();
    crypto.kx_groups = groups
        .iter()
        .filter_map(|name| crypto.kx_groups.iter().copied().find(|group| group.name() == *name))
        .collect();
    assert_eq!(crypto.kx_groups.len(), groups.len());
    Arc::new(crypto)
}

#[tokio::test]
async fn every_pair_of_providers_agrees_on_the_best() {
    for (root, client, server) in pairs() {
        let root = Root::new(root);
        let (client, server) = (root.certificate(client, "web"), root.certificate(server, "cart"));
        for layers in LAYERS {
            let mut pair = shake(layers, &client, &server).await.unwrap();
            for stream in [&pair.0, &pair.1] {
                let (suite, group) = ("TLS13_AES_256_GCM_SHA384", "X25519MLKEM768");
                let expected = Negotiated { suite, group, http2: true, handshake: Handshake::Full };
                assert_eq!(stream.negotiated(), expected);
            }
            exchange(&mut pair).await;
        }
    }
}

#[tokio::test]
async fn groups_meet_in_the_middle() {
    use NamedGroup::{X25519, X25519MLKEM768, secp256r1};
    let all = [X25519MLKEM768, X25519, secp256r1, NamedGroup::secp384r1];
    for (root, client, server) in pairs() {
        let root = Root::new(root);
        for (offered, accepted, agreed) in [
            (&[X25519][..], &all[..], Some(("X25519", Handshake::Full))),
            // The hello carries both shares, so a classical server costs no extra round trip.
            (&all, &[X25519], Some(("X25519", Handshake::Full))),
            (&all, &[secp256r1], Some(("secp256r1", Handshake::Retried))),
            // A rustls server follows the client's order: Istio's default puts the hybrid last.
            (&[X25519, X25519MLKEM768], &all, Some(("X25519", Handshake::Full))),
            (&[X25519MLKEM768], &[X25519MLKEM768], Some(("X25519MLKEM768", Handshake::Full))),
            (&[X25519], &[X25519MLKEM768], None),
        ] {
            let near = root.certificate_with(client, only(client, offered), "web");
            let far = root.certificate_with(server, only(server, accepted), "cart");
            for layers in LAYERS {
                let outcome = shake(layers, &near, &far).await;
                match (outcome, agreed) {
                    (Ok(pair), Some((group, kind))) => {
                        assert_eq!(pair.0.negotiated().group, group);
                        assert_eq!(pair.0.negotiated().handshake, kind);
                    }
                    (Err(HandshakeError::Refused(_) | HandshakeError::Protocol(_)), None) => {}
                    (outcome, agreed) => panic!("{client} to {server}: {outcome:?} instead of {agreed:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_resumed() {
    for (root, client, server) in pairs() {
        let root = Root::new(root);
        let (client, server) = (root.certificate(client, "web"), root.certificate(server, "cart"));
        for layers in LAYERS.into_iter().cycle().take(8) {
            let mut pair = shake(layers, &client, &server).await.unwrap();
            exchange(&mut pair).await;
            assert_eq!(pair.0.negotiated().handshake, Handshake::Full);
            assert_eq!(pair.1.negotiated().handshake, Handshake::Full);
        }
    }
}

#[tokio::test]
async fn keys_are_updated_under_traffic() {
    fn update(stream: &mut TlsStream<DuplexStream>) {
        match &mut stream.layer {
            Records::Own(own) => own.update_key(true).unwrap(),
            Records::Library(library) => match &mut library.stream {
                tokio_rustls::TlsStream::Client(client) => client.get_mut().1.refresh_traffic_keys().unwrap(),
                tokio_rustls::TlsStream::Server(server) => server.get_mut().1.refresh_traffic_keys().unwrap(),
            },
        }
    }
    for (root, client, server) in pairs() {
        let root = Root::new(root);
        let (client, server) = (root.certificate(client, "web"), root.certificate(server, "cart"));
        for layers in LAYERS {
            let mut pair = shake(layers, &client, &server).await.unwrap();
            for _ in 0..10 {
                update(&mut pair.0);
                exchange(&mut pair).await;
                update(&mut pair.1);
                exchange(&mut pair).await;
            }
        }
    }
}

#[tokio::test]
async fn configurations_are_built_once() {
    let certificate = Root::new(Provider::default()).certificate(Provider::default(), "web");
    for resumption in [false, true] {
        let server = || certificate.sessions().server(resumption).unwrap();
        assert!(Arc::ptr_eq(&server(), &server()));
    }
    let cart = certificate.sessions().client(&identity("cart").into(), false).unwrap();
    let again = ExpectedPeers::with_names([], [identity("cart").to_string()]);
    assert!(Arc::ptr_eq(&cart, &certificate.sessions().client(&again, false).unwrap()));
    assert!(!Arc::ptr_eq(&cart, &certificate.sessions().client(&identity("pay").into(), false).unwrap()));
    // However many destinations there are, the cache stays bounded: the first one has been forgotten.
    for number in 0..600 {
        certificate.sessions().client(&identity(&format!("a{number}")).into(), false).unwrap();
    }
    assert!(!Arc::ptr_eq(&cart, &certificate.sessions().client(&again, false).unwrap()));
}

/// Carries one byte per read and per write.
struct ByteByByte(DuplexStream);

impl AsyncRead for ByteByByte {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        into.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteByByte {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a8_hello_one_byte_at_a_time() {
    let root = Root::new(Provider::default());
    let (client, server) =
        (root.certificate(Provider::default(), "web"), root.certificate(Provider::default(), "cart"));
    let expected = identity("cart").into();
    for layers in LAYERS {
        let (here, there) = duplex(64);
        let (connected, accepted) = tokio::join!(
            connect_with(with(layers.0), ANYWHERE, ByteByByte(here), &client, &expected),
            accept_with(with(layers.1), ByteByByte(there), &server)
        );
        let ((mut near, cart), (mut far, web)) = (connected.unwrap(), accepted.unwrap());
        assert_eq!((cart, web), (identity("cart"), identity("web")));
        let send = async {
            near.write_all(&[7; 5000]).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let mut seen = Vec::new();
        let ((), received) = tokio::join!(send, far.read_to_end(&mut seen));
        received.unwrap();
        assert_eq!(seen, [7; 5000]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_cut_off() {
    let server = Root::new(Provider::default()).certificate(Provider::default(), "cart");
    for layer in [Layer::Own, Layer::Library] {
        let (mut here, there) = duplex(64);
        // The beginning of a hello, and then nothing.
        here.write_all(&[0x16, 0x03, 0x01, 0x05, 0x00, 0x01]).await.unwrap();
        let begun = tokio::time::Instant::now();
        let outcome = accept_with(with(layer), there, &server).await;
        assert!(matches!(outcome, Err(HandshakeError::Timeout)), "{outcome:?}");
        assert!((HANDSHAKE_TIMEOUT..HANDSHAKE_TIMEOUT + Duration::from_secs(1)).contains(&begun.elapsed()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let client = Root::new(Provider::default()).certificate(Provider::default(), "web");
    for layer in [Layer::Own, Layer::Library] {
        let (here, _there) = duplex(1 << 16);
        let outcome = connect_with(with(layer), ANYWHERE, here, &client, &identity("cart").into()).await;
        assert!(matches!(outcome, Err(HandshakeError::Timeout)), "{outcome:?}");
        assert_eq!(outcome.unwrap_err().fault(), Fault::Peer);
    }
}

#[tokio::test]
async fn hang_up_and_foreign_protocols() {
    let server = Root::new(Provider::default()).certificate(Provider::default(), "cart");
    for layer in [Layer::Own, Layer::Library] {
        let (here, there) = duplex(64);
        drop(here);
        let outcome = accept_with(with(layer), there, &server).await;
        assert!(matches!(outcome, Err(HandshakeError::Closed)), "{outcome:?}");
        for foreign in [
            &b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n"[..],
            b"PRI *",
            &[22, 3, 1, 255, 255],
            &[24, 3, 3, 0, 1, 7],
        ] {
            let (mut here, there) = duplex(256);
            here.write_all(foreign).await.unwrap();
            let outcome = accept_with(with(layer), there, &server).await;
            assert!(matches!(outcome, Err(HandshakeError::Protocol(_))), "{foreign:?}: {outcome:?}");
            // It is told why, by an alert.
            let mut alert = [0; 7];
            here.read_exact(&mut alert).await.unwrap();
            assert_eq!((alert[0], alert[5]), (21, 2), "{foreign:?}");
        }
    }
}

#[tokio::test]
async fn a_large_transfer_arrives_whole_both_ways() {
    let root = Root::new(Provider::default());
    let (client, server) =
        (root.certificate(Provider::default(), "web"), root.certificate(Provider::default(), "cart"));
    let data: Vec<u8> = (0..3_000_000_u32).map(|number| ((number * 7) >> 3) as u8).collect();
    let one_way = |stream: TlsStream<DuplexStream>| {
        let data = data.clone();
        async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let send = async {
                writer.write_all(&data).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut seen = Vec::new();
            let (_, received) = tokio::join!(send, reader.read_to_end(&mut seen));
            received.unwrap();
            assert!(seen == data, "the bytes differ");
        }
    };
    for layers in LAYERS {
        let (near, far) = shake(layers, &client, &server).await.unwrap();
        tokio::join!(one_way(near), one_way(far));
    }
}

/// Everything up to the peer's end, by the in-place methods.
pub(super) async fn receive_all(stream: &mut TlsStream<DuplexStream>) -> io::Result<Vec<u8>> {
    let mut seen = Vec::new();
    loop {
        let before = seen.len();
        let received =
            poll_fn(|cx| stream.poll_receive(cx, &mut |pieces| seen.extend(pieces.concat()))).await?;
        match received {
            Received::Bytes(count) => assert_eq!(seen.len() - before, count),
            Received::End => return Ok(seen),
        }
    }
}

#[tokio::test]
async fn what_is_sealed_is_received_in_order() {
    let root = Root::new(Provider::default());
    let (client, server) =
        (root.certificate(Provider::default(), "web"), root.certificate(Provider::default(), "cart"));
    let data: Vec<u8> = (0..1_000_000_u32).map(|number| ((number * 7) >> 3) as u8).collect();
    for layers in LAYERS {
        let (mut near, mut far) = shake(layers, &client, &server).await.unwrap();
        let send = async {
            for piece in data.chunks(100_000) {
                let (head, tail) = piece.split_at(9);
                near.seal(&[head, &[], tail]).unwrap();
                assert!(near.queued() >= piece.len());
            }
            poll_fn(|cx| near.poll_send(cx)).await.unwrap();
            assert_eq!(near.queued(), 0);
            poll_fn(|cx| near.poll_close(cx)).await.unwrap();
            assert!(near.seal(&[b"late"]).is_err() || poll_fn(|cx| near.poll_send(cx)).await.is_err());
        };
        let ((), seen) = tokio::join!(send, receive_all(&mut far));
        assert!(seen.unwrap() == data, "the bytes differ");
    }
}

#[tokio::test]
async fn a_stream_cut_without_notice_is_an_error() {
    let root = Root::new(Provider::default());
    let (client, server) =
        (root.certificate(Provider::default(), "web"), root.certificate(Provider::default(), "cart"));
    for layers in LAYERS {
        let (near, mut far) = shake(layers, &client, &server).await.unwrap();
        drop(near);
        for _ in 0..2 {
            let error = far.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(!is_tls_refusal(&error));
        }
    }
}

#[test]
fn a_refusal_is_recognised_also_in_a_copy() {
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::BadCertificate);
    let error = io::Error::new(io::ErrorKind::InvalidData, alert);
    assert!(is_tls_refusal(&error));
    assert!(is_tls_refusal(&io::Error::new(error.kind(), error.to_string())));
    assert!(!is_tls_refusal(&io::ErrorKind::ConnectionReset.into()));
    let other = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
    assert!(!is_tls_refusal(&other));
}

#[tokio::test]
async fn handshakes_are_small_futures() {
    let root = Root::new(Provider::default());
    let certificate = root.certificate(Provider::default(), "web");
    let expected = identity("cart").into();
    for layer in [Layer::Own, Layer::Library] {
        let (here, there) = duplex(64);
        let sizes = [
            std::mem::size_of_val(&connect_with(with(layer), ANYWHERE, here, &certificate, &expected)),
            std::mem::size_of_val(&accept_with(with(layer), there, &certificate)),
        ];
        assert!(sizes.iter().all(|size| *size <= 6 * 1024), "{sizes:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let server = Root::new(Provider::default()).certificate(Provider::default(), "cart");
        for layer in [Layer::Own, Layer::Library] {
            let outcome = runtime.block_on(async {
                let (mut here, there) = duplex(1 << 12);
                here.write_all(&bytes).await.unwrap();
                here.shutdown().await.unwrap();
                accept_with(with(layer), there, &server).await.map(drop)
            });
            proptest::prop_assert!(outcome.is_err());
        }
    }
}
