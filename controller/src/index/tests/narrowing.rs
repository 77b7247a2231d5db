//! Converted policies against a naive reading of what was written, requests included: nothing is ever allowed that the
//! author's rules would not allow, and everything is denied that they would deny.

use std::net::{IpAddr, SocketAddr};

use ambit_kubernetes::{
    Action, AuthorizationPolicy, Condition, IpBlock, Metadata, Operation, Rule, RuleFrom, RuleTo, Source,
};
use ambit_model::traffic::Connection;
use ambit_model::{Change, Identity, Snapshot, Workload};
use proptest::prelude::*;
use proptest::sample::select;

use super::build;
use crate::captured::Captured;
use crate::settings::MeshSettings;

/// A request on a connection: what a node proxy sees, and what only a waypoint does.
#[derive(Debug, Clone)]
struct Request {
    identity: Option<Identity>,
    source: IpAddr,
    destination: SocketAddr,
    method: &'static str,
    header: &'static str,
}

fn text_matches(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        _ if pattern == "*" => !text.is_empty(),
        (Some(end), _) => text.ends_with(end),
        (_, Some(beginning)) => text.starts_with(beginning),
        _ => pattern == text,
    }
}

/// Whether a pair of lists holds: any of the first unless it is empty, none of the second.
fn holds<T>(wanted: &[T], unwanted: &[T], hits: impl Fn(&T) -> bool) -> bool {
    (wanted.is_empty() || wanted.iter().any(&hits)) && !unwanted.iter().any(&hits)
}

impl Request {
    fn principal(&self) -> String {
        self.identity.as_ref().map(Identity::principal).unwrap_or_default()
    }

    fn namespace(&self) -> String {
        self.identity.as_ref().map(|identity| identity.namespace().to_string()).unwrap_or_default()
    }

    fn from(&self, source: &Source) -> bool {
        let text = |text: String| move |pattern: &String| text_matches(pattern, &text);
        let account = |account: &String| {
            let (namespace, name) = account.split_once('/').unwrap_or(("shop", account));
            self.identity.as_ref().is_some_and(|identity| {
                **identity.namespace() == *namespace && **identity.service_account() == *name
            })
        };
        holds(&source.principals, &source.not_principals, text(self.principal()))
            && holds(&source.namespaces, &source.not_namespaces, text(self.namespace()))
            && holds(&source.service_accounts, &source.not_service_accounts, account)
            && holds(&source.ip_blocks, &source.not_ip_blocks, |block| block.contains(self.source))
    }

    fn to(&self, operation: &Operation) -> bool {
        let port = |port: &String| *port == self.destination.port().to_string();
        let method = |pattern: &String| text_matches(pattern, self.method);
        holds(&operation.ports, &operation.not_ports, port)
            && holds(&operation.methods, &operation.not_methods, method)
    }

    fn when(&self, condition: &Condition) -> bool {
        holds(&condition.values, &condition.not_values, |value| match condition.key.as_str() {
            "source.ip" => value.parse::<IpBlock>().unwrap().contains(self.source),
            "destination.port" => *value == self.destination.port().to_string(),
            "source.principal" => text_matches(value, &self.principal()),
            _ => text_matches(value, self.header),
        })
    }

    fn matches(&self, rule: &Rule) -> bool {
        (rule.from.is_empty() || rule.from.iter().any(|from| self.from(&from.source)))
            && (rule.to.is_empty() || rule.to.iter().any(|to| self.to(&to.operation)))
            && rule.when.iter().all(|condition| self.when(condition))
    }

    fn connection(&self) -> Connection {
        Connection {
            source_ip: self.source,
            network: "".into(),
            source_identity: self.identity.clone(),
            destination: self.destination,
        }
    }
}

fn some(values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(select(values).prop_map(str::to_owned), 0..3)
}

const PRINCIPALS: &[&str] = &[
    "cluster.local/ns/shop/sa/web",
    "cluster.local/ns/other/*",
    "*/sa/web",
    "*",
    "cluster.local/ns/x/sa/web",
];
const NAMESPACES: &[&str] = &["shop", "other", "s*", "*er", "*"];
const ACCOUNTS: &[&str] = &["web", "other/web", "cart"];
const BLOCKS: &[&str] = &["10.0.0.0/8", "10.0.0.1", "fd00::/8"];
const PORTS: &[&str] = &["80", "443"];

fn blocks() -> impl Strategy<Value = Vec<IpBlock>> {
    some(BLOCKS).prop_map(|blocks| blocks.iter().map(|block| block.parse().unwrap()).collect())
}

