//! Tokens in every place, of every algorithm, and every way in which one is not good enough.

mod vectors;

use std::time::Duration;

use ambit_model::l7::authentication::{JwtRule, Keys, RequestAuthentication};
use ambit_model::l7::{ObjectKey, ObjectKind, Target, Unreadable};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Authenticator, Rejected};
use crate::request::Request;
use crate::request::sample::get;
use vectors::{ED25519, KEYS, TOKENS};

const NOW: Duration = Duration::from_secs(1_000_000);

fn rule() -> JwtRule {
    JwtRule {
        issuer: "joe".into(),
        audiences: Vec::new(),
        keys: Keys::Set(KEYS.into()),
        from_headers: Vec::new(),
        from_params: Vec::new(),
        from_cookies: Vec::new(),
        forward: false,
        payload_header: None,
        claim_headers: Vec::new(),
        space_delimited: Vec::new(),
        leeway: Duration::from_secs(60),
    }
}

fn object(rules: Vec<JwtRule>) -> RequestAuthentication {
    RequestAuthentication {
        key: ObjectKey::new(ObjectKind::RequestAuthentication, "shop", "jwt"),
        targets: vec![Target::Mesh],
        rules,
        unusable: None,
    }
}

fn of(rules: &[JwtRule]) -> Authenticator {
    Authenticator::compile(&[object(rules.to_vec())], [], &DEFAULT_PROVIDER)
}

