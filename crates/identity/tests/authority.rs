//! The authority: what it signs, what it refuses, and its way through files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use ambit_identity::authority::{LoadError, ROOT_LIFETIME, SignError};
use ambit_identity::certificate::InvalidCertificate;
use ambit_identity::csr::certificate_request;
use ambit_identity::{Authority, Certificate, KeyPair, Provider};
use ambit_model::Identity;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_P384: &str = include_str!("fixtures/ca-p384.pem");
const INTERMEDIATE: &str = include_str!("fixtures/intermediate.pem");
const KEY_P384: &str = include_str!("fixtures/ca-p384-sec1.key");

fn identity(account: &str) -> Identity {
    Identity::new("cluster.local", "shop", account).unwrap()
}

fn root() -> Authority {
    Authority::create(Provider::default(), "cluster.local", "Ambit", SystemTime::now()).unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn parsed(der: &CertificateDer<'static>) -> X509Certificate<'static> {
    X509Certificate::from_der(Box::leak(der.to_vec().into_boxed_slice())).unwrap().1
}

fn sign(authority: &Authority, key: &KeyPair, lifetime: Duration) -> Vec<String> {
    let csr = certificate_request(key, &identity("web")).unwrap();
    authority.sign(&csr, &identity("web"), lifetime, SystemTime::now()).unwrap()
}

fn key_identifiers(certificate: &X509Certificate<'_>) -> (Vec<u8>, Vec<u8>) {
    let mut own = Vec::new();
    let mut issuer = Vec::new();
    for extension in certificate.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => own = identifier.0.to_vec(),
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                issuer = identifier.key_identifier.as_ref().unwrap().0.to_vec();
            }
            _ => {}
        }
    }
    (own, issuer)
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn a_new_root_is_a_root() {
    for provider in Provider::COMPILED {
        let authority = Authority::create(*provider, "cluster.local", "Ambit", SystemTime::now()).unwrap();
        assert_eq!(authority.certificate_pem(), authority.roots_pem());
        let root = parsed(&der(&authority.roots_pem()));
        assert_eq!(root.subject().to_string(), "O=Ambit, CN=cluster.local root");
        assert_eq!(root.subject().as_raw(), root.issuer().as_raw());
        let constraints = root.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        let usage = root.key_usage().unwrap().unwrap().value;
        assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
        let (own, issuer) = key_identifiers(&root);
        assert_eq!((own.len(), &own), (20, &issuer));
        let years = root.validity().not_after.timestamp() - root.validity().not_before.timestamp();
        assert!((years - ROOT_LIFETIME.as_secs() as i64 - 120).abs() <= 1);
        assert_eq!(authority.not_after().duration_since(SystemTime::now()).unwrap().as_secs() / 3600, 87_599);
    }
}

#[test]
fn a_leaf_says_exactly_what_it_must() {
    for provider in Provider::COMPILED {
        let authority = Authority::create(*provider, "cluster.local", "Ambit", SystemTime::now()).unwrap();
        for key_provider in Provider::COMPILED {
            let key = KeyPair::generate(*key_provider).unwrap();
            let chain = sign(&authority, &key, DAY);
            let [leaf, roots] = chain.as_slice() else { panic!("{} elements", chain.len()) };
            assert_eq!(*roots, authority.roots_pem());
            let (leaf, root) = (parsed(&der(leaf)), parsed(&der(roots)));
            assert_eq!(leaf.subject().as_raw(), [0x30, 0x00]);
            assert_eq!(leaf.issuer().as_raw(), root.subject().as_raw());
            let names = leaf.subject_alternative_name().unwrap().unwrap();
            assert!(names.critical, "RFC 5280: critical when the subject is empty");
            assert_eq!(
                names.value.general_names,
                [GeneralName::URI("spiffe://cluster.local/ns/shop/sa/web")]
            );
            let usage = leaf.extended_key_usage().unwrap().unwrap().value;
            assert!(usage.server_auth && usage.client_auth && !usage.any && usage.other.is_empty());
            assert!(leaf.key_usage().unwrap().unwrap().value.digital_signature());
            assert!(!leaf.is_ca());
            assert_eq!(key_identifiers(&leaf).1, key_identifiers(&root).0);
            let now = seconds(SystemTime::now());
            assert!((leaf.validity().not_before.timestamp() - (now - 120)).abs() <= 2);
            assert!((leaf.validity().not_after.timestamp() - (now + DAY.as_secs() as i64)).abs() <= 2);
            let certificate =
                Certificate::from_pem(&chain, &key, &identity("web"), SystemTime::now()).unwrap();
            assert_eq!(certificate.serial(), leaf.serial.to_string());
            assert_eq!((certificate.chain().len(), certificate.roots().len()), (1, 1));
        }
    }
}

