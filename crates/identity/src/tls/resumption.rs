//! Which handshakes are spared the certificates, and which are not.

use std::future::poll_fn;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::tests::{LAYERS, Pair, pairs};
use super::*;
use crate::Provider;
use crate::testing::{HOUR, Root, identity};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

async fn meet(
    layers: (Layer, Layer),
    address: IpAddr,
    client: &Certificate,
    server: &Certificate,
    expected: &ExpectedPeers,
) -> Result<Pair, HandshakeError> {
    let (here, there) = duplex(1 << 16);
    let options = |records| Options { records, resumption: true };
    let (connected, accepted) = tokio::join!(
        connect_with(options(layers.0), address, here, client, expected),
        accept_with(options(layers.1), there, server)
    );
    let (accepted, connected) = (accepted?, connected?);
    assert_eq!((&accepted.1, &connected.1), (client.identity(), server.identity()));
    let mut pair = (connected.0, accepted.0);
    // Tickets come before the server's first data.
    marker(&mut pair.1, &mut pair.0).await;
    marker(&mut pair.0, &mut pair.1).await;
    assert_eq!(pair.0.negotiated(), pair.1.negotiated());
    Ok(pair)
}

async fn marker(from: &mut TlsStream<DuplexStream>, to: &mut TlsStream<DuplexStream>) {
    from.write_all(b"marker").await.unwrap();
    poll_fn(|cx| from.poll_send(cx)).await.unwrap();
    let mut seen = [0; 6];
    to.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"marker");
}

async fn kind(
    layers: (Layer, Layer),
    address: IpAddr,
    client: &Certificate,
    server: &Certificate,
) -> Handshake {
    let expected = ExpectedPeers::from(server.identity().clone());
    meet(layers, address, client, server, &expected).await.unwrap().0.negotiated().handshake
}

#[tokio::test]
async fn the_second_meeting_is_shorter_and_still_has_a_key_exchange() {
    for (root, client, server) in pairs() {
        let root = Root::new(root);
        let (client, server) = (root.certificate(client, "web"), root.certificate(server, "cart"));
        for layers in LAYERS {
            let (client, server) = (&client, &server);
            let expected = ExpectedPeers::from(identity("cart"));
            // Tickets of one record layer are good for the other.
            meet(layers, HERE, client, server, &expected).await.unwrap();
            for _ in 0..3 {
                let pair = meet(layers, HERE, client, server, &expected).await.unwrap();
                let negotiated = pair.0.negotiated();
                assert_eq!((negotiated.handshake, negotiated.group), (Handshake::Resumed, "X25519MLKEM768"));
                assert!(negotiated.http2);
            }
        }
    }
}

#[tokio::test]
async fn a_replaced_certificate_or_trust_bundle_resumes_nothing() {
    let root = Root::new(Provider::default());
    let issue = |account| root.certificate(Provider::default(), account);
    for layers in LAYERS {
        let (client, server) = (issue("web"), issue("cart"));
        kind(layers, HERE, &client, &server).await;
        assert_eq!(kind(layers, HERE, &client, &server).await, Handshake::Resumed);
        let rotated = issue("cart");
        assert_eq!(kind(layers, HERE, &client, &rotated).await, Handshake::Full);
        assert_eq!(kind(layers, HERE, &client, &rotated).await, Handshake::Resumed);
        assert_eq!(kind(layers, HERE, &issue("web"), &rotated).await, Handshake::Full);
    }
}

#[tokio::test]
async fn another_expected_identity_or_address_resumes_nothing() {
    let root = Root::new(Provider::default());
    let issue = |account| root.certificate(Provider::default(), account);
    for layers in LAYERS {
        let (client, server) = (issue("web"), issue("cart"));
        kind(layers, HERE, &client, &server).await;
        assert_eq!(kind(layers, ELSEWHERE, &client, &server).await, Handshake::Full);
        let wider = ExpectedPeers::new([identity("cart"), identity("pay")]);
        let pair = meet(layers, HERE, &client, &server, &wider).await.unwrap();
        assert_eq!(pair.0.negotiated().handshake, Handshake::Full);
        // The address has passed to another workload, which must not be taken for the first.
        let refused = meet(layers, HERE, &client, &issue("pay"), &identity("cart").into()).await;
        assert!(refused.is_err());
        let (here, there) = duplex(1 << 16);
        let expected = identity("cart").into();
        let (pay, options) = (issue("pay"), Options { records: layers.0, resumption: true });
        let (connected, _) = tokio::join!(
            connect_with(options, HERE, here, &client, &expected),
            accept_with(options, there, &pay)
        );
        assert!(matches!(connected, Err(HandshakeError::Peer(_))), "{connected:?}");
    }
}

#[tokio::test]
async fn each_side_may_decline() {
    let root = Root::new(Provider::default());
    let (client, server) =
        (root.certificate(Provider::default(), "web"), root.certificate(Provider::default(), "cart"));
    for layers in LAYERS {
        for (near, far) in [(true, false), (false, true), (false, false)] {
            kind(layers, HERE, &client, &server).await;
            let (here, there) = duplex(1 << 16);
            let expected = identity("cart").into();
            let (connected, accepted) = tokio::join!(
                connect_with(Options { records: layers.0, resumption: near }, HERE, here, &client, &expected),
                accept_with(Options { records: layers.1, resumption: far }, there, &server)
            );
            assert_eq!(connected.unwrap().0.negotiated().handshake, Handshake::Full);
            assert_eq!(accepted.unwrap().0.negotiated().handshake, Handshake::Full);
        }
    }
}

#[test]
fn a_peer_that_has_expired_or_is_trusted_no_more_is_not_resumed() {
    use crate::verify::PeerRefusal;
    let (root, other) = (Root::new(Provider::default()), Root::new(Provider::default()));
    let ours = root.certificate(Provider::default(), "web");
    let chain = crate::pem::certificates(&ours.chain()[0].pem).unwrap();
    let expected = ExpectedPeers::from(identity("web"));
    let (now, later) = (
        UnixTime::now(),
        UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + 3 * HOUR),
    );
    let reason = |outcome: Result<(), rustls::Error>| match HandshakeError::from_tls(outcome.unwrap_err()) {
        HandshakeError::Peer(refusal) => refusal,
        other => panic!("{other}"),
    };
    assert_eq!(ours.sessions().verify_client(&chain, now), Ok(()));
    assert_eq!(ours.sessions().verify_server(&expected, &chain, now), Ok(()));
    assert_eq!(reason(ours.sessions().verify_client(&chain, later)), PeerRefusal::Expired);
    assert_eq!(reason(ours.sessions().verify_server(&expected, &chain, later)), PeerRefusal::Expired);
    let elsewhere = ExpectedPeers::from(identity("cart"));
    let refusal = reason(ours.sessions().verify_server(&elsewhere, &chain, now));
    assert!(matches!(refusal, PeerRefusal::Unexpected { .. }));
    let theirs = other.certificate(Provider::default(), "cart");
    assert!(theirs.sessions().verify_client(&chain, now).is_err());
    assert!(theirs.sessions().verify_client(&[], now).is_err());
    // That is asked of a resumed connection, each time.
    let refuse = |_: &[CertificateDer<'_>]| Err(rustls::CertificateError::Expired.into());
    let resumed = peer_identity(Some(&chain), Handshake::Resumed, &refuse);
    assert!(matches!(resumed, Err(HandshakeError::Peer(PeerRefusal::Expired))));
    assert_eq!(peer_identity(Some(&chain), Handshake::Full, &refuse).unwrap(), identity("web"));
}
