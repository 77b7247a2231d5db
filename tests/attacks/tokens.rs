//! A10: tokens that are changed, forged, expired, for somebody else, or of another node.

use std::fs;
use std::time::{Duration, SystemTime};

use ambit_tests::certificates::ask;
use ambit_tests::mesh::Mesh;
use ambit_tests::process::Process;
use ambit_tests::runner::Test;
use ambit_tests::topology::Side;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

pub(crate) const TESTS: &[Test] = &[
    ("a10_only_the_nodes_own_token_opens", a10_only_the_nodes_own_token_opens),
    ("a10_a_token_of_another_node_gets_no_configuration", a10_a_token_of_another_node_gets_no_configuration),
];

const HOUR: u64 = 3600;

/// Writes a token with the controller's own key: what a thief of the key could, and a bug might.
fn forge(mesh: &Mesh, header: &Value, change: impl FnOnce(&mut Value)) -> String {
    let own = fs::read_to_string(mesh.token(Side::A)).unwrap();
    let claims = BASE64.decode(own.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    change(&mut claims);
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let key = BASE64.decode(fs::read_to_string(mesh.state().join("token-key")).unwrap().trim()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

fn a10_only_the_nodes_own_token_opens() {
    let mut mesh = Mesh::started("a10");
    let web = mesh.pod("web", Side::A);
    mesh.settled();
    let file = mesh.directory.join("stolen");
    let with = |token: &str| {
        fs::write(&file, token).unwrap();
        ask(&mesh, Side::A, &file, &web.identity(), Duration::from_secs(HOUR))
    };
    let own = fs::read_to_string(mesh.token(Side::A)).unwrap().trim().to_owned();
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // The forger writes tokens as the controller does; what is refused below is refused for its content.
    with(&own).unwrap();
    with(&forge(&mesh, &header, |_| {})).unwrap();
    with(&forge(&mesh, &header, |claims| claims["exp"] = json!(now - 30))).unwrap();

    let parts: Vec<&str> = own.split('.').collect();
    let node_b = BASE64
        .encode(String::from_utf8(BASE64.decode(parts[1]).unwrap()).unwrap().replace("node-a", "node-b"));
    let none = BASE64.encode(json!({"alg": "none", "typ": "JWT"}).to_string());
    let with_claim = |name: &str, value: Value| forge(&mesh, &header, |claims| claims[name] = value);
    let cases = [
        ("changed", format!("{}.{node_b}.{}", parts[0], parts[2]), "signature is wrong"),
        ("signature cut off", format!("{}.{}.", parts[0], parts[1]), "signature is wrong"),
        ("without a signature", format!("{none}.{}.", parts[1]), "header is not that of a node token"),
        (
            "alg none, signed",
            forge(&mesh, &json!({"alg": "none", "typ": "JWT"}), |_| {}),
            "header is not that of a node token",
        ),
        (
            "alg HS512",
            forge(&mesh, &json!({"alg": "HS512", "typ": "JWT"}), |_| {}),
            "header is not that of a node token",
        ),
        (
            "a key of its own",
            forge(&mesh, &json!({"alg": "HS256", "typ": "JWT", "jku": "https://x"}), |_| {}),
            "not a compact JWT",
        ),
        ("expired", with_claim("exp", json!(now - 120)), "expired"),
        ("from the future", with_claim("iat", json!(now + HOUR)), "from the future"),
        ("another audience", with_claim("aud", json!("kubernetes")), "not for the audience istio-ca"),
        (
            "two audiences",
            with_claim("aud", json!(["istio-ca", "kubernetes"])),
            "not for the audience istio-ca",
        ),
        ("another issuer", with_claim("iss", json!("somebody")), "another issuer"),
        (
            "no node",
            with_claim("sub", json!("system:serviceaccount:a:b")),
            "the subject names neither a node nor a workload",
        ),
        ("no JWT", "not-a-token".to_owned(), "not a compact JWT"),
        ("of another node", fs::read_to_string(mesh.token(Side::B)).unwrap(), "no live pod"),
    ];
    for (what, token, reason) in cases {
        let refusal = with(&token).expect_err(what).message;
        // The operator learns the reason, the stranger does not.
        mesh.controller().said(&["refused", reason]);
        if what != "of another node" {
            assert!(
                refusal.contains("Unauthenticated") && refusal.contains("controller token --node"),
                "{what}: {refusal}"
            );
            assert!(!refusal.contains(reason), "{what}: {refusal}");
        }
        assert!(
            mesh.controller().lines().iter().all(|line| !line.contains(token.trim())),
            "{what}: a token in the log"
        );
    }
}

fn a10_a_token_of_another_node_gets_no_configuration() {
    let mut mesh = Mesh::new("a10-node");
    mesh.start_controller();
    let stolen = mesh.token(Side::B);
    mesh.settings.insert("AUTH_TOKEN".into(), stolen.display().to_string());
    mesh.start_ztunnel(Side::A);
    let ztunnel: &Process = mesh.ztunnel(Side::A);
    ztunnel.said(&[
        "the token is for node node-b, but NODE_NAME says",
        "node-a",
        "set both to the same node",
    ]);
    mesh.controller().said(&["claims to be on another node", "node-b"]);
    let dump = mesh.dump(Side::A);
    assert_eq!(dump["workloads"], json!([]), "the configuration was given out");
}
