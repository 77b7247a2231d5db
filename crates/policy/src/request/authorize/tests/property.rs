//! Every set of policies decides like the plain reading of the rules.

use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::matching::Values;
use ambit_model::l7::policy::{
    Attribute, Condition, Operation, PolicyAction, PolicyRule, RequestPolicy, Source,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::{policy, set};
use crate::request::sample::{client, parsed};
use crate::request::{Client, Request, Token};

fn values(of: &'static [&'static str]) -> impl Strategy<Value = Values<Text>> {
    let list = || vec(select(of).prop_map(Text::from), 0..3);
    (list(), prop_oneof![2 => Just(Vec::new()), 1 => list()]).prop_map(|(any, none)| Values { any, none })
}

const NAMES: &[&str] = &["a", "b", "ab", "a*", "*b", "*"];
const PATHS: &[&str] = &["/a", "/a/b", "/a*", "*b", "*", "/{*}/b", "/a/{**}"];
const PRINCIPALS: &[&str] = &[
    "cluster.local/ns/a/sa/client",
    "old.domain/ns/b/sa/client",
    "*/ns/a/sa/client",
    "*",
    "cluster.local/ns/a*",
];

fn source() -> impl Strategy<Value = Source> {
    (values(PRINCIPALS), values(NAMES), values(&["i/a", "i/*", "*/b", "*", "j/b"])).prop_map(
        |(principals, namespaces, request_principals)| Source {
            principals,
            namespaces,
            request_principals,
            ..Source::default()
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    (values(PATHS), values(&["GET", "PUT", "P*", "*"]), values(&["a", "A:80", "*:80", "a*", "*"]))
        .prop_map(|(paths, methods, hosts)| Operation { paths, methods, hosts, ..Operation::default() })
}

fn condition() -> impl Strategy<Value = Condition> {
    let claim = Attribute::Claim(vec!["n".into(), "l".into()]);
    (select(vec![Attribute::Header("x".into()), claim, Attribute::SourceNamespace]), values(NAMES))
        .prop_map(|(key, values)| Condition { key, values })
}

fn rule() -> impl Strategy<Value = PolicyRule> {
    (vec(source(), 0..3), vec(operation(), 0..3), vec(condition(), 0..3), prop::bool::weighted(0.05))
        .prop_map(|(from, to, when, broken)| PolicyRule {
            from,
            to,
            when,
            undecodable: broken.then(|| "broken".into()),
        })
}

fn any_policy() -> impl Strategy<Value = RequestPolicy> {
    let action = prop_oneof![
        3 => Just(PolicyAction::Allow),
        2 => Just(PolicyAction::Deny),
        1 => Just(PolicyAction::Audit),
    ];
    (action, vec(rule(), 0..3), prop::bool::weighted(0.1), prop::bool::weighted(0.05)).prop_map(
        |(action, rules, dry_run, unusable)| RequestPolicy {
            dry_run,
            unusable: unusable.then(|| "unusable".into()),
            ..policy("p", action, rules)
        },
    )
}

/// No identity, or one of a trust domain and namespace.
fn any_client() -> impl Strategy<Value = Client> {
    let identity = (select(vec!["cluster.local", "old.domain", "other"]), select(vec!["a", "b", "ab"]));
    option::weighted(0.8, identity).prop_map(|identity| match identity {
        None => Client::plaintext([10, 0, 0, 1].into()),
        Some((domain, namespace)) => Client {
            identity: Some(ambit_model::Identity::new(domain, namespace, "client").unwrap()),
            foreign: domain == "other",
            ..client("a")
        },
    })
}

fn request() -> impl Strategy<Value = Request> {
    let target = select(vec!["/", "/a", "/a/b", "/b/b", "//a", "/a/b/c?d"]);
    let header = vec(select(vec!["a", "b", "ab"]), 0..3);
    let token =
        option::of((select(vec!["i", "j"]), select(vec!["a", "b"]), vec(select(vec!["a", "b", "ab"]), 0..3)));
    (target, select(vec!["GET", "PUT", "POST"]), select(vec!["a", "A.:80", "b"]), header, token, any_client())
        .prop_map(|(target, method, host, header, token, client)| {
            let mut lines = vec![("host", host)];
            lines.extend(header.into_iter().map(|value| ("x", value)));
            let mut request = parsed(method, target, &lines).unwrap();
            request.client = Arc::new(client);
            request.token = token.map(|(issuer, subject, list)| Token {
                claims: match json!({"iss": issuer, "sub": subject, "n": {"l": list}}) {
                    serde_json::Value::Object(claims) => claims,
                    _ => unreachable!("an object was written"),
                },
                space_delimited: Vec::new(),
            });
            request
        })
}

/// A pattern as an expression: what `*` stands for anywhere, at least one letter where it stands alone.
fn glob(pattern: &str, text: &str) -> bool {
    let expression = match pattern {
        "*" => ".+".to_owned(),
        _ => regex::escape(pattern).replace("\\*", ".*"),
    };
    regex::Regex::new(&format!("^(?:{expression})$")).unwrap().is_match(text)
}

fn lists<T>(values: &Values<T>, hit: impl Fn(&T) -> bool) -> bool {
    let demanded = values.any.is_empty() || values.any.iter().any(&hit);
    let spared = values.none.iter().any(hit);
    demanded && !spared
}

struct Naive<'a> {
    request: &'a Request,
    allow: bool,
}

impl Naive<'_> {
    fn namespace(&self, values: &Values<Text>) -> bool {
        let client = &self.request.client;
        let own = client.identity.as_ref().map(|identity| identity.namespace().to_string());
        let hit = |pattern: &Text| own.as_ref().is_some_and(|own| glob(pattern, own));
        // Another trust domain's name counts against its bearer only.
        let demanded =
            values.any.is_empty() || (values.any.iter().any(hit) && !(client.foreign && self.allow));
        let spared = values.none.iter().any(hit) && (!client.foreign || self.allow);
        demanded && !spared
    }

    fn principal(&self, pattern: &str) -> bool {
        let Some(identity) = &self.request.client.identity else { return false };
        let mut names = vec![pattern.to_owned()];
        for (domain, other) in [("cluster.local", "old.domain"), ("old.domain", "cluster.local")] {
            if pattern.starts_with(domain) && pattern.split('/').count() == 5 {
                names.push(pattern.replacen(domain, other, 1));
            }
        }
        names.iter().any(|name| glob(name, &identity.principal()))
    }

    fn request_principal(&self, pattern: &str) -> bool {
        let Some((issuer, subject)) = self.request.token.as_ref().and_then(|token| token.principal()) else {
            return false;
        };
        match pattern.rsplit_once('/') {
            None => pattern == "*",
            Some((first, second)) => glob(first, issuer) && glob(second, subject),
        }
    }

    fn source(&self, source: &Source) -> bool {
        if *source == Source::default() {
            return !self.allow;
        }
        lists(&source.principals, |pattern| self.principal(pattern))
            && self.namespace(&source.namespaces)
            && lists(&source.request_principals, |pattern| self.request_principal(pattern))
    }

    fn operation(&self, operation: &Operation) -> bool {
        if *operation == Operation::default() {
            return !self.allow;
        }
        let path = |pattern: &Text| match &**pattern {
            "/{*}/b" => regex::Regex::new("^/[^/]+/b$").unwrap().is_match(self.request.path()),
            "/a/{**}" => self.request.path().starts_with("/a/"),
            pattern => glob(pattern, self.request.path()),
        };
        lists(&operation.paths, path)
            && lists(&operation.methods, |pattern| glob(pattern, self.request.method.as_str()))
            && lists(&operation.hosts, |pattern| {
                glob(&pattern.to_lowercase(), self.request.authority().as_str())
            })
    }

    fn condition(&self, condition: &Condition) -> bool {
        let values = &condition.values;
        if values.any.is_empty() && values.none.is_empty() {
            return !self.allow;
        }
        match &condition.key {
            Attribute::SourceNamespace => self.namespace(values),
            Attribute::Header(_) => {
                let all: Vec<&str> =
                    self.request.headers.get_all("x").iter().map(|value| value.to_str().unwrap()).collect();
                lists(values, |pattern| !all.is_empty() && glob(pattern, &all.join(",")))
            }
            _ => {
                let token = self.request.token.as_ref();
                let texts =
                    token.map(|token| token.claims["n"]["l"].as_array().unwrap().clone()).unwrap_or_default();
                lists(values, |pattern| texts.iter().any(|text| glob(pattern, text.as_str().unwrap())))
            }
        }
    }

    fn matches(&self, policy: &RequestPolicy) -> bool {
        policy.rules.iter().any(|rule| match rule.undecodable {
            Some(_) => !self.allow,
            None => {
                (rule.from.is_empty() || rule.from.iter().any(|each| self.source(each)))
                    && (rule.to.is_empty() || rule.to.iter().any(|each| self.operation(each)))
                    && rule.when.iter().all(|each| self.condition(each))
            }
        })
    }
}

