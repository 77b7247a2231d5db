//! A10: what is not this node's own valid token proves nothing, on any of the three services.

use std::time::Duration;

use ambit_identity::{AuthorityClient, ControlChannel, ControlSettings, RootCa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::captured::put;
use crate::fixture::{Discovered, Mesh, SHOP, ask, until};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const HOUR: Duration = Duration::from_secs(3600);

/// A token with one of its JSON parts changed; the signature stays.
fn forged(token: &str, part: usize, from: &str, to: &str) -> String {
    let mut parts: Vec<String> = token.trim().split('.').map(str::to_owned).collect();
    let text = String::from_utf8(BASE64.decode(&parts[part]).unwrap()).unwrap();
    assert!(text.contains(from), "{text}");
    parts[part] = BASE64.encode(text.replace(from, to));
    parts.join(".")
}

#[tokio::test]
async fn a10_forged_expired_and_foreign_tokens_are_refused() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let foreign = Mesh::start(&[]).await;
    let good = std::fs::read_to_string(mesh.token("one")).unwrap();
    let bad = [
        ("another node", forged(&good, 1, "node:one", "node:two")),
        ("another audience", forged(&good, 1, "istio-ca", "istio-cb")),
        ("a later end", forged(&good, 1, "\"exp\":", "\"exp\":9")),
        ("no algorithm", forged(&good, 0, "HS256", "none")),
        ("no signature", format!("{}.", good.trim().rsplit_once('.').unwrap().0)),
        ("garbage", "not-a-token".to_owned()),
        ("expired", std::fs::read_to_string(mesh.token_at("one", mesh.clock - 2 * HOUR, HOUR)).unwrap()),
        ("from the future", std::fs::read_to_string(mesh.token_at("one", mesh.clock + HOUR, HOUR)).unwrap()),
        ("another state directory", std::fs::read_to_string(foreign.token("one")).unwrap()),
    ];
    for (why, token) in bad {
        let file = mesh.token_file(&token);
        let client = AuthorityClient::new(mesh.channel(&file));
        let refusal = ask(&client, WEB, WEB, HOUR).await.expect_err(why);
        assert!(refusal.message.contains("Unauthenticated"), "{why}: {}", refusal.message);
        assert!(!refusal.message.contains("expired"), "callers are not told why: {}", refusal.message);
        let (status, _) = put(&mesh.channel(&file), "one", r#"{"pods":[]}"#).await;
        assert_eq!(status, 401, "{why}");
        let unauthenticated = mesh.metric("ambit_controller_unauthenticated_calls_total").await.unwrap();
        let client = Discovered::start(mesh.channel(&file), "one");
        until(
            "discovery was refused",
            || async { mesh.metric("ambit_controller_unauthenticated_calls_total").await.unwrap() },
            |now| *now > unauthenticated,
        )
        .await;
        assert!(!client.is_synced(), "{why}");
    }
    // Clocks that differ a little are forgiven, in both directions.
    for from in [mesh.clock - HOUR - Duration::from_secs(30), mesh.clock + Duration::from_secs(30)] {
        let client = AuthorityClient::new(mesh.channel(&mesh.token_at("one", from, HOUR)));
        ask(&client, WEB, WEB, HOUR).await.unwrap();
    }
}

#[tokio::test]
async fn a10_without_a_token_nothing_is_served() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let channel = ControlChannel::new(ControlSettings::new(mesh.address().to_string(), mesh.root())).unwrap();
    let refusal = ask(&AuthorityClient::new(channel), WEB, WEB, HOUR).await.unwrap_err();
    assert!(refusal.message.contains("needs a valid node token"), "{}", refusal.message);
}

#[tokio::test]
async fn a_client_cannot_claim_to_be_another_node() {
    let mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let mut honest = mesh.discover("one");
    honest.synced().await;
    let liar = Discovered::start(mesh.channel(&mesh.token("one")), "two");
    let mut other = mesh.discover("two");
    other.synced().await;
    assert!(!liar.is_synced());
}

#[tokio::test]
async fn a_controller_of_another_root_or_name_is_not_trusted() {
    let mesh = Mesh::start(&[]).await;
    let foreign = Mesh::start(&[]).await;
    let channel =
        ControlChannel::new(ControlSettings::new(mesh.address().to_string(), foreign.root())).unwrap();
    let error = channel.connect().await.unwrap_err().to_string();
    assert!(error.contains("a certificate of another CA"), "{error}");

    let connect = async |name: &str| {
        let mut settings = ControlSettings::new(mesh.address().to_string(), mesh.root());
        settings.verify_name = Some(name.to_owned());
        ControlChannel::new(settings).unwrap().connect().await
    };
    for name in ["localhost", "istiod.istio-system.svc", "127.0.0.1", "::1", "controller.test"] {
        connect(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let error = connect("somebody.else").await.unwrap_err().to_string();
    assert!(error.contains("is not for somebody.else"), "{error}");
    let pem = std::fs::read_to_string(mesh.state().join("root-cert.pem")).unwrap();
    let channel = ControlChannel::new(ControlSettings::new(mesh.address().to_string(), RootCa::Pem(pem)));
    channel.unwrap().connect().await.unwrap();
}
