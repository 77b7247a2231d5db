//! A8: every wrong certificate is refused with its reason, by servers and by clients.

use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, SanType};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::testing::{Credulous, HOUR, Root, identity, uri};
use crate::tls::{HandshakeError, accept, connect, is_tls_refusal};
use crate::{ExpectedPeers, KeyPair, pem};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// What a stranger presents.
struct Presented {
    provider: Provider,
    key: KeyPair,
    chain: Vec<CertificateDer<'static>>,
}

impl Presented {
    fn by(root: &Root, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let provider = Provider::default();
        let key = KeyPair::generate(provider).unwrap();
        let chain = vec![root.leaf(&key, change)];
        Self { provider, key, chain }
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        let certified = CertifiedKey::new(self.chain.clone(), self.key.signing().clone());
        Arc::new(SingleCertAndKey::from(certified))
    }

    /// As a client of our server.
    async fn to_server(&self, root: &Root) -> Result<(), HandshakeError> {
        let crypto = self.provider.crypto();
        let mut config = ClientConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(crypto)))
            .with_client_cert_resolver(self.resolver());
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.enable_sni = false;
        let ours = root.certificate(Provider::default(), "server");
        let (here, there) = duplex(1 << 16);
        let name = ServerName::try_from("0.0.0.0").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let client = async {
            // In TLS 1.3 the client is done before the server has judged it: the refusal comes with the first read.
            let error = match connector.connect(name, here).await {
                Ok(mut stream) => stream.read_u8().await.unwrap_err(),
                Err(error) => error,
            };
            error.kind() == std::io::ErrorKind::UnexpectedEof || is_tls_refusal(&error)
        };
        let (outcome, refused) = tokio::join!(async { accept(there, &ours).await.map(drop) }, client);
        assert!(outcome.is_ok() || refused, "the client was not told");
        outcome
    }

    /// As a server for our client, which expects `web`.
    async fn to_client(&self, root: &Root) -> Result<(), HandshakeError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.crypto())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(self.resolver());
        config.alpn_protocols = vec![b"h2".to_vec()];
        let ours = root.certificate(Provider::default(), "client");
        let (here, there) = duplex(1 << 16);
        let expected = ExpectedPeers::from(identity("web"));
        let server = TlsAcceptor::from(Arc::new(config)).accept(there);
        let (outcome, _) = tokio::join!(connect(here, &ours, &expected), server);
        outcome.map(drop)
    }
}

/// The same refusal from both sides.
async fn refused_by_both(root: &Root, presented: &Presented) -> PeerRefusal {
    let by_server = refusal_of(presented.to_server(root).await);
    let by_client = refusal_of(presented.to_client(root).await);
    assert_eq!(by_server, by_client);
    assert!(!by_server.to_string().contains('\n'));
    by_server
}

fn refusal_of(outcome: Result<(), HandshakeError>) -> PeerRefusal {
    match outcome {
        Err(HandshakeError::Peer(refusal)) => refusal,
        other => panic!("not refused for its certificate: {other:?}"),
    }
}

async fn refused(change: impl FnOnce(&mut CertificateParams)) -> PeerRefusal {
    let root = Root::new(Provider::default());
    refused_by_both(&root, &Presented::by(&root, change)).await
}

async fn refused_names(names: Vec<SanType>) -> SanRefusal {
    match refused(|params| params.subject_alt_names = names).await {
        PeerRefusal::Name(refusal) => refusal,
        other => panic!("refused for another reason: {other}"),
    }
}

#[tokio::test]
async fn a_right_certificate_is_accepted() {
    let root = Root::new(Provider::default());
    let right = Presented::by(&root, |_| {});
    right.to_server(&root).await.unwrap();
    right.to_client(&root).await.unwrap();
}

#[tokio::test]
async fn a_dns_name_beside_the_identity_does_no_harm() {
    let root = Root::new(Provider::default());
    let right = Presented::by(&root, |params| {
        params.subject_alt_names.push(SanType::DnsName("web.shop.svc".try_into().unwrap()));
    });
    right.to_server(&root).await.unwrap();
    right.to_client(&root).await.unwrap();
}