fn naive(policies: &[RequestPolicy], request: &Request) -> (bool, usize) {
    let enforced: Vec<_> = policies.iter().filter(|policy| !policy.dry_run).collect();
    let of = |action: PolicyAction| {
        enforced.iter().filter(move |policy| policy.action == action && policy.unusable.is_none())
    };
    let matches = |policy: &RequestPolicy| {
        Naive { request, allow: policy.action == PolicyAction::Allow }.matches(policy)
    };
    let audited = of(PolicyAction::Audit).filter(|policy| matches(policy)).count();
    let unusable = enforced.iter().any(|policy| policy.unusable.is_some());
    let denied = of(PolicyAction::Deny).any(|policy| matches(policy));
    let mut allows = of(PolicyAction::Allow).peekable();
    let allowed = allows.peek().is_none() || allows.any(|policy| matches(policy));
    (!unusable && !denied && allowed, audited)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_set_is_the_plain_reading_of_its_policies(policies in vec(any_policy(), 0..4), request in request()) {
        let judgement = set(&policies).judge(&request);
        prop_assert_eq!((judgement.verdict.is_allowed(), judgement.audited.len()), naive(&policies, &request));
    }

    /// A policy that refuses more never lets more in: a further DENY, or a broken rule in an ALLOW.
    #[test]
    fn doubt_never_widens(policies in vec(any_policy(), 0..3), at in 0..3usize, request in request()) {
        let before = set(&policies).judge(&request).verdict.is_allowed();
        let mut broken = policies;
        if let Some(policy) = broken.get_mut(at).filter(|policy| !policy.dry_run) {
            policy.rules.iter_mut().for_each(|rule| rule.undecodable = Some("broken".into()));
            let after = set(&broken).judge(&request).verdict.is_allowed();
            prop_assert!(before || !after);
        }
    }
}
