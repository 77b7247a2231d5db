//! A12, A13: a controller says what cannot be understood, or names a policy and never sends it. Nothing may widen.

use ambit_model::policy::{Action, Policy, Rule, Scope};
use ambit_proto::istio::security as wire;
use ambit_proto::istio::security::string_match::MatchType;
use ambit_tests::client;
use ambit_tests::discovery;
use ambit_tests::mesh::{Mesh, find};
use ambit_tests::pod::Pod;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::{SIDES, Side};
use ambit_tests::wait::wait_until;
use ambit_xds::{Kind, Resource, Store};
use prost::Message;

pub(crate) const TESTS: &[Test] = &[
    ("a12_what_is_not_understood_denies", a12_what_is_not_understood_denies),
    ("a13_a_policy_that_never_arrives_denies", a13_a_policy_that_never_arrives_denies),
];

/// A mesh whose ztunnels hear a controller of ours; certificates are the real one's.
struct Deceived {
    mesh: Mesh,
    store: Store,
    web: Pod,
    cart: Pod,
}

impl Deceived {
    fn new(name: &str) -> Self {
        let mut mesh = Mesh::new(name);
        let (web, cart) = (mesh.pod("web", Side::A), mesh.pod("cart", Side::B));
        mesh.start_controller();
        let store = Store::default();
        let address = discovery::serve(&mesh, &store);
        mesh.settings.insert("XDS_ADDRESS".into(), format!("https://{address}"));
        let deceived = Self { mesh, store, web, cart };
        deceived.announce(&[]);
        let mut deceived = deceived;
        for side in SIDES {
            deceived.mesh.start_agent(side);
            deceived.mesh.start_ztunnel(side);
        }
        deceived.mesh.settled();
        deceived
    }

    /// Announces both pods, the server with these policies.
    fn announce(&self, policies: &[&str]) {
        let mut cart = discovery::workload(&self.cart);
        cart.policies = policies.iter().map(|policy| (*policy).into()).collect();
        let resources = [Resource::workload(&discovery::workload(&self.web)), Resource::workload(&cart)];
        self.store.publish(Kind::Address, resources);
    }

    fn passes(&self) -> bool {
        client::passes(self.web.netns(), self.cart.at(8080))
    }

    /// Publishes one policy, and waits until the server's proxy has it.
    fn publish(&self, payload: Vec<u8>) {
        self.store
            .publish(Kind::Authorization, [Resource::new(Kind::Authorization, "shop/p".into(), payload)]);
    }
}

fn allow_all() -> Policy {
    Policy {
        key: "shop/p".into(),
        namespace: "shop".into(),
        scope: Scope::Namespace,
        action: Action::Allow,
        rules: vec![Rule::default()],
        dry_run: false,
        unusable: None,
    }
}

/// An ALLOW policy of one rule with one match, which would let our client in if what is wrong in it were left out.
fn allowing(change: impl FnOnce(&mut wire::Match)) -> Vec<u8> {
    let exact = |text: &str| wire::StringMatch { match_type: Some(MatchType::Exact(text.into())) };
    let mut matching =
        wire::Match { principals: vec![exact("cluster.local/ns/shop/sa/web")], ..Default::default() };
    change(&mut matching);
    authorization(vec![wire::Rule { clauses: vec![wire::Clause { matches: vec![matching] }] }])
        .encode_to_vec()
}

fn authorization(rules: Vec<wire::Rule>) -> wire::Authorization {
    wire::Authorization {
        name: "p".into(),
        namespace: "shop".into(),
        scope: wire::Scope::Namespace.into(),
        action: wire::Action::Allow.into(),
        rules,
        ..Default::default()
    }
}

/// A message with a further field that nobody knows, as a newer controller would send it.
fn with_unknown_field(mut message: Vec<u8>) -> Vec<u8> {
    // Field 99, length-delimited, three bytes.
    message.extend([0x9a, 0x06, 3, b'n', b'e', b'w']);
    message
}

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2, content.len() as u8];
    bytes.extend(content);
    bytes
}

/// The same policy as [`allowing`], written by hand, with `extra` bytes in its match.
fn by_hand(extra: &[u8]) -> Vec<u8> {
    let principal = field(3, &field(1, b"cluster.local/ns/shop/sa/web"));
    let matching = [principal.as_slice(), extra].concat();
    let mut policy = [field(1, b"p"), field(2, b"shop")].concat();
    // Scope NAMESPACE.
    policy.extend([3 << 3, 1]);
    // Its only rule, with one clause, with one match.
    policy.extend(field(5, &field(1, &field(2, &matching))));
    policy
}

