//! RequestAuthentications, as waypoints are told.

use std::sync::Arc;
use std::time::Duration;

use ambit_model::l7::authentication::{JwtRule, Keys};
use ambit_model::l7::{RequestAuthentication, Resource};

use super::{Index, MESH, istio, mesh};
use crate::index::Indexer;
use crate::keys::{KeySets, KeySource};
use crate::settings::MeshSettings;

impl Index {
    #[track_caller]
    fn authentication(&self) -> RequestAuthentication {
        let found = self.l7().into_iter().find_map(|resource| match &**resource {
            Resource::Authentication(authentication) => Some(authentication.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no RequestAuthentication: {:?}", self.told()))
    }
}

fn written(rule: &str) -> String {
    let spec =
        format!("targetRefs: [{{kind: Service, name: cart}}]\njwtRules:\n- {}", rule.replace('\n', "\n  "));
    istio("security", "RequestAuthentication", "r", &spec)
}

#[test]
fn every_field_is_told() {
    let index = mesh(&written(
        "issuer: joe\naudiences: [a]\njwks: '{\"keys\": []}'\nfromHeaders: [{name: X-Token, prefix: 'T '}]\nfromParams: [p]\n\
         fromCookies: [c]\nforwardOriginalToken: true\noutputPayloadToHeader: X-Payload\n\
         outputClaimToHeaders: [{header: X-Sub, claim: realm.sub}]\nspaceDelimitedClaims: [roles]\ntimeout: 1s",
    ));
    assert_eq!(index.told(), [""; 0]);
    let expected = JwtRule {
        issuer: "joe".into(),
        audiences: vec!["a".into()],
        keys: Keys::Set("{\"keys\": []}".into()),
        from_headers: vec![("x-token".into(), "T ".into())],
        from_params: vec!["p".into()],
        from_cookies: vec!["c".into()],
        forward: true,
        payload_header: Some("x-payload".into()),
        claim_headers: vec![("x-sub".into(), vec!["realm".into(), "sub".into()])],
        space_delimited: vec!["roles".into()],
        leeway: Duration::from_secs(60),
    };
    assert_eq!(index.authentication().rules, [expected]);
}

#[test]
fn keys_are_told_when_they_come_and_nothing_else_is_told_again() {
    let uri = KeySource::Uri("https://a.example.com/keys".into());
    let issuer = KeySource::Issuer("https://joe".into());
    let objects = super::super::objects(&format!(
        "{MESH}---\n{}",
        written("issuer: joe\njwksUri: https://a.example.com/keys")
            .replace("jwtRules:", "jwtRules:\n  - {issuer: 'https://joe'}")
    ));
    let mut indexer = Indexer::new(MeshSettings::default());
    assert!(indexer.know(Arc::default()).l7.is_empty(), "nothing is known before the first configuration");
    indexer.update(&[], &objects, Arc::default());
    let five = Duration::from_secs(5);
    assert_eq!(indexer.wanted_keys(), [(issuer.clone(), five), (uri.clone(), five)].into());
    let of = |indexer: &Indexer| -> Vec<Keys> {
        indexer.index().authentication().rules.into_iter().map(|rule| rule.keys).collect()
    };
    assert!(of(&indexer).iter().all(|keys| matches!(keys, Keys::Unavailable(_))));
    let sets: KeySets = [(uri, Ok("{}".into())), (issuer, Err("no".into()))].into();
    let delta = indexer.know(Arc::new(sets.clone()));
    assert_eq!(of(&indexer), [Keys::Unavailable("no".into()), Keys::Set("{}".into())]);
    let names: Vec<String> = delta.l7.iter().map(|difference| difference.name.to_string()).collect();
    assert_eq!(names, ["RequestAuthentication/shop/r"]);
    assert!(indexer.know(Arc::new(sets)).l7.is_empty());
}
