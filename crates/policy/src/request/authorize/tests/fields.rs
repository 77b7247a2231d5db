//! Every field of a rule: what matches it, and the ways around it that meshes have had.

use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::matching::Values;
use ambit_model::l7::policy::{Attribute, Condition, Operation, PolicyAction, PolicyRule, Source};
use serde_json::json;

use super::{answer, any, policy, set};
use crate::request::sample::{client, destination, get, parsed};
use crate::request::{Client, Request, Token};

/// Whether an ALLOW and a DENY with this rule agree that it holds; they must where nothing is in doubt.
fn holds(rule: &PolicyRule, request: &Request) -> bool {
    let decide = |action| answer(&set(&[policy("p", action, vec![rule.clone()])]), request) == "allowed";
    let allowed = decide(PolicyAction::Allow);
    assert_eq!(allowed, !decide(PolicyAction::Deny), "{rule:?}");
    allowed
}

fn texts(values: &[&str]) -> Values<Text> {
    any(values.iter().map(|text| Text::from(*text)))
}

fn none(values: &[&str]) -> Values<Text> {
    Values { any: Vec::new(), none: values.iter().map(|text| Text::from(*text)).collect() }
}

fn from(source: Source) -> PolicyRule {
    PolicyRule { from: vec![source], ..PolicyRule::default() }
}

fn to(operation: Operation) -> PolicyRule {
    PolicyRule { to: vec![operation], ..PolicyRule::default() }
}

fn when(key: Attribute, values: Values<Text>) -> PolicyRule {
    PolicyRule { when: vec![Condition { key, values }], ..PolicyRule::default() }
}

fn by(client: Client) -> Request {
    let mut request = get("/", &[]);
    request.client = Arc::new(client);
    request
}

fn identified(text: &str) -> Client {
    let identity: ambit_model::Identity = text.parse().unwrap();
    let foreign = !matches!(&**identity.trust_domain(), "cluster.local" | "old.domain");
    Client { identity: Some(identity), foreign, ..client("x") }
}

fn plaintext() -> Client {
    Client::plaintext([10, 0, 0, 1].into())
}

fn with_token(claims: serde_json::Value) -> Request {
    let serde_json::Value::Object(claims) = claims else { panic!("claims are an object") };
    let mut request = get("/", &[]);
    request.token = Some(Token { claims, space_delimited: vec!["groups".into()] });
    request
}

#[test]
fn principals_and_trust_domains() {
    let web = || by(identified("spiffe://cluster.local/ns/web/sa/front"));
    let old = || by(identified("spiffe://old.domain/ns/web/sa/front"));
    let other = || by(identified("spiffe://other/ns/web/sa/front"));
    let cases: &[(&str, [bool; 3])] = &[
        ("cluster.local/ns/web/sa/front", [true, true, false]),
        ("old.domain/ns/web/sa/front", [true, true, false]),
        ("other/ns/web/sa/front", [false, false, true]),
        ("*-unknown/ns/web/sa/front", [false, false, false]),
        ("*.local/ns/web/sa/front", [true, true, false]),
        ("*/ns/web/sa/front", [true, true, true]),
        ("*/sa/front", [true, true, true]),
        ("cluster.local/ns/web/*", [true, false, false]),
        ("cluster.local/ns/web/sa/fron", [false, false, false]),
        ("cluster.local/ns/web/sa/front2", [false, false, false]),
        ("*", [true, true, true]),
        ("spiffe://cluster.local/ns/web/sa/front", [false, false, false]),
    ];
    for (pattern, expected) in cases {
        let rule = from(Source { principals: texts(&[pattern]), ..Source::default() });
        let condition = when(Attribute::SourcePrincipal, texts(&[pattern]));
        for (request, expected) in [web(), old(), other()].iter().zip(expected) {
            assert_eq!(holds(&rule, request), *expected, "{pattern} {:?}", request.client);
            assert_eq!(holds(&condition, request), *expected, "{pattern} {:?}", request.client);
        }
        assert!(!holds(&rule, &by(plaintext())), "without an identity nothing matches: {pattern}");
    }
    let strict = from(Source { principals: none(&["*"]), ..Source::default() });
    assert!(holds(&strict, &by(plaintext())) && !holds(&strict, &web()), "the way to write STRICT");

    let domains = |pattern: &str| from(Source { trust_domains: texts(&[pattern]), ..Source::default() });
    assert!(holds(&domains("old.domain"), &web()) && holds(&domains("cluster.local"), &old()));
    assert!(!holds(&domains("cluster.local"), &other()) && holds(&domains("oth*"), &other()));
    assert!(holds(&domains("*"), &other()) && !holds(&domains("*"), &by(plaintext())));
}