#[test]
fn half_of_even_a_short_life_is_still_to_come() {
    let (authority, key) = (root(), KeyPair::generate(Provider::default()).unwrap());
    for lifetime in [10, 60, 120, 600].map(Duration::from_secs) {
        let leaf = der(&sign(&authority, &key, lifetime)[0]);
        let validity = parsed(&leaf).validity().clone();
        let middle = validity.not_before.timestamp().midpoint(validity.not_after.timestamp());
        let (now, life) = (seconds(SystemTime::now()), lifetime.as_secs() as i64);
        assert!(middle >= now + life / 4, "Istio's ztunnel would ask again at once, without end");
        assert!(validity.not_before.timestamp() <= now - (life / 4).min(120) + 1);
    }
}

#[test]
fn serial_numbers_are_positive_and_never_repeat() {
    let authority = root();
    let key = KeyPair::generate(Provider::default()).unwrap();
    let serials: HashSet<Vec<u8>> =
        (0..64).map(|_| parsed(&der(&sign(&authority, &key, DAY)[0])).raw_serial().to_vec()).collect();
    assert_eq!(serials.len(), 64);
    assert!(serials.iter().all(|serial| serial.len() == 16 && serial[0] & 0x80 == 0));
}

#[test]
fn a9_lifetime_is_clamped_to_the_authority() {
    let now = SystemTime::now();
    let (almost, key) = (now - ROOT_LIFETIME + DAY, KeyPair::generate(Provider::default()).unwrap());
    let old = Authority::create(Provider::default(), "cluster.local", "Ambit", almost).unwrap();
    let csr = certificate_request(&key, &identity("web")).unwrap();
    let chain = old.sign(&csr, &identity("web"), 3650 * DAY, now).unwrap();
    assert_eq!(parsed(&der(&chain[0])).validity().not_after.timestamp(), seconds(old.not_after()));
    let chain = old.sign(&csr, &identity("web"), Duration::MAX, now).unwrap();
    assert_eq!(parsed(&der(&chain[0])).validity().not_after.timestamp(), seconds(old.not_after()));
    assert_eq!(old.sign(&csr, &identity("web"), DAY, now + 2 * DAY), Err(SignError::Expired));
    assert_eq!(old.sign(&csr, &identity("web"), Duration::ZERO, now), Err(SignError::Lifetime));
}

#[test]
fn a9_what_a_request_asks_for_does_not_matter() {
    let authority = root();
    // It asks to be kube-system/admin, with a subject of its choice.
    let csr = include_str!("fixtures/csr-rsa2048.pem");
    assert_eq!(ambit_identity::csr::csr_identity(csr).unwrap().service_account().as_ref(), "admin");
    let chain = authority.sign(csr, &identity("web"), DAY, SystemTime::now()).unwrap();
    let leaf = parsed(&der(&chain[0]));
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::URI("spiffe://cluster.local/ns/shop/sa/web")]);
    assert_eq!(leaf.subject().as_raw(), [0x30, 0x00]);
    assert!(leaf.key_usage().unwrap().unwrap().value.key_encipherment(), "RSA keys may also encipher");
}

#[test]
fn weak_requests_are_not_signed() {
    let authority = root();
    for csr in [
        include_str!("fixtures/csr-rsa1024.pem"),
        include_str!("fixtures/csr-sha1.pem"),
        include_str!("fixtures/csr-ed25519.pem"),
        include_str!("fixtures/leaf-good.pem"),
        "",
    ] {
        let refusal = authority.sign(csr, &identity("web"), DAY, SystemTime::now()).unwrap_err();
        assert!(matches!(refusal, SignError::Request(_)), "{refusal}");
    }
}