#[tokio::test]
async fn a8_no_certificate() {
    let root = Root::new(Provider::default());
    let crypto = Provider::default().crypto();
    let config = ClientConfig::builder_with_provider(crypto.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(crypto)))
        .with_no_client_auth();
    let ours = root.certificate(Provider::default(), "server");
    let (here, there) = duplex(1 << 16);
    let client = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("x").unwrap(), here);
    let (outcome, _) = tokio::join!(accept(there, &ours), client);
    assert!(matches!(outcome, Err(HandshakeError::NoCertificate)), "{outcome:?}");
}

#[tokio::test]
async fn a8_dates() {
    let now = SystemTime::now();
    let expired = refused(|params| params.not_after = (now - HOUR / 2).into()).await;
    assert_eq!(expired, PeerRefusal::Expired);
    let early = refused(|params| params.not_before = (now + HOUR / 2).into()).await;
    assert_eq!(early, PeerRefusal::NotYetValid);
}

#[tokio::test]
async fn a8_wrong_root() {
    let other = Root::new(Provider::default());
    let presented = Presented::by(&other, |_| {});
    let root = Root::new(Provider::default());
    let refusal = refused_by_both(&root, &presented).await;
    // Both test roots have one name, so that the chain is tried and its signature found wrong.
    assert!(matches!(refusal, PeerRefusal::UnknownIssuer | PeerRefusal::Chain(_)), "{refusal}");
}

#[tokio::test]
async fn a8_wrong_trust_domain() {
    let root = Root::new(Provider::default());
    let presented = Presented::by(&root, |params| {
        params.subject_alt_names = vec![uri("spiffe://other.domain/ns/shop/sa/web")];
    });
    let by_server = refusal_of(presented.to_server(&root).await);
    assert!(matches!(by_server, PeerRefusal::TrustDomain { .. }), "{by_server}");
    let by_client = refusal_of(presented.to_client(&root).await);
    assert!(matches!(by_client, PeerRefusal::Unexpected { .. }), "{by_client}");
}

#[tokio::test]
async fn a8_names() {
    assert_eq!(refused_names(vec![]).await, SanRefusal::Count(0));
    assert_eq!(refused_names(vec![uri(WEB), uri(WEB)]).await, SanRefusal::Count(2));
    assert_eq!(refused_names(vec![uri(WEB), uri("https://example.com/")]).await, SanRefusal::Count(2));
    let dns = SanType::DnsName("web.shop.svc.cluster.local".try_into().unwrap());
    assert_eq!(refused_names(vec![dns]).await, SanRefusal::Count(0));
    let mail = SanType::Rfc822Name(WEB.try_into().unwrap());
    assert_eq!(refused_names(vec![mail]).await, SanRefusal::Count(0));
    assert_eq!(refused_names(vec![uri(&format!("{WEB}\0.evil"))]).await, SanRefusal::ControlCharacter);
    for odd in ["spiffe://cluster.local/web", "https://cluster.local/ns/shop/sa/web", "*"] {
        let refusal = refused_names(vec![uri(odd)]).await;
        assert!(matches!(refusal, SanRefusal::Invalid(_)), "{odd}: {refusal}");
    }
}

