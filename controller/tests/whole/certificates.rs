//! A9: certificates only for live pods on the asking node, in this trust domain, for a clamped time.

use std::time::Duration;

use ambit_identity::{AuthorityClient, Certificate, KeyPair, Provider};

use crate::fixture::{Mesh, SHOP, ask, within};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

#[tokio::test]
async fn a9_a_node_gets_certificates_for_its_own_pods_only() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let chain = mesh.issue("one", WEB).await.unwrap();
    assert_eq!(chain.len(), 2, "leaf, then the trust bundle");
    assert_eq!(chain[1], std::fs::read_to_string(mesh.state().join("root-cert.pem")).unwrap());

    let other_node = mesh.issue("two", WEB).await.unwrap_err();
    assert!(other_node.message.contains("no live pod with the identity"), "{}", other_node.message);
    assert!(other_node.message.contains("PermissionDenied") && other_node.message.contains("node two"));
    let other_domain = mesh.issue("one", "spiffe://evil.example/ns/shop/sa/web").await.unwrap_err();
    assert!(other_domain.message.contains("of another trust domain"), "{}", other_domain.message);
    assert_eq!(mesh.metric("ambit_controller_certificates_issued_total").await, Some(1));
    let refused = r#"ambit_controller_certificates_refused_total{reason="trust_domain"}"#;
    assert_eq!(mesh.metric(refused).await, Some(1));
}

#[tokio::test]
async fn a9_pods_that_ended_have_no_certificates() {
    for (phase, live) in [("Pending", true), ("Running", true), ("Succeeded", false), ("Failed", false)] {
        let text = SHOP
            .replace("status: {podIP: 10.0.0.1}", &format!("status: {{podIP: 10.0.0.1, phase: {phase}}}"));
        let mesh = Mesh::start(&[("shop.yaml", &text)]).await;
        assert_eq!(mesh.issue("one", WEB).await.is_ok(), live, "{phase}");
    }
}

#[tokio::test]
async fn a9_the_lifetime_is_clamped() {
    let mut mesh = Mesh::new(&[("shop.yaml", SHOP)]);
    mesh.longest = Duration::from_secs(600);
    mesh.restart().await.unwrap();
    let client = AuthorityClient::new(mesh.channel(&mesh.token("one")));
    let ten_years = Duration::from_secs(10 * 365 * 24 * 3600);
    for (asked, expected) in [(ten_years, 600), (Duration::from_secs(60), 60), (Duration::ZERO, 600)] {
        let key = KeyPair::generate(Provider::default()).unwrap();
        let identity = WEB.parse().unwrap();
        let csr = ambit_identity::csr::certificate_request(&key, &identity).unwrap();
        let chain = ambit_identity::CertificateSource::issue(&client, &identity, csr, asked).await.unwrap();
        let certificate = Certificate::from_pem(&chain, &key, &identity, mesh.clock).unwrap();
        let lifetime = certificate.not_after().duration_since(mesh.clock).unwrap();
        // Certificates tell whole seconds.
        assert!((expected - 1..=expected).contains(&lifetime.as_secs()), "{asked:?} became {lifetime:?}");
    }
}

#[tokio::test]
async fn the_request_must_be_for_the_asked_identity() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let client = AuthorityClient::new(mesh.channel(&mesh.token("one")));
    let cart = "spiffe://cluster.local/ns/shop/sa/cart";
    let refusal = ask(&client, WEB, cart, Duration::from_secs(60)).await.unwrap_err();
    assert!(refusal.message.contains("the certificate request is for"), "{}", refusal.message);
    let garbage = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    let lifetime = Duration::from_secs(60);
    let refusal = ambit_identity::CertificateSource::issue(
        &client,
        &WEB.parse().unwrap(),
        garbage.to_owned(),
        lifetime,
    )
    .await
    .unwrap_err();
    assert!(!refusal.retryable && refusal.message.contains("InvalidArgument"), "{}", refusal.message);
}

#[tokio::test]
async fn a_pod_that_is_just_appearing_is_waited_for() {
    let mesh = Mesh::start(&[]).await;
    let (asked, ()) = within(async {
        tokio::join!(mesh.issue("one", WEB), async {
            // The request is on its way when the pod is written.
            mesh.write("shop.yaml", SHOP);
        })
    })
    .await;
    assert_eq!(asked.unwrap().len(), 2);
}
