//! Our requests say exactly what they must; other people's are read with suspicion.

use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA256;
use x509_parser::x509::X509Version;

use super::*;
use crate::testing::identity;

fn ours(provider: Provider) -> String {
    certificate_request(&KeyPair::generate(provider).unwrap(), &identity("web")).unwrap()
}

#[test]
fn our_request_says_exactly_what_it_must() {
    for provider in Provider::COMPILED {
        let key = KeyPair::generate(*provider).unwrap();
        let text = certificate_request(&key, &identity("web")).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
        let der = decode(&text).unwrap();
        let request = parse(&der).unwrap();
        let body = &request.certification_request_info;
        assert_eq!(body.version, X509Version::V1);
        assert_eq!(body.subject.as_raw(), [0x30, 0x00], "the subject is empty");
        assert_eq!(request.signature_algorithm.algorithm, OID_SIG_ECDSA_WITH_SHA256);
        assert_eq!(PublicKey::from_parsed(&body.subject_pki).as_ref(), Ok(key.public()));
        let extensions: Vec<_> = request.requested_extensions().unwrap().collect();
        assert_eq!(extensions.len(), 1);
        assert_eq!(csr_identity(&text).unwrap(), identity("web"));
        // The other provider can check it too.
        for reader in Provider::COMPILED {
            assert_eq!(verified_key(*reader, &text).as_ref(), Ok(key.public()));
        }
    }
}

#[test]
fn every_request_has_its_own_key() {
    let keys: Vec<_> =
        (0..8).map(|_| verified_key(Provider::default(), &ours(Provider::default()))).collect();
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(key));
    }
}

#[test]
fn requests_of_other_programs() {
    for provider in Provider::COMPILED {
        for (text, kind) in [
            (include_str!("../../tests/fixtures/csr-p256.pem"), KeyKind::P256),
            (include_str!("../../tests/fixtures/csr-p384.pem"), KeyKind::P384),
            (include_str!("../../tests/fixtures/csr-rsa2048.pem"), KeyKind::Rsa),
        ] {
            assert_eq!(verified_key(*provider, text).unwrap().kind(), kind);
        }
    }
}

#[test]
fn weak_and_odd_requests_are_refused() {
    for provider in Provider::COMPILED {
        let refused = |text: &str| verified_key(*provider, text).unwrap_err();
        let rsa1024 = refused(include_str!("../../tests/fixtures/csr-rsa1024.pem"));
        assert!(matches!(&rsa1024, CsrRefusal::Key(reason) if reason.contains("1024 bits")), "{rsa1024}");
        let ed25519 = refused(include_str!("../../tests/fixtures/csr-ed25519.pem"));
        assert!(matches!(ed25519, CsrRefusal::Key(_)), "{ed25519}");
        assert_eq!(refused(include_str!("../../tests/fixtures/csr-sha1.pem")), CsrRefusal::Signature);
        let text = ours(*provider);
        assert_eq!(refused(&text.repeat(2)), CsrRefusal::Malformed);
        assert_eq!(refused(""), CsrRefusal::Malformed);
        assert_eq!(refused(&text.replace("CERTIFICATE REQUEST", "CERTIFICATE")), CsrRefusal::Malformed);
        let long = format!("{text}{}", " ".repeat(LONGEST));
        assert_eq!(refused(&long), CsrRefusal::TooLong(long.len()));
    }
}

#[test]
fn a_changed_request_is_refused() {
    let der = decode(&ours(Provider::default())).unwrap();
    let signed = parse(&der).unwrap().certification_request_info.raw.len() + 4;
    for index in 0..der.len() {
        let mut changed = der.to_vec();
        changed[index] ^= 0x01;
        let text = crate::pem::encode("CERTIFICATE REQUEST", &changed);
        match verified_key(Provider::default(), &text) {
            Err(_) => {}
            // The name of the algorithm is not signed; only an unchanged key may pass.
            Ok(key) => {
                assert!(index >= signed, "a change of byte {index} went unnoticed");
                assert_eq!(
                    Ok(key),
                    verified_key(Provider::default(), &crate::pem::encode("CERTIFICATE REQUEST", &der))
                );
            }
        }
    }
}

#[test]
fn a_request_with_something_after_it_is_refused() {
    let mut der = decode(&ours(Provider::default())).unwrap().to_vec();
    der.push(0);
    let text = crate::pem::encode("CERTIFICATE REQUEST", &der);
    assert_eq!(verified_key(Provider::default(), &text), Err(CsrRefusal::Malformed));
    assert_eq!(csr_identity(&text), Err(CsrRefusal::Malformed));
}

#[test]
fn a_request_without_a_name_asks_for_nobody() {
    let text = include_str!("../../tests/fixtures/csr-p384.pem");
    assert_eq!(csr_identity(text), Err(CsrRefusal::Name(SanRefusal::Count(0))));
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}", der in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let wrapped = crate::pem::encode("CERTIFICATE REQUEST", &der);
        for text in [text, wrapped] {
            proptest::prop_assert!(verified_key(Provider::default(), &text).is_err());
            proptest::prop_assert!(csr_identity(&text).is_err());
        }
    }
}
