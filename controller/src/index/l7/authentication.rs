//! RequestAuthentications, which waypoints enforce where `targetRefs` say.

use std::time::Duration;

use ambit_kubernetes::istio::{JwtRule as WrittenRule, RequestAuthentication as Written};
use ambit_model::Text;
use ambit_model::l7::authentication::{JwtRule, Keys};
use ambit_model::l7::{ObjectKind, RequestAuthentication};

use super::targets::targets;
use super::{Author, View};
use crate::keys::KeySource;

/// The longest difference of clocks between an issuer and a waypoint (Envoy's).
const LEEWAY: Duration = Duration::from_secs(60);

/// Those that are attached to something.
pub(super) fn authentications(view: &View<'_>, notes: &mut Vec<String>) -> Vec<RequestAuthentication> {
    let all = view.objects.istio.authentications.iter();
    all.filter_map(|written| authentication(written, view, notes)).collect()
}

fn authentication(
    written: &Written,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Option<RequestAuthentication> {
    let author = Author { kind: ObjectKind::RequestAuthentication, metadata: &written.metadata };
    let targets = targets(written.spec.targets(), &author, view, notes);
    let rules = written.spec.jwt_rules.iter().map(|one| rule(one, view)).collect();
    (!targets.is_empty()).then(|| RequestAuthentication { key: author.key(), targets, rules, unusable: None })
}

fn rule(written: &WrittenRule, view: &View<'_>) -> JwtRule {
    let lower = |name: &str| Text::from(name.to_ascii_lowercase());
    let texts = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
    let path = |claim: &str| claim.split('.').map(Into::into).collect();
    let headers = written.from_headers.iter();
    let outputs = written.output_claim_to_headers.iter();
    JwtRule {
        issuer: written.issuer.as_str().into(),
        audiences: texts(&written.audiences),
        keys: keys(written, view),
        from_headers: headers.map(|header| (lower(&header.name), header.prefix.as_str().into())).collect(),
        from_params: texts(&written.from_params),
        from_cookies: texts(&written.from_cookies),
        forward: written.forward_original_token,
        payload_header: written.output_payload_to_header.as_deref().map(lower),
        claim_headers: outputs.map(|output| (lower(&output.header), path(&output.claim))).collect(),
        space_delimited: texts(&written.space_delimited_claims),
        leeway: LEEWAY,
    }
}

fn keys(written: &WrittenRule, view: &View<'_>) -> Keys {
    let inline = written.jwks.as_deref().unwrap_or_default();
    let Some(source) = KeySource::of(written) else { return Keys::Set(inline.into()) };
    match view.objects.istio.keys.get(&source) {
        Some(Ok(set)) => Keys::Set(set.clone()),
        Some(Err(why)) => Keys::Unavailable(why.clone()),
        None => Keys::Unavailable("they were not fetched yet".into()),
    }
}