#[tokio::test]
async fn a8_usage() {
    let root = Root::new(Provider::default());
    let server_only = Presented::by(&root, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let refusal = refusal_of(server_only.to_server(&root).await);
    assert_eq!(refusal, PeerRefusal::Usage("client authentication"));
    let client_only = Presented::by(&root, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let refusal = refusal_of(client_only.to_client(&root).await);
    assert_eq!(refusal, PeerRefusal::Usage("server authentication"));
}

#[tokio::test]
async fn a8_long_chain() {
    let root = Root::new(Provider::default());
    let mut presented = Presented::by(&root, |_| {});
    presented.chain.extend(std::iter::repeat_n(root.der.clone(), 50));
    assert_eq!(refused_by_both(&root, &presented).await, PeerRefusal::LongChain(50));
}

#[tokio::test]
async fn a8_authority_as_leaf() {
    let refusal = refused(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).await;
    assert!(matches!(refusal, PeerRefusal::Chain(_)), "{refusal}");
}

#[tokio::test]
async fn a8_not_a_certificate() {
    let root = Root::new(Provider::default());
    let mut presented = Presented::by(&root, |_| {});
    presented.chain = vec![CertificateDer::from(b"\x30\x03\x02\x01\x05".to_vec())];
    let refusal = refused_by_both(&root, &presented).await;
    assert_eq!(refusal, PeerRefusal::Name(SanRefusal::Malformed));
}

#[tokio::test]
async fn a8_stolen_certificate_without_its_key() {
    let root = Root::new(Provider::default());
    let mut presented = Presented::by(&root, |_| {});
    presented.key = KeyPair::generate(presented.provider).unwrap();
    let refusal = refused_by_both(&root, &presented).await;
    assert!(matches!(refusal, PeerRefusal::Chain(_)), "{refusal}");
}

#[tokio::test]
async fn nobody_is_expected() {
    let root = Root::new(Provider::default());
    let (client, server) =
        (root.certificate(Provider::default(), "web"), root.certificate(Provider::default(), "cart"));
    for expected in [ExpectedPeers::new([]), identity("web").into()] {
        let (here, there) = duplex(1 << 16);
        let (outcome, _) = tokio::join!(connect(here, &client, &expected), accept(there, &server));
        let refusal = refusal_of(outcome.map(drop));
        assert_eq!(refusal, PeerRefusal::Unexpected { identity: identity("cart"), expected });
    }
}

/// A chain judged without a handshake, for certificates whose keys no provider would load.
fn judge(provider: Provider, leaf: &str) -> Result<Identity, PeerRefusal> {
    let root = pem::certificates(include_str!("../../tests/fixtures/ca-p384.pem")).unwrap();
    let bundle = TrustBundle::new(provider, root).unwrap();
    let leaf = pem::certificates(leaf).unwrap().remove(0);
    bundle.verify(
        &leaf,
        &[],
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(2_000_000_000)),
        Purpose::Client,
    )
}

#[test]
fn a8_weak_key_and_weak_signature() {
    for provider in Provider::COMPILED {
        let good = judge(*provider, include_str!("../../tests/fixtures/leaf-good.pem"));
        assert_eq!(good.unwrap().to_string(), WEB);
        let weak_key = judge(*provider, include_str!("../../tests/fixtures/leaf-rsa1024.pem")).unwrap_err();
        assert!(matches!(&weak_key, PeerRefusal::Key(reason) if reason.contains("1024 bits")), "{weak_key}");
        let weak_signature =
            judge(*provider, include_str!("../../tests/fixtures/leaf-sha1.pem")).unwrap_err();
        assert!(matches!(weak_signature, PeerRefusal::Chain(_)), "{weak_signature}");
    }
}

#[test]
fn equal_bundles_are_one_value_and_others_are_not() {
    let provider = Provider::default();
    let [one, other] = [(); 2].map(|()| Root::new(provider).der);
    let bundles = TrustBundles::default();
    let of = |roots: &[&CertificateDer<'static>]| {
        bundles.of(provider, roots.iter().map(|root| (*root).clone()).collect()).unwrap()
    };
    let first = of(&[&one]);
    assert!(Arc::ptr_eq(&first, &of(&[&one])));
    let both = of(&[&one, &other]);
    assert_eq!(
        (first.roots().len(), both.roots().len()),
        (1, 2),
        "a root that is added makes another bundle"
    );
    assert!(Arc::ptr_eq(&both, &of(&[&one, &other])));
    let fewer = of(&[&other]);
    assert_eq!(*fewer.roots(), [other], "a root that is removed is gone");
    assert!(bundles.of(provider, vec![CertificateDer::from(vec![0])]).is_none());
}