/// A token with this header and these claims, signed with the Ed25519 key.
fn signed(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_ed_der(&ED25519);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

fn token(claims: &Value) -> String {
    signed(&json!({"alg": "EdDSA", "kid": "ed"}), claims)
}

fn joes() -> String {
    token(&json!({"iss": "joe", "sub": "s"}))
}

fn bearing(token: &str) -> Request {
    get("/", &[("authorization", &format!("Bearer {token}"))])
}

fn outcome(rules: &[JwtRule], request: &mut Request) -> Result<(), Rejected> {
    of(rules).authenticate(request, NOW)
}

#[test]
fn every_accepted_algorithm_verifies_and_no_other() {
    for (algorithm, token) in TOKENS {
        let expected = match algorithm {
            // The key says that it is for RS256.
            "PS256" => Err(Rejected::NoKey),
            _ => Ok(()),
        };
        let mut request = bearing(token);
        assert_eq!(outcome(&[rule()], &mut request), expected, "{algorithm}");
        assert_eq!(request.token.is_some(), expected.is_ok());
        let damaged = token.replacen("eyJpc3MiOiJqb2UiLCJzdWIiOiJzIn0", "eyJpc3MiOiJqb2UiLCJzdWIiOiJ0In0", 1);
        assert!(outcome(&[rule()], &mut bearing(&damaged)).is_err(), "{algorithm} with another subject");
    }
    let free = KEYS.replace(r#""alg": "RS256","#, "");
    let pss = JwtRule { keys: Keys::Set(free.into()), ..rule() };
    assert_eq!(outcome(&[pss], &mut bearing(TOKENS[1].1)), Ok(()));
    for algorithm in ["none", "None", "HS256", "ES512", "", "RSA-OAEP"] {
        let token = signed(&json!({"alg": algorithm, "kid": "rsa"}), &json!({"iss": "joe"}));
        assert_eq!(outcome(&[rule()], &mut bearing(&token)), Err(Rejected::Algorithm), "{algorithm}");
    }
}

/// A public key is no shared secret, whatever the token says.
#[test]
fn keys_serve_their_own_algorithms() {
    let confused = signed(&json!({"alg": "ES256", "kid": "ed"}), &json!({"iss": "joe"}));
    assert_eq!(outcome(&[rule()], &mut bearing(&confused)), Err(Rejected::NoKey));
    let other = signed(&json!({"alg": "EdDSA", "kid": "rsa"}), &json!({"iss": "joe"}));
    assert_eq!(outcome(&[rule()], &mut bearing(&other)), Err(Rejected::NoKey));
    let unknown = signed(&json!({"alg": "EdDSA", "kid": "new"}), &json!({"iss": "joe"}));
    let rejected = outcome(&[rule()], &mut bearing(&unknown)).unwrap_err();
    assert!(rejected.wants_newer_keys() && !Rejected::Signature.wants_newer_keys());
    let unnamed = signed(&json!({"alg": "EdDSA"}), &json!({"iss": "joe"}));
    assert_eq!(outcome(&[rule()], &mut bearing(&unnamed)), Ok(()), "without a name all keys are tried");
    let set = |key: Value| JwtRule { keys: Keys::Set(json!({"keys": [key]}).to_string().into()), ..rule() };
    let ed = |more: &str, value: Value| {
        let mut key =
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        key[more] = value;
        key
    };
    assert_eq!(outcome(&[set(ed("key_ops", json!(["verify"])))], &mut bearing(&joes())), Ok(()));
    for broken in [
        ed("use", json!("enc")),
        ed("key_ops", json!(["sign"])),
        ed("crv", json!("X25519")),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
    ] {
        let rejected = outcome(&[set(broken)], &mut bearing(&joes()));
        assert!(matches!(rejected, Err(Rejected::NoKeys(_))), "{rejected:?}");
    }
}

/// One key that is not understood does not spoil the set.
#[test]
fn sets_with_strange_keys_are_read() {
    let strange =
        KEYS.replacen('[', r#"[{"kty": "PQ", "alg": "ML-DSA-44"}, 5, {"kty": "RSA", "n": "!"},"#, 1);
    let rule = JwtRule { keys: Keys::Set(strange.into()), ..rule() };
    assert_eq!(outcome(&[rule], &mut bearing(&joes())), Ok(()));
}

#[test]
fn without_a_token_a_request_passes_without_a_principal() {
    let mut request = get("/", &[("authorization", "Basic dTpw")]);
    assert_eq!(outcome(&[rule()], &mut request), Ok(()));
    assert!(request.token.is_none() && request.headers.contains_key("authorization"));
    assert!(of(&[]).is_empty() && !of(&[rule()]).is_empty());
}

#[test]
fn claims_about_issuer_audience_and_time() {
    let strict = || JwtRule { audiences: vec!["a".into(), "b".into()], ..rule() };
    let now = NOW.as_secs();
    let cases: &[(Value, Result<(), Rejected>)] = &[
        (json!({"iss": "joe", "aud": "b"}), Ok(())),
        (json!({"iss": "joe", "aud": ["x", "a"]}), Ok(())),
        (json!({"iss": "joe", "aud": "ab"}), Err(Rejected::Audience)),
        (json!({"iss": "joe", "aud": 5}), Err(Rejected::Audience)),
        (json!({"iss": "joe"}), Err(Rejected::Audience)),
        (json!({"iss": "ann", "aud": "a"}), Err(Rejected::Issuer)),
        (json!({"aud": "a"}), Err(Rejected::Issuer)),
        (json!({"iss": "joe", "aud": "a", "exp": now - 59}), Ok(())),
        (json!({"iss": "joe", "aud": "a", "exp": now - 60}), Err(Rejected::Expired)),
        (json!({"iss": "joe", "aud": "a", "exp": (now as f64) - 60.5}), Err(Rejected::Expired)),
        (json!({"iss": "joe", "aud": "a", "exp": "never"}), Err(Rejected::Malformed)),
        (json!({"iss": "joe", "aud": "a", "exp": null}), Err(Rejected::Malformed)),
        (json!({"iss": "joe", "aud": "a", "nbf": now + 60}), Ok(())),
        (json!({"iss": "joe", "aud": "a", "nbf": now + 61}), Err(Rejected::NotYetValid)),
        (json!(["iss", "joe"]), Err(Rejected::Malformed)),
    ];
    for (claims, expected) in cases {
        assert_eq!(outcome(&[strict()], &mut bearing(&token(claims))), *expected, "{claims}");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let good = joes();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let critical = super::tests::signed(&json!({"alg": "EdDSA", "crit": ["b64"]}), &json!({"iss": "joe"}));
    assert_eq!(outcome(&[rule()], &mut bearing(&critical)), Err(Rejected::Critical));
    for token in [
        "",
        ".",
        "..",
        "a.b.c",
        signed,
        &format!("{signed}."),
        &format!("{good}="),
        &format!("{good}.x"),
        &format!(" .{good}"),
        &"x".repeat(20_000),
    ] {
        let rejected = outcome(&[rule()], &mut bearing(token)).unwrap_err();
        assert!(matches!(rejected, Rejected::Malformed | Rejected::Signature), "{token:.40} {rejected}");
    }
    let swapped = signature.chars().rev().collect::<String>();
    assert_eq!(outcome(&[rule()], &mut bearing(&format!("{signed}.{swapped}"))), Err(Rejected::Signature));
}

#[test]
fn tokens_in_every_place_are_taken_away_unless_forwarded() {
    let token = joes();
    let places = JwtRule {
        from_headers: vec![("x-token".into(), "JWT ".into())],
        from_params: vec!["t".into()],
        from_cookies: vec!["c".into()],
        ..rule()
    };
    let bearer = format!("bearer {token}");
    let header = format!("JWT {token}");
    let cookie = format!("a=1; c={token}; b=2");
    let cases: [(&JwtRule, Request, Request); 5] = [
        (&rule(), get("/", &[("authorization", &bearer)]), get("/", &[])),
        (&rule(), get(&format!("/?a=%20&access_token={token}&b"), &[]), get("/?a=%20&b", &[])),
        (&places, get("/", &[("x-token", &header)]), get("/", &[])),
        (&places, get(&format!("/?t={token}"), &[]), get("/", &[])),
        (&places, get("/", &[("cookie", &cookie)]), get("/", &[("cookie", "a=1; b=2")])),
    ];
    for (rule, request, expected) in cases {
        let mut kept = request.clone();
        assert_eq!(outcome(&[JwtRule { forward: true, ..rule.clone() }], &mut kept), Ok(()));
        assert!(kept.token.is_some());
        assert_eq!((&kept.headers, kept.query()), (&request.headers, request.query()));
        let mut taken = request.clone();
        assert_eq!(outcome(std::slice::from_ref(rule), &mut taken), Ok(()));
        assert!(taken.token.is_some());
        assert_eq!((&taken.headers, taken.query()), (&expected.headers, expected.query()));
    }
    // A rule that names places looks nowhere else.
    let mut elsewhere = bearing(&token);
    assert_eq!(outcome(&[places], &mut elsewhere), Ok(()));
    assert!(elsewhere.token.is_none());
}

/// A bad token behind a good one is as bad as alone.
#[test]
fn every_token_must_be_good() {
    let (good, bad) = (joes(), token(&json!({"iss": "ann"})));
    for (first, second) in [(&good, &bad), (&bad, &good)] {
        let header = |token: &String| format!("Bearer {token}");
        let mut twice = get("/", &[("authorization", &header(first)), ("authorization", &header(second))]);
        assert_eq!(outcome(&[rule()], &mut twice), Err(Rejected::Issuer));
        let mut both = get(&format!("/?access_token={first}"), &[("authorization", &header(second))]);
        assert_eq!(outcome(&[rule()], &mut both), Err(Rejected::Issuer));
        let cookies = JwtRule { from_cookies: vec!["c".into()], ..rule() };
        let mut cookie = get("/", &[("cookie", &format!("c={first}; c={second}"))]);
        assert_eq!(outcome(&[cookies], &mut cookie), Err(Rejected::Issuer));
    }
}

#[test]
fn one_of_several_rules_is_enough() {
    let ann = JwtRule { issuer: "ann".into(), ..rule() };
    let narrow = JwtRule { audiences: vec!["x".into()], ..rule() };
    for rules in [[ann.clone(), rule()], [rule(), ann.clone()], [narrow.clone(), rule()]] {
        assert_eq!(outcome(&rules, &mut bearing(&joes())), Ok(()));
    }
    // The rule of the token's issuer says why it is refused.
    assert_eq!(outcome(&[narrow.clone(), ann.clone()], &mut bearing(&joes())), Err(Rejected::Audience));
    assert_eq!(outcome(&[ann, narrow], &mut bearing(&joes())), Err(Rejected::Audience));
}

#[test]
fn claims_go_into_headers_and_what_clients_claim_does_not() {
    let told = JwtRule {
        payload_header: Some("x-payload".into()),
        claim_headers: vec![
            ("x-sub".into(), vec!["sub".into()]),
            ("x-level".into(), vec!["a".into(), "level".into()]),
            ("x-list".into(), vec!["list".into()]),
            ("x-none".into(), vec!["absent".into()]),
            ("x-bad".into(), vec!["line".into()]),
        ],
        forward: true,
        ..rule()
    };
    let claims = json!({"iss": "joe", "sub": "s", "a": {"level": 3}, "list": [1], "line": "a\nb"});
    let token = token(&claims);
    let forged = ["x-payload", "x-sub", "x-level", "x-list", "x-none", "x-bad"].map(|name| (name, "forged"));
    let mut request = get("/", &forged);
    assert_eq!(outcome(std::slice::from_ref(&told), &mut request), Ok(()));
    assert!(request.headers.is_empty(), "without a token nothing is claimed");

    let bearer = format!("Bearer {token}");
    let mut request = get("/", &[&forged[..], &[("authorization", &bearer)]].concat());
    assert_eq!(outcome(&[told], &mut request), Ok(()));
    let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("x-payload"), token.split('.').nth(1));
    assert_eq!([header("x-sub"), header("x-level"), header("x-list")], [Some("s"), Some("3"), Some("WzFd")]);
    assert_eq!([header("x-none"), header("x-bad")], [None, None]);
    assert_eq!(request.token.unwrap().principal(), Some(("joe", "s")));
}

#[test]
fn doubt_refuses() {
    let unusable = RequestAuthentication { unusable: Some("bad".into()), ..object(vec![rule()]) };
    let all = Authenticator::compile(&[unusable], [], &DEFAULT_PROVIDER);
    assert_eq!(all.authenticate(&mut get("/", &[]), NOW), Err(Rejected::Unusable("bad".into())));
    let unreadable =
        |name: &str| Unreadable { name: name.into(), targets: vec![Target::Mesh], reason: "new".into() };
    let all = Authenticator::compile([], [&unreadable("RequestAuthentication/a/b")], &DEFAULT_PROVIDER);
    assert_eq!(all.authenticate(&mut get("/", &[]), NOW), Err(Rejected::Unusable("new".into())));
    assert!(Authenticator::compile([], [&unreadable("HTTPRoute/a/b")], &DEFAULT_PROVIDER).is_empty());
    let header = JwtRule { payload_header: Some("a b".into()), ..rule() };
    assert!(matches!(outcome(&[header], &mut get("/", &[])), Err(Rejected::Unusable(_))));
    for keys in [Keys::Unavailable("down".into()), Keys::Set("{".into()), Keys::Set("{}".into())] {
        let rule = JwtRule { keys, ..rule() };
        assert_eq!(
            outcome(std::slice::from_ref(&rule), &mut get("/", &[])),
            Ok(()),
            "no token, no keys needed"
        );
        assert!(matches!(outcome(&[rule], &mut bearing(&joes())), Err(Rejected::NoKeys(_))));
    }
}

#[test]
fn the_challenge_names_what_was_asked_for() {
    let request = get("/a%22b", &[]);
    let challenge = Rejected::Expired.challenge(&request);
    assert_eq!(challenge, r#"Bearer realm="http://cart.shop/a%22b", error="invalid_token""#);
}

proptest! {
    /// Foreign bytes are refused, never more.
    #[test]
    fn no_text_passes_for_a_token(text in "[ -~]{0,60}", header in "\\PC{0,30}", payload in "\\PC{0,30}") {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for token in [text, format!("{}.{}.{}", part(&header), part(&payload), part("x"))] {
            prop_assert!(outcome(&[rule()], &mut bearing(&token)).is_err());
        }
    }
}