fn source() -> impl Strategy<Value = RuleFrom> {
    let texts = (some(PRINCIPALS), some(PRINCIPALS), some(NAMESPACES), some(NAMESPACES));
    (texts, some(ACCOUNTS), some(ACCOUNTS), blocks(), blocks()).prop_map(
        |((principals, not_principals, namespaces, not_namespaces), accounts, not_accounts, ips, not_ips)| {
            RuleFrom {
                source: Source {
                    principals,
                    not_principals,
                    namespaces,
                    not_namespaces,
                    service_accounts: accounts,
                    not_service_accounts: not_accounts,
                    ip_blocks: ips,
                    not_ip_blocks: not_ips,
                    ..Source::default()
                },
            }
        },
    )
}

fn operation() -> impl Strategy<Value = RuleTo> {
    const METHODS: &[&str] = &["GET", "POST", "P*"];
    let rarely = prop_oneof![3 => Just(Vec::new()), 1 => some(METHODS)];
    let never_or = prop_oneof![3 => Just(Vec::new()), 1 => some(METHODS)];
    (some(PORTS), some(PORTS), rarely, never_or).prop_map(|(ports, not_ports, methods, not_methods)| RuleTo {
        operation: Operation { ports, not_ports, methods, not_methods, ..Operation::default() },
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let of = |key: &'static str, values: &'static [&'static str]| {
        (some(values), some(values)).prop_map(move |(values, not_values)| Condition {
            key: key.to_owned(),
            values,
            not_values,
        })
    };
    prop_oneof![
        of("source.ip", BLOCKS),
        of("destination.port", PORTS),
        of("source.principal", PRINCIPALS),
        of("request.headers[x]", &["a", "b*"]),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let few = 0..3usize;
    (
        prop::collection::vec(source(), few.clone()),
        prop::collection::vec(operation(), few.clone()),
        prop::collection::vec(condition(), few),
    )
        .prop_map(|(from, to, when)| Rule { from, to, when })
}

fn request() -> impl Strategy<Value = Request> {
    let identity = |text: &str| text.parse::<Identity>().unwrap();
    let identities = vec![
        None,
        Some(identity("spiffe://cluster.local/ns/shop/sa/web")),
        Some(identity("spiffe://cluster.local/ns/other/sa/web")),
        Some(identity("spiffe://cluster.local/ns/shop/sa/cart")),
    ];
    let sources = ["10.0.0.1", "10.9.9.9", "192.0.2.1", "fd00::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    (
        select(identities),
        select(sources.to_vec()),
        select(vec![80, 443, 22]),
        select(vec!["GET", "POST"]),
        select(vec!["a", "bc"]),
    )
        .prop_map(|(identity, source, port, method, header)| Request {
            identity,
            source,
            destination: SocketAddr::from(([10, 0, 0, 9], port)),
            method,
            header,
        })
}

/// Whether a node proxy lets the connection of a request pass, under one policy of the whole namespace.
fn passes(action: Action, rules: &[Rule], request: &Request) -> bool {
    let mut policy =
        AuthorizationPolicy { metadata: Metadata::named("shop", "p"), ..AuthorizationPolicy::default() };
    policy.spec.action = action;
    policy.spec.rules = rules.to_vec();
    let index = build(&[policy.into()], &Captured::default(), &MeshSettings::default());
    let mut snapshot = Snapshot::new("");
    snapshot.apply(index.policies().into_iter().map(|policy| Change::Policy(Box::new((**policy).clone()))));
    let destination = Workload::new("uid", "cart", "shop").unwrap();
    ambit_policy::authorize(&snapshot, &destination, &request.connection()).verdict.is_allowed()
}

fn layer_7(rule: &Rule) -> bool {
    let operations = rule.to.iter().map(|to| &to.operation);
    operations.into_iter().any(|operation| !operation.methods.is_empty() || !operation.not_methods.is_empty())
        || rule.when.iter().any(|condition| condition.key.starts_with("request."))
}

/// What the validator refuses is never converted.
fn written(rules: &[Rule]) -> bool {
    rules.iter().all(|rule| {
        rule.from.iter().all(|from| from.source != Source::default())
            && rule.to.iter().all(|to| to.operation != Operation::default())
            && rule.when.iter().all(|when| !when.values.is_empty() || !when.not_values.is_empty())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_passes_that_was_not_allowed_and_all_is_stopped_that_was_denied(
        rules in prop::collection::vec(rule(), 1..3),
        request in request(),
    ) {
        prop_assume!(written(&rules));
        let matches = rules.iter().any(|rule| request.matches(rule));
        let (allowed, denied) =
            (passes(Action::Allow, &rules, &request), !passes(Action::Deny, &rules, &request));
        prop_assert!(!allowed || matches, "an ALLOW widened");
        prop_assert!(!matches || denied, "a DENY was lost");
        if !rules.iter().any(layer_7) {
            prop_assert_eq!(allowed, matches, "an ALLOW of layer 4");
            prop_assert_eq!(denied, matches, "a DENY of layer 4");
        }
    }
}
