//! Tokens: what is minted verifies, and nothing else does.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::{Caller, NodeName, TokenRefusal, Tokens, WorkloadName, bearer};

const LIFETIME: Duration = Duration::from_secs(1000);

fn tokens(byte: u8) -> Tokens {
    Tokens { key: vec![byte; 32].into() }
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

#[test]
fn a_token_counts_from_its_issue_to_its_end_give_or_take_the_skew() {
    let issued = UNIX_EPOCH + Duration::from_secs(1_000_000);
    let token = tokens(1).mint(name("one"), LIFETIME, issued);
    let at = |offset: i64| {
        let shift = Duration::from_secs(offset.unsigned_abs());
        let now = if offset < 0 { issued - shift } else { issued + shift };
        tokens(1).verify(&token, now)
    };
    for offset in [-60, 0, 999, 1060] {
        assert_eq!(at(offset), Ok(name("one").into()), "{offset}");
    }
    assert_eq!(at(-61), Err(TokenRefusal::NotYet(name("one").into())));
    assert_eq!(at(1061), Err(TokenRefusal::Expired { caller: name("one").into(), seconds: 61 }));
}

#[test]
fn bearer_tokens_come_in_one_header_of_either_case() {
    for (text, expected) in [
        ("Bearer a.b.c", Ok("a.b.c")),
        ("bearer a.b.c", Ok("a.b.c")),
        ("Basic a", Err(TokenRefusal::Missing)),
        ("a.b.c", Err(TokenRefusal::Missing)),
    ] {
        assert_eq!(bearer(Some(&http::HeaderValue::from_static(text))), expected);
    }
    assert_eq!(bearer(None), Err(TokenRefusal::Missing));
}

#[test]
fn a_token_names_a_workload_or_a_node_and_never_the_one_for_the_other() {
    let verified = |caller: Caller| {
        let token = tokens(1).mint(caller, LIFETIME, UNIX_EPOCH);
        tokens(1).verify(&token, UNIX_EPOCH).unwrap()
    };
    let workload: WorkloadName = "shop/way.point".parse().unwrap();
    for caller in
        [Caller::from(workload.clone()), workload.clone().on(Some(name("one"))).into(), name("one").into()]
    {
        assert_eq!(verified(caller.clone()), caller);
    }
    assert_eq!(Caller::from(workload.on(Some(name("one")))).to_string(), "workload shop/way.point@one");
    for text in ["", "shop", "shop/", "/a", "shop/a/b", "Shop/a", "a.b/c", "shop/a@one", "shop/a:b", "shop/*"]
    {
        assert!(text.parse::<WorkloadName>().is_err(), "{text}");
    }
    for subject in
        ["", "shop/a", "workload:", "workload:shop", "workload:shop/a@", "workload:shop/a@B", "pod:shop/a"]
    {
        assert_eq!(Caller::from_subject(subject), None, "{subject}");
    }
}

#[test]
fn no_key_in_debug_output() {
    assert_eq!(format!("{:?}", tokens(7)), "Tokens(key redacted)");
}

proptest! {
    #[test]
    fn what_is_minted_verifies(node in "[a-z0-9]{1,10}(\\.[a-z0-9]{1,5}){0,2}", key: u8, other: u8) {
        let token = tokens(key).mint(name(&node), LIFETIME, UNIX_EPOCH);
        prop_assert_eq!(tokens(key).verify(&token, UNIX_EPOCH), Ok(name(&node).into()));
        if other != key {
            prop_assert_eq!(tokens(other).verify(&token, UNIX_EPOCH), Err(TokenRefusal::Signature));
        }
    }

    #[test]
    fn any_change_of_a_byte_is_refused(at: prop::sample::Index, byte in 33u8..127) {
        let token = tokens(1).mint(name("one"), LIFETIME, UNIX_EPOCH);
        let mut changed = token.as_bytes().to_vec();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != byte);
        changed[at] = byte;
        prop_assert!(tokens(1).verify(std::str::from_utf8(&changed).unwrap(), UNIX_EPOCH).is_err());
    }

    #[test]
    fn arbitrary_text_is_refused_without_a_panic(text in ".{0,200}|[A-Za-z0-9_.-]{0,6000}") {
        prop_assert!(tokens(1).verify(&text, UNIX_EPOCH).is_err());
    }

    #[test]
    fn names_are_what_kubernetes_accepts(text in "[a-zA-Z0-9.-]{0,20}") {
        let expected = !text.is_empty() && text.split('.').all(|part| {
            let bytes = part.as_bytes();
            let fine = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            bytes.first().is_some_and(fine) && bytes.last().is_some_and(fine)
                && bytes.iter().all(|byte| fine(byte) || *byte == b'-')
        });
        prop_assert_eq!(text.parse::<NodeName>().is_ok(), expected);
    }
}