#[test]
fn namespaces_and_service_accounts() {
    let web = by(identified("spiffe://cluster.local/ns/web-1/sa/front"));
    for (pattern, expected) in [
        ("web-1", true),
        ("web-*", true),
        ("*-1", true),
        ("w*1", true),
        ("*", true),
        ("web", false),
        ("1", false),
        ("web.1", false),
    ] {
        let rule = from(Source { namespaces: texts(&[pattern]), ..Source::default() });
        assert_eq!(holds(&rule, &web), expected, "{pattern}");
        assert_eq!(holds(&when(Attribute::SourceNamespace, texts(&[pattern])), &web), expected, "{pattern}");
        assert!(!holds(&rule, &by(plaintext())), "{pattern}");
    }
    for (account, expected) in [
        ("web-1/front", true),
        ("web-1/front-other", false),
        ("web-1/fron", false),
        ("web/front", false),
        ("web-1/*", false),
    ] {
        let rule = from(Source { service_accounts: texts(&[account]), ..Source::default() });
        assert_eq!(holds(&rule, &web), expected, "{account}");
        assert_eq!(
            holds(&when(Attribute::SourceServiceAccount, texts(&[account])), &web),
            expected,
            "{account}"
        );
    }
}

/// `web` of another trust domain is not `web`: it never gains by the name, and never escapes by it.
#[test]
fn another_trust_domain_never_gains_by_a_name() {
    let foreign = by(identified("spiffe://other/ns/web/sa/front"));
    let decide = |action, rule: &PolicyRule| {
        answer(&set(&[policy("p", action, vec![rule.clone()])]), &foreign) == "allowed"
    };
    let named = [
        from(Source { namespaces: texts(&["web"]), ..Source::default() }),
        from(Source { service_accounts: texts(&["web/front"]), ..Source::default() }),
        when(Attribute::SourceNamespace, texts(&["web"])),
        when(Attribute::SourceServiceAccount, texts(&["web/front"])),
    ];
    let spared = [
        from(Source { namespaces: none(&["web"]), ..Source::default() }),
        from(Source { service_accounts: none(&["web/front"]), ..Source::default() }),
        when(Attribute::SourceNamespace, none(&["web"])),
    ];
    for rule in named.iter().chain(&spared) {
        assert!(!decide(PolicyAction::Allow, rule), "{rule:?}");
        assert!(!decide(PolicyAction::Deny, rule), "{rule:?}");
    }
}

#[test]
fn addresses_and_ports() {
    let blocks = |text: &str| any([text.parse().unwrap()]);
    let mut request = get("/", &[]);
    request.remote_ip = [203, 0, 113, 9].into();
    let cases = [
        (from(Source { ip_blocks: blocks("10.0.0.0/8"), ..Source::default() }), true),
        (from(Source { ip_blocks: blocks("203.0.113.0/24"), ..Source::default() }), false),
        (from(Source { remote_ip_blocks: blocks("203.0.113.0/24"), ..Source::default() }), true),
        (from(Source { remote_ip_blocks: blocks("10.0.0.0/8"), ..Source::default() }), false),
        (when(Attribute::SourceIp, texts(&["10.0.0.1"])), true),
        (when(Attribute::SourceIp, texts(&["10.0.0.2", "::/0"])), false),
        (when(Attribute::RemoteIp, texts(&["203.0.113.9"])), true),
        (when(Attribute::DestinationIp, texts(&["10.96.0.0/16"])), true),
        (when(Attribute::DestinationPort, texts(&["80"])), true),
        (when(Attribute::DestinationPort, none(&["80"])), false),
        (to(Operation { ports: any([80]), ..Operation::default() }), true),
        (to(Operation { ports: any([8080]), ..Operation::default() }), false),
    ];
    for (rule, expected) in cases {
        assert_eq!(holds(&rule, &request), expected, "{rule:?}");
    }
}

