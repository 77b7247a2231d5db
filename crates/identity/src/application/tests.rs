//! Applications with certificates of every kind, called by settings of every kind.

use rcgen::SanType;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::testing::{Root, uri};
use crate::{KeyPair, Provider};
use ambit_model::l7::destination_rule::Secret;

/// A certificate and its key, PEM.
struct Pair {
    certificate: String,
    key: String,
}

fn issuer() -> Root {
    Root::new(Provider::default())
}

fn root_pem(issuer: &Root) -> Text {
    pem::certificate(&issuer.der).into()
}

fn issue(issuer: &Root, names: &[&str]) -> Pair {
    let (key, pkcs8) = KeyPair::generate_exportable(Provider::default()).unwrap();
    let leaf = issuer.leaf(&key, |params| {
        let name = |name: &&str| match name.contains("://") {
            true => uri(name),
            false => SanType::DnsName((*name).try_into().unwrap()),
        };
        params.subject_alt_names = names.iter().map(name).collect();
    });
    Pair { certificate: pem::certificate(&leaf), key: pem::private_key(&pkcs8).to_string() }
}

/// An application with this certificate; it asks for a client's, of `clients`, where there is such an issuer.
fn application(own: &Pair, clients: Option<&Root>) -> TlsAcceptor {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).unwrap();
    let builder = match clients {
        Some(issuer) => {
            let roots = Arc::new(roots(&root_pem(issuer)).unwrap());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let chain = pem::certificates(&own.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Says `hello` and hears what the application makes of it: the server's name, and what was agreed to be inside.
async fn call(
    settings: &UpstreamTls,
    host: &str,
    inside: Inside,
    server: TlsAcceptor,
) -> Result<String, String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let application = tokio::spawn(async move {
        let Ok(mut stream) = server.accept(far).await else { return };
        let session = stream.get_ref().1;
        let alpn = session.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
        let said = format!("{} {}", session.server_name().unwrap_or("-"), alpn.unwrap_or_default());
        stream.write_all(said.as_bytes()).await.ok();
        stream.shutdown().await.ok();
    });
    let tls = ApplicationTls::new(settings).map_err(|why| why.to_string())?;
    let mut stream = tls.connect(near, host, inside).await.map_err(|why| why.to_string())?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.map_err(|why| why.to_string())?;
    application.await.unwrap();
    Ok(heard)
}

fn simple(issuer: &Root) -> UpstreamTls {
    UpstreamTls { authorities: root_pem(issuer), ..UpstreamTls::default() }
}

#[tokio::test]
async fn the_certificate_must_name_whom_was_meant() {
    let (ours, others) = (issuer(), issuer());
    let named = issue(&ours, &["shop.example", "spiffe://else/app"]);
    let server = || application(&named, None);
    let said = call(&simple(&ours), "shop.example", Inside::Http1, server()).await.unwrap();
    assert_eq!(said, "shop.example http/1.1");
    call(&simple(&ours), "other.example", Inside::Http1, server()).await.unwrap_err();
    call(&simple(&others), "shop.example", Inside::Http1, server()).await.unwrap_err();
    call(&simple(&ours), "not a name", Inside::Http1, server()).await.unwrap_err();
    let fixed = UpstreamTls { server_name: Some("shop.example".into()), ..simple(&ours) };
    assert_eq!(call(&fixed, "10.0.0.1", Inside::Http2, server()).await.unwrap(), "shop.example h2");
    for (wanted, accepted) in [
        (&["spiffe://else/app"][..], true),
        (&["spiffe://else/ap"], false),
        (&["other.example", "shop.example"], true),
        (&["other.example"], false),
    ] {
        let names = wanted.iter().map(|name| (*name).into()).collect();
        let settings = UpstreamTls { names, ..simple(&ours) };
        let said = call(&settings, "any.example", Inside::Bytes, server()).await;
        assert_eq!(said.is_ok(), accepted, "{wanted:?} {said:?}");
        // The names do not vouch for a stranger's certificate.
        let stranger = UpstreamTls { authorities: root_pem(&others), ..settings };
        call(&stranger, "any.example", Inside::Bytes, server()).await.unwrap_err();
    }
    let blind = UpstreamTls { insecure: true, ..UpstreamTls::default() };
    assert_eq!(call(&blind, "x.example", Inside::Bytes, server()).await.unwrap(), "x.example ");
}

#[tokio::test]
async fn the_application_may_ask_who_we_are() {
    let (ours, clients) = (issuer(), issuer());
    let named = issue(&ours, &["shop.example"]);
    let server = || application(&named, Some(&clients));
    call(&simple(&ours), "shop.example", Inside::Http1, server()).await.unwrap_err();
    let own = issue(&clients, &["client.example"]);
    let certificate = own.certificate.as_str().into();
    let key = Secret(own.key.as_str().into());
    let mutual = UpstreamTls { certificate, key, ..simple(&ours) };
    call(&mutual, "shop.example", Inside::Http1, server()).await.unwrap();
}

#[test]
fn settings_that_cannot_be_obeyed_say_why() {
    let ours = issuer();
    let pair = issue(&ours, &["a.example"]);
    let other = issue(&ours, &["b.example"]);
    for (settings, why) in [
        (UpstreamTls { authorities: "none".into(), ..UpstreamTls::default() }, "authorities"),
        (UpstreamTls { certificate: pair.certificate.as_str().into(), ..simple(&ours) }, "key"),
        (
            UpstreamTls {
                certificate: pair.certificate.as_str().into(),
                key: Secret(other.key.as_str().into()),
                ..simple(&ours)
            },
            "certificate",
        ),
    ] {
        let refused = ApplicationTls::new(&settings).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}