#[test]
fn a_root_survives_its_files() {
    for (maker, reader) in
        Provider::COMPILED.iter().flat_map(|one| Provider::COMPILED.iter().map(move |two| (*one, *two)))
    {
        let made = Authority::create(maker, "cluster.local", "Ambit", SystemTime::now()).unwrap();
        let key_pem = made.private_key_pem();
        assert!(key_pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let loaded = Authority::load(reader, &made.certificate_pem(), &key_pem, SystemTime::now()).unwrap();
        assert_eq!(loaded.roots_pem(), made.roots_pem());
        assert_eq!(*loaded.private_key_pem(), *key_pem);
        assert_eq!(seconds(loaded.not_after()), seconds(made.not_after()));
        let key = KeyPair::generate(maker).unwrap();
        let chain = sign(&loaded, &key, DAY);
        let (leaf, root) = (parsed(&der(&chain[0])), parsed(&der(&made.roots_pem())));
        assert_eq!(leaf.issuer().as_raw(), root.subject().as_raw());
        assert_eq!(key_identifiers(&leaf).1, key_identifiers(&root).0);
    }
}

#[test]
fn an_operators_authority_signs_too() {
    for provider in Provider::COMPILED {
        for (certificate, key) in [
            (CA_P384, KEY_P384),
            (include_str!("fixtures/ca-rsa.pem"), include_str!("fixtures/ca-rsa-pkcs1.key")),
            (include_str!("fixtures/ca-rsa.pem"), include_str!("fixtures/ca-rsa-pkcs8.key")),
        ] {
            let now = SystemTime::now();
            let authority = Authority::load(*provider, certificate, key, now).unwrap();
            let key = KeyPair::generate(*provider).unwrap();
            let chain = sign(&authority, &key, DAY);
            Certificate::from_pem(&chain, &key, &identity("web"), now).unwrap();
            let (leaf, root) = (parsed(&der(&chain[0])), parsed(&der(certificate)));
            assert_eq!(leaf.issuer().as_raw(), root.subject().as_raw());
        }
    }
}

#[test]
fn an_intermediate_is_sent_along_and_only_the_roots_are_trusted() {
    let now = SystemTime::now();
    // Another root follows, as during a change of roots.
    let both = format!("{INTERMEDIATE}{CA_P384}{}", include_str!("fixtures/ca-rsa.pem"));
    let key_pem = include_str!("fixtures/intermediate.key");
    let authority = Authority::load(Provider::default(), &both, key_pem, now).unwrap();
    let key = KeyPair::generate(Provider::default()).unwrap();
    let chain = sign(&authority, &key, DAY);
    assert_eq!(chain.len(), 3);
    assert_eq!(der(&chain[1]), der(INTERMEDIATE));
    let certificate = Certificate::from_pem(&chain, &key, &identity("web"), now).unwrap();
    assert_eq!((certificate.chain().len(), certificate.roots().len()), (2, 2));
    assert_eq!(parsed(&der(&chain[0])).issuer().to_string(), "O=Example, CN=Mesh intermediate");
    // Without its root, the last certificate given is what peers must trust.
    let alone = Authority::load(Provider::default(), INTERMEDIATE, key_pem, now).unwrap();
    assert_eq!(der(&alone.roots_pem()), der(INTERMEDIATE));
}

#[test]
fn files_that_do_not_belong_together_are_explained() {
    let now = SystemTime::now();
    let load = |certificate: &str, key: &str, now| {
        Authority::load(Provider::default(), certificate, key, now).map(drop).unwrap_err()
    };
    let ours = root();
    assert_eq!(load(&ours.certificate_pem(), KEY_P384, now), LoadError::Mismatch);
    assert_eq!(load(include_str!("fixtures/not-ca.pem"), KEY_P384, now), LoadError::NotAuthority);
    assert_eq!(load(CA_P384, "", now), LoadError::Key);
    assert_eq!(load(CA_P384, CA_P384, now), LoadError::Key);
    assert!(matches!(load("", KEY_P384, now), LoadError::Certificate(_)));
    assert_eq!(load(CA_P384, KEY_P384, now + 40_000 * DAY), LoadError::Expired);
    assert_eq!(load(CA_P384, KEY_P384, SystemTime::UNIX_EPOCH + DAY), LoadError::NotYetValid);
    assert_eq!(load(include_str!("fixtures/ca-two-units.pem"), KEY_P384, now), LoadError::Subject);
    let wrong_order = format!("{}{}", CA_P384, include_str!("fixtures/leaf-good.pem"));
    assert_eq!(load(&wrong_order, KEY_P384, now), LoadError::Order(1));
    let two_families = format!("{INTERMEDIATE}{}", include_str!("fixtures/ca-rsa.pem"));
    assert_eq!(load(&two_families, include_str!("fixtures/intermediate.key"), now), LoadError::Order(1));
    for error in [LoadError::Mismatch, LoadError::Key, LoadError::Order(1)] {
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn a_chain_that_is_not_for_us_is_refused() {
    let (authority, now) = (root(), SystemTime::now());
    let key = KeyPair::generate(Provider::default()).unwrap();
    let chain = sign(&authority, &key, DAY);
    let refused = |chain: &[String], key: &KeyPair, asked: &str, now| {
        Certificate::from_pem(chain, key, &identity(asked), now).map(drop).unwrap_err()
    };
    let other = refused(&chain, &key, "cart", now);
    assert_eq!(other, InvalidCertificate::Identity { issued: identity("web"), asked: identity("cart") });
    let foreign = KeyPair::generate(Provider::default()).unwrap();
    assert_eq!(refused(&chain, &foreign, "web", now), InvalidCertificate::Key);
    assert_eq!(refused(&chain, &key, "web", now + 2 * DAY), InvalidCertificate::Expired);
    assert_eq!(refused(&chain, &key, "web", now - DAY), InvalidCertificate::NotYetValid);
    assert_eq!(refused(&[], &key, "web", now), InvalidCertificate::Short(0));
    assert_eq!(refused(&chain[..1], &key, "web", now), InvalidCertificate::Short(1));
    let broken = [chain[0].clone(), "no PEM".to_owned()];
    assert!(matches!(refused(&broken, &key, "web", now), InvalidCertificate::Pem { index: 1, .. }));
}