#[test]
fn hosts_with_their_port_in_any_case() {
    let cases: &[(&str, &str, bool)] = &[
        ("Example.com", "example.COM", true),
        ("example.com", "example.com.", true),
        ("example.com", "example.com:80", false),
        ("example.com:80", "example.com:80", true),
        ("example.com:*", "example.com:8080", true),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "example.com", false),
        ("*", "anything", true),
    ];
    for (pattern, host, expected) in cases {
        let rule = to(Operation { hosts: texts(&[pattern]), ..Operation::default() });
        assert_eq!(
            holds(&rule, &parsed("GET", "/", &[("host", host)]).unwrap()),
            *expected,
            "{pattern} {host}"
        );
    }
}

#[test]
fn paths_and_templates() {
    let cases: &[(&str, &str, bool)] = &[
        ("/admin", "/admin?x=/public", true),
        ("/admin", "/public/../admin", true),
        ("/admin", "//admin", true),
        ("/admin", "/%61dmin", true),
        ("/admin", "/admin/", false),
        ("/admin/*", "/admin/x", true),
        ("*/x", "/admin/x", true),
        ("*", "/", true),
        ("/a/{*}/b", "/a/x/b", true),
        ("/a/{*}/b", "/a/x/y/b", false),
        ("/a/{*}/b", "/a/b", false),
        ("/a/{*}", "/a/", false),
        ("/a/{**}", "/a/", true),
        ("/a/{**}", "/a", false),
        ("/a/{**}", "/a/b/c", true),
        ("/a/{**}", "/ab", false),
        ("/{**}/z", "/a/b/z", true),
        ("/{**}/z", "/a/b/z/", false),
        ("/{*}/b/{**}/z", "/a/b/c/d/z", true),
        ("/{*}/b/{**}/z", "/a/c/c/d/z", false),
    ];
    for (pattern, target, expected) in cases {
        let rule = to(Operation { paths: texts(&[pattern]), ..Operation::default() });
        assert_eq!(holds(&rule, &get(target, &[])), *expected, "{pattern} {target}");
        let not = to(Operation { paths: none(&[pattern]), ..Operation::default() });
        assert_eq!(holds(&not, &get(target, &[])), !*expected, "not {pattern} {target}");
    }
}

#[test]
fn methods_by_their_letters() {
    let request = parsed("POST", "/", &[("host", "a")]).unwrap();
    for (pattern, expected) in
        [("POST", true), ("post", false), ("P*", true), ("*T", true), ("*", true), ("PUT", false)]
    {
        let rule = to(Operation { methods: texts(&[pattern]), ..Operation::default() });
        assert_eq!(holds(&rule, &request), expected, "{pattern}");
    }
}

/// A second value cannot hide behind the first (CVE-2026-26308), and `*` asks only that the header is there.
#[test]
fn headers_with_all_their_values() {
    let header = || Attribute::Header("x-role".into());
    let cases: &[(&[&str], &str, bool)] = &[
        (&["admin"], "admin", true),
        (&["admin", "user"], "admin", false),
        (&["user", "admin"], "admin", false),
        (&["user", "admin"], "user,admin", true),
        (&["user", "admin"], "*admin", true),
        (&[""], "*", true),
        (&[], "*", false),
        (&[], "", false),
    ];
    for (values, pattern, expected) in cases {
        let lines: Vec<_> = values.iter().map(|value| ("X-Role", *value)).collect();
        let request = get("/", &lines);
        assert_eq!(holds(&when(header(), texts(&[pattern])), &request), *expected, "{values:?} {pattern}");
        assert_eq!(
            holds(&when(header(), none(&[pattern])), &request),
            !*expected,
            "{values:?} not {pattern}"
        );
    }
    let host = when(Attribute::Header("host".into()), texts(&["cart.shop"]));
    assert!(holds(&host, &get("/", &[])));
}

