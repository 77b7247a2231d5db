//! A key set as it arrives, and as it is passed on: the public keys, and nothing else.

use ambit_model::Text;
use serde_json::{Map, Value, json};

/// Most keys that are passed on.
const MOST_KEYS: usize = 100;
/// What of a key is passed on (RFC 7517 section 4, RFC 7518 section 6, RFC 8037): public parts only.
const PARTS: [&str; 10] = ["kty", "use", "key_ops", "alg", "kid", "n", "e", "crv", "x", "y"];

/// The set that is passed on: the same keys are always the same text.
pub(super) fn published(bytes: &[u8]) -> Result<Text, String> {
    let set: Value = serde_json::from_slice(bytes).map_err(|_| "it is no JSON".to_owned())?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or("it has no list \"keys\"")?;
    if keys.len() > MOST_KEYS {
        return Err(format!("it has more than {MOST_KEYS} keys"));
    }
    let keys: Vec<Value> = keys.iter().filter_map(public).collect();
    if keys.is_empty() {
        return Err("it has no public key".to_owned());
    }
    Ok(json!({ "keys": keys }).to_string().into())
}

/// A key without its private parts; `None` for a shared secret, and for what is no key.
fn public(key: &Value) -> Option<Value> {
    let kind = key.get("kty")?.as_str()?;
    if kind == "oct" {
        return None;
    }
    let parts = PARTS.iter().filter_map(|part| Some(((*part).to_owned(), key.get(part)?.clone())));
    Some(Value::Object(parts.collect::<Map<_, _>>()))
}

/// The address of the keys in a discovery document, which must be of this issuer.
pub(super) fn discovered(bytes: &[u8], issuer: &str) -> Result<String, String> {
    let document: Value =
        serde_json::from_slice(bytes).map_err(|_| "the discovery document is no JSON".to_owned())?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    match (text("issuer"), text("jwks_uri")) {
        (Some(said), _) if said != issuer => Err("the discovery document is another issuer's".to_owned()),
        (Some(_), Some(uri)) => Ok(uri.to_owned()),
        _ => Err("the discovery document has no issuer or jwks_uri".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_keys_are_passed_on() {
        let set = r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}, {"alg": "RS256", "kty": "RSA", "n": "a", "e": "AQAB", "d": "private", "x5c": ["b"]}, 7], "more": 1}"#;
        let expected = r#"{"keys":[{"kty":"RSA","alg":"RS256","n":"a","e":"AQAB"}]}"#;
        assert_eq!(published(set.as_bytes()).as_deref(), Ok(expected));
        for nothing in ["", "[]", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "a"}]}"#] {
            assert!(published(nothing.as_bytes()).is_err(), "{nothing}");
        }
        let many = json!({ "keys": vec![json!({"kty": "RSA"}); MOST_KEYS + 1] }).to_string();
        assert!(published(many.as_bytes()).is_err());
    }

    #[test]
    fn a_discovery_document_is_the_issuers_own() {
        let document = br#"{"issuer": "https://a", "jwks_uri": "https://a/keys"}"#;
        assert_eq!(discovered(document, "https://a").as_deref(), Ok("https://a/keys"));
        assert!(discovered(document, "https://b").is_err());
        assert!(discovered(br#"{"jwks_uri": "https://a/keys"}"#, "https://a").is_err());
    }
}
