//! RequestAuthentications.

use serde_json::Value;

use crate::FieldPath;
use crate::check::Complaints;
use crate::check::gateway_api::header_name;
use crate::check::scope::{Scope, scope};
use crate::istio::{JwtRule, RequestAuthenticationSpec};
use crate::problem::quoted;

/// Longest address of keys, in bytes.
const LONGEST_URI: usize = 2048;

pub(in crate::check) fn check(spec: &RequestAuthenticationSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    let written = Scope {
        selector: spec.selector.as_ref(),
        target_refs: &spec.target_refs,
        target_ref: spec.target_ref.as_ref(),
    };
    scope(&written, &at, complaints);
    for (index, rule) in spec.jwt_rules.iter().enumerate() {
        jwt_rule(rule, &at.key("jwtRules").index(index), complaints);
    }
}

fn jwt_rule(rule: &JwtRule, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if rule.issuer.is_empty() {
        complaints.add(&at.key("issuer"), "the rule has no issuer", "set issuer");
    }
    filled(&rule.audiences, &at.key("audiences"), complaints);
    filled(&rule.from_params, &at.key("fromParams"), complaints);
    filled(&rule.from_cookies, &at.key("fromCookies"), complaints);
    filled(&rule.space_delimited_claims, &at.key("spaceDelimitedClaims"), complaints);
    if rule.jwks.is_some() && rule.jwks_uri.is_some() {
        complaints.add(at, "jwks and jwksUri exclude each other", "keep one of them");
    }
    if let Some(uri) = &rule.jwks_uri {
        complaints.expect(&at.key("jwksUri"), key_address(uri));
    }
    if let Some(set) = &rule.jwks {
        complaints.expect(&at.key("jwks"), key_set(set));
    }
    for (index, header) in rule.from_headers.iter().enumerate() {
        let path = at.key("fromHeaders").index(index);
        complaints.expect(&path.key("name"), header_name(&header.name));
    }
    if let Some(header) = &rule.output_payload_to_header {
        complaints.expect(&at.key("outputPayloadToHeader"), header_name(header));
    }
    for (index, output) in rule.output_claim_to_headers.iter().enumerate() {
        let path = at.key("outputClaimToHeaders").index(index);
        complaints.expect(&path.key("header"), header_name(&output.header));
        if output.claim.split('.').any(str::is_empty) {
            let reason = format!("{} is not a claim", quoted(&output.claim));
            complaints.add(
                &path.key("claim"),
                reason,
                "write names, separated by dots where claims are nested",
            );
        }
    }
    if rule.timeout.is_some_and(|timeout| timeout.get().is_zero()) {
        complaints.add(&at.key("timeout"), "no time at all", "use at least 1ms, or leave it out for 5s");
    }
}

fn filled(values: &[String], at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_empty()) {
        complaints.add(&at.index(index), "an empty text", "write a value, or remove it");
    }
}

/// The address of keys: `https://` or `http://`, a host, no user.
fn key_address(uri: &str) -> Result<(), String> {
    let rest = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let fine = host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && uri.len() <= LONGEST_URI
        && uri.bytes().all(|byte| byte.is_ascii_graphic());
    if fine {
        return Ok(());
    }
    Err(format!("{} is not an address of keys; write https://HOST/PATH, without a user", quoted(uri)))
}

/// A JSON Web Key Set (RFC 7517 section 5).
fn key_set(text: &str) -> Result<(), String> {
    let set: Value =
        serde_json::from_str(text).map_err(|_| "it is no JSON; write {\"keys\": [...]}".to_owned())?;
    match set.get("keys").and_then(Value::as_array) {
        Some(keys) if keys.iter().all(|key| key.get("kty").is_some_and(Value::is_string)) => Ok(()),
        _ => Err("it is no key set; write {\"keys\": [...]} with a kty in each".to_owned()),
    }
}
