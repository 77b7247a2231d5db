//! Both providers say the same hello, with our lists in our order.

use rustls::server::Acceptor;
use rustls::version::TLS13;
use rustls::{CipherSuite, ClientConfig, ClientConnection, NamedGroup, ProtocolVersion};
use rustls_pki_types::ServerName;

use super::*;
use crate::testing::{Root, identity};
use crate::{ExpectedPeers, KeyPair};

const SUITES: [CipherSuite; 2] =
    [CipherSuite::TLS13_AES_256_GCM_SHA384, CipherSuite::TLS13_AES_128_GCM_SHA256];
const GROUPS: [NamedGroup; 4] =
    [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];

/// What a server sees of a client's first flight.
struct Seen {
    suites: Vec<CipherSuite>,
    groups: Vec<NamedGroup>,
    alpn: Vec<Vec<u8>>,
    name: Option<String>,
    bytes: usize,
}

fn hello(config: Arc<ClientConfig>) -> Seen {
    let name = ServerName::try_from("0.0.0.0").unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut flight = Vec::new();
    client.write_tls(&mut flight).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut flight.as_slice()).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    let hello = accepted.client_hello();
    Seen {
        // The signalling value that forbids renegotiation is no suite.
        suites: hello
            .cipher_suites()
            .iter()
            .copied()
            .filter(|suite| *suite != CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV)
            .collect(),
        groups: hello.named_groups().unwrap().to_vec(),
        alpn: hello.alpn().unwrap().map(<[u8]>::to_vec).collect(),
        name: hello.server_name().map(str::to_owned),
        bytes: flight.len(),
    }
}

#[test]
fn every_hello_carries_our_lists_in_our_order_and_no_name() {
    for provider in Provider::COMPILED {
        let certificate = Root::new(*provider).certificate(*provider, "web");
        let config = certificate.sessions().client(&ExpectedPeers::from(identity("cart")), false).unwrap();
        let seen = hello(config);
        assert_eq!(seen.suites, SUITES, "{provider}");
        assert_eq!(seen.groups, GROUPS, "{provider}");
        assert_eq!(seen.alpn, [b"h2".to_vec()]);
        assert_eq!(seen.name, None);
        assert!(seen.bytes < 1448, "the hello of {provider} has {} bytes and needs two segments", seen.bytes);
    }
}

#[test]
fn servers_have_the_same_lists() {
    for provider in Provider::COMPILED {
        let crypto = provider.crypto();
        let suites: Vec<_> = crypto.cipher_suites.iter().map(|suite| suite.suite()).collect();
        let groups: Vec<_> = crypto.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(
            (suites.as_slice(), groups.as_slice()),
            (SUITES.as_slice(), GROUPS.as_slice()),
            "{provider}"
        );
        assert!(crypto.cipher_suites.iter().all(|suite| suite.version().version == ProtocolVersion::TLSv1_3));
        assert_eq!(crypto.cipher_suites.len(), SUITES.len());
        assert!(ClientConfig::builder_with_provider(crypto).with_protocol_versions(&[&TLS13]).is_ok());
    }
}

#[test]
fn names_round_trip_and_unknown_ones_are_explained() {
    for provider in Provider::COMPILED {
        assert_eq!(provider.name().parse::<Provider>(), Ok(*provider));
    }
    let unknown = "openssl".parse::<Provider>().unwrap_err().to_string();
    assert!(unknown.contains("openssl") && unknown.contains(Provider::default().name()), "{unknown}");
}

#[test]
fn a_key_made_by_one_provider_is_the_same_key_in_all() {
    for maker in Provider::COMPILED {
        let (key, pkcs8) = KeyPair::generate_exportable(*maker).unwrap();
        for reader in Provider::COMPILED {
            let der = PrivateKeyDer::Pkcs8(pkcs8.as_slice().into());
            assert_eq!(KeyPair::load(*reader, &der).unwrap().public(), key.public());
        }
    }
}

#[test]
fn a_key_is_never_printed() {
    let (key, pkcs8) = KeyPair::generate_exportable(Provider::default()).unwrap();
    let text = format!("{key:?}");
    assert!(text.contains("redacted"));
    // Neither as bytes nor as hexadecimal digits.
    let secret = &pkcs8[pkcs8.len() / 2..pkcs8.len() / 2 + 4];
    let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        !text.contains(&digits) && !text.contains(&format!("{secret:?}").trim_matches(['[', ']']).to_owned())
    );
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    for provider in Provider::COMPILED {
        for bytes in [&b""[..], b"\x30\x00", &[0xff; 64]] {
            assert!(provider.load(&PrivateKeyDer::Pkcs8(bytes.into())).is_err());
        }
    }
}