fn a12_what_is_not_understood_denies() {
    let deceived = Deceived::new("a12");
    let mut server = Server::echo(deceived.cart.netns(), 8080);
    let address = |bytes: Vec<u8>, length| wire::Address { address: bytes, length };
    let web = deceived.web.place.v4.octets().to_vec();
    let deny = |change: fn(&mut wire::Match)| {
        let mut policy = wire::Authorization::decode(allowing(change).as_slice()).unwrap();
        policy.action = wire::Action::Deny.into();
        policy.encode_to_vec()
    };
    let mut unknown_action = authorization(vec![wire::Rule { clauses: vec![] }]);
    unknown_action.action = 7;
    let mut unknown_scope = authorization(vec![]);
    unknown_scope.scope = 9;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a prefix of /129", allowing(|matching| matching.source_ips = vec![address([0; 16].to_vec(), 129)])),
        ("a prefix of /33", allowing(|matching| matching.source_ips = vec![address(web.clone(), 33)])),
        (
            "an address of 5 bytes",
            allowing(|matching| matching.source_ips = vec![address(vec![10, 0, 0, 0, 0], 8)]),
        ),
        (
            "port 65616, which is 80 in 16 bits",
            allowing(|matching| matching.destination_ports = vec![65_616]),
        ),
        (
            "port 73616, which is 8080 in 16 bits",
            allowing(|matching| matching.destination_ports = vec![73_616]),
        ),
        (
            "a negated port out of range",
            allowing(|matching| matching.not_destination_ports = vec![65_536 + 1]),
        ),
        (
            "an unknown kind of text match",
            allowing(|matching| matching.namespaces = vec![wire::StringMatch { match_type: None }]),
        ),
        (
            "an unknown kind of negated match",
            allowing(|matching| matching.not_namespaces = vec![wire::StringMatch { match_type: None }]),
        ),
        ("an unknown field in a match", by_hand(&[0x9a, 0x06, 1, 1])),
        ("an unknown field in the policy", with_unknown_field(allowing(|_| {}))),
        ("an unknown action", unknown_action.encode_to_vec()),
        ("an unknown scope", unknown_scope.encode_to_vec()),
        ("no message at all", vec![0xff, 0xff, 0xff]),
        (
            "DENY with an unknown match",
            deny(|matching| matching.principals = vec![wire::StringMatch { match_type: None }]),
        ),
        (
            "DENY with a port out of range",
            deny(|matching| {
                matching.principals.clear();
                matching.destination_ports = vec![65_616];
            }),
        ),
    ];
    for (what, payload) in cases {
        // What can be understood lets the client in; then the other takes its place.
        deceived.publish(by_hand(&[]));
        wait_until(&format!("the right policy allows, before {what}"), || deceived.passes());
        deceived.publish(payload);
        wait_until(&format!("{what} denies"), || !deceived.passes());
        // Another server: the change of policy may have cut a connection that the first one is still to accept.
        drop(server);
        server = Server::echo(deceived.cart.netns(), 8080);
        assert!(!deceived.passes() && !deceived.passes(), "{what}: allowed");
        assert_eq!(server.seen.connections(), 0, "{what}: the application was reached");
        let dump = deceived.mesh.dump(Side::B);
        let policy = find(&dump["policies"], "p").unwrap_or_else(|| panic!("{what}: the policy was dropped"));
        assert!(policy["problem"].is_string(), "{what}: nothing says what is wrong: {policy}");
        let name = deceived.mesh.ztunnel(Side::B);
        name.logged(what, |line| {
            line["direction"] == "inbound"
                && line["error"]
                    .as_str()
                    .is_some_and(|error| error.contains("shop/p") || error.contains("none allowed"))
        });
    }
    // What is right again is in force again.
    deceived.store.publish(Kind::Authorization, [Resource::policy(&allow_all())]);
    wait_until("the right policy allows", || deceived.passes());
}

fn a13_a_policy_that_never_arrives_denies() {
    let deceived = Deceived::new("a13");
    let server = Server::echo(deceived.cart.netns(), 8080);
    assert!(deceived.passes());
    let mut living = client::connect(deceived.web.netns(), deceived.cart.at(8080));
    client::talk(&mut living, "before");
    deceived.announce(&["shop/p"]);
    // The living connection is judged anew, too.
    let (rest, _) = client::drain(&mut living);
    assert!(rest.is_empty());
    let before = server.seen.connections();
    assert!(!deceived.passes() && !deceived.passes(), "a policy that is not there allowed");
    assert_eq!(server.seen.connections(), before);
    let line = deceived.mesh.ztunnel(Side::B).logged("the pending policy", |line| {
        line["error"]
            .as_str()
            .is_some_and(|error| error.contains("POLICY_PENDING") && error.contains("shop/p"))
    });
    assert_eq!(line["src.identity"], deceived.web.identity().to_string(), "{line}");
    // It comes late: a connection that waits for it is served.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| deceived.passes());
        let mut policy = allow_all();
        policy.scope = Scope::WorkloadSelector;
        deceived.store.publish(Kind::Authorization, [Resource::policy(&policy)]);
        waiting.join().unwrap()
    });
    assert!(waiting, "a connection did not wait for the policy");
}