#[test]
fn request_principals_are_split_at_the_last_slash() {
    let request = with_token(json!({"iss": "https://issuer/a", "sub": "bob"}));
    let cases = [
        ("https://issuer/a/bob", true),
        ("https://issuer/a/*", true),
        ("https://issuer/a/b*", true),
        ("*/bob", true),
        ("*r/a/bob", true),
        ("*bob", true),
        ("*", true),
        ("https://issuer/*", false),
        ("https://issuer/a/bo", false),
        ("*/alice", false),
        ("bob", false),
    ];
    for (pattern, expected) in cases {
        let rule = from(Source { request_principals: texts(&[pattern]), ..Source::default() });
        assert_eq!(holds(&rule, &request), expected, "{pattern}");
        assert_eq!(
            holds(&when(Attribute::RequestPrincipal, texts(&[pattern])), &request),
            expected,
            "{pattern}"
        );
        assert!(!holds(&rule, &get("/", &[])), "without a token nothing matches: {pattern}");
        assert!(
            !holds(&rule, &with_token(json!({"iss": "https://issuer/a"}))),
            "nor without a subject: {pattern}"
        );
    }
    // The subject `a/bob` of the issuer `https://issuer` is somebody else.
    let other = with_token(json!({"iss": "https://issuer", "sub": "a/bob"}));
    let rule = from(Source { request_principals: texts(&["https://issuer/a/bob"]), ..Source::default() });
    assert!(!holds(&rule, &other));
}

#[test]
fn claims_in_depth_and_as_lists() {
    let request = with_token(json!({
        "aud": ["one", "two"], "azp": "app", "scope": "read write", "groups": "a b", "text": "a b",
        "realm": {"roles": ["admin", "user"], "name": "main"}, "level": 3, "root": true, "empty": "", "none": null
    }));
    let claim = |path: &[&str]| Attribute::Claim(path.iter().map(|name| Text::from(*name)).collect());
    let cases = [
        (Attribute::Audiences, "two", true),
        (Attribute::Audiences, "t*", true),
        (Attribute::Audiences, "three", false),
        (Attribute::Presenter, "app", true),
        (claim(&["scope"]), "write", true),
        (claim(&["scope"]), "read write", false),
        (claim(&["groups"]), "b", true),
        (claim(&["text"]), "b", false),
        (claim(&["text"]), "a b", true),
        (claim(&["realm", "roles"]), "admin", true),
        (claim(&["realm", "roles"]), "adm", false),
        (claim(&["realm", "name"]), "*in", true),
        (claim(&["realm"]), "*", false),
        (claim(&["roles"]), "admin", false),
        (claim(&["level"]), "3", false),
        (claim(&["root"]), "true", false),
        (claim(&["empty"]), "*", false),
        (claim(&["none"]), "*", false),
        (claim(&["absent"]), "*", false),
    ];
    for (key, pattern, expected) in cases {
        assert_eq!(holds(&when(key.clone(), texts(&[pattern])), &request), expected, "{key:?} {pattern}");
        assert!(!holds(&when(key.clone(), texts(&[pattern])), &get("/", &[])), "{key:?} {pattern}");
        assert!(holds(&when(key, none(&[pattern])), &get("/", &[])), "{pattern}");
    }
}

#[test]
fn server_names() {
    let mut request = get("/", &[]);
    let rule = when(Attribute::ServerName, texts(&["*.example.com"]));
    assert!(!holds(&rule, &request));
    request.destination =
        Arc::new(crate::request::Destination { server_name: Some("a.example.com".into()), ..destination() });
    assert!(holds(&rule, &request));
}

/// All lists of a source must hold, one of the sources, one of the operations, and every condition.
#[test]
fn lists_are_and_and_alternatives_are_or() {
    let source = |namespace: &str, block: &str| Source {
        namespaces: texts(&[namespace]),
        ip_blocks: any([block.parse().unwrap()]),
        ..Source::default()
    };
    let operation = |method: &str, path: &str| Operation {
        methods: texts(&[method]),
        paths: texts(&[path]),
        ..Operation::default()
    };
    let rule = |from: &[Source], to: &[Operation], header: &str| PolicyRule {
        from: from.to_vec(),
        to: to.to_vec(),
        when: vec![Condition { key: Attribute::Header("x".into()), values: texts(&[header]) }],
        undecodable: None,
    };
    let request = get("/a", &[("x", "1")]);
    let (good, bad) = (source("shop", "10.0.0.0/8"), source("shop", "11.0.0.0/8"));
    let (yes, no) = (operation("GET", "/a"), operation("GET", "/b"));
    assert!(holds(&rule(&[bad.clone(), good.clone()], &[no.clone(), yes.clone()], "1"), &request));
    assert!(!holds(&rule(std::slice::from_ref(&bad), std::slice::from_ref(&yes), "1"), &request));
    assert!(!holds(&rule(std::slice::from_ref(&good), &[no], "1"), &request));
    assert!(!holds(&rule(&[good], &[yes], "2"), &request));
}
