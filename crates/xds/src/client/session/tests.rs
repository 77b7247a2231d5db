//! The session by hand: what it holds, says and passes on.

use ambit_model::policy::{Action, Scope};
use ambit_model::service::ServiceKey;
use ambit_model::{Policy, Service, Snapshot, Workload};
use ambit_proto::envoy::core::ControlPlane;
use proptest::prelude::*;

use super::*;
use crate::Resource as Published;
use crate::discovery::{Any, IDENTIFIER, MORE};

fn session() -> Session {
    Session::new(Node { id: "z".into(), ..Node::default() }, &Kind::ALL)
}

fn workload(name: &str, node: &str) -> Published {
    let mut workload = Workload::new(&format!("c//Pod/ns/{name}"), name, "ns").unwrap();
    workload.node = node.into();
    Published::workload(&workload)
}

fn service(host: &str, name: &str) -> Published {
    Published::service(&Service::new(name, ServiceKey::new("ns", host)))
}

fn policy(name: &str, action: Action) -> Published {
    Published::policy(&Policy {
        key: format!("ns/{name}").into(),
        namespace: "ns".into(),
        scope: Scope::Namespace,
        action,
        rules: Vec::new(),
        dry_run: false,
        unusable: None,
    })
}

fn broken(kind: Kind, name: &str, version: &str) -> bytes::Bytes {
    let any = Any { type_url: kind.type_url().into(), value: vec![0xff].into() };
    Resource { version: version.into(), resource: Some(any), name: name.into() }.encode_to_vec().into()
}

fn response(kind: Kind, resources: &[&Published], removed: &[&str]) -> Response {
    Response {
        resources: resources.iter().map(|resource| resource.encoded().clone()).collect(),
        type_url: kind.type_url().into(),
        nonce: "n".into(),
        removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
        ..Response::default()
    }
}

fn held(session: &mut Session, kind: Kind) -> Vec<(String, String)> {
    let request = session.open().into_iter().find(|request| request.type_url == kind.type_url());
    request.unwrap().initial_resource_versions.into_iter().collect()
}

#[test]
fn opens_with_everything_and_one_node() {
    let requests = session().open();
    assert_eq!(requests.len(), Kind::ALL.len());
    let node = Node::from_proto(requests[0].node.clone().unwrap());
    assert_eq!((node.id.as_str(), node.text(KNOWS_MORE)), ("z", Some("true")));
    assert!(requests[1..].iter().all(|request| request.node.is_none()));
    assert!(requests.iter().all(|request| request.resource_names_subscribe.is_empty()));
}

#[test]
fn accepts_with_the_nonce_and_holds_what_it_applied() {
    let mut session = session();
    session.open();
    let (one, two) = (workload("one", "n"), service("h.ns", "h"));
    let step = session.receive(response(Kind::Address, &[&one, &two], &[]));
    assert_eq!((step.reply.response_nonce.as_str(), &step.reply.error_detail), ("n", &None));
    let update = step.update.unwrap();
    assert_eq!((update.kind, update.changes.len(), update.initial), (Kind::Address, 2, true));
    let step = session.receive(response(Kind::Address, &[], &["ns/h.ns"]));
    let update = step.update.unwrap();
    assert_eq!((update.changes, update.initial), (vec![Change::RemoveAddress("ns/h.ns".into())], false));
    assert_eq!(held(&mut session, Kind::Address), [("c//Pod/ns/one".into(), one.version())]);
}

/// F11: one bad resource in a thousand.
#[test]
fn one_bad_resource_in_a_thousand_is_reported_and_the_others_apply() {
    let mut session = session();
    session.open();
    let old = workload("w500", "old");
    session.receive(response(Kind::Address, &[&old], &[]));
    let good: Vec<_> = (0..1000).filter(|at| *at != 500).map(|at| workload(&format!("w{at}"), "n")).collect();
    let mut wave = response(Kind::Address, &good.iter().collect::<Vec<_>>(), &[]);
    wave.resources.insert(500, broken(Kind::Address, "c//Pod/ns/w500", "v2"));
    let step = session.receive(wave);
    assert_eq!(step.update.unwrap().changes.len(), 999);
    assert_eq!(step.rejections.len(), 1);
    let message = step.reply.error_detail.unwrap().message;
    assert!(message.starts_with("c//Pod/ns/w500: ") && !message.contains("; "), "{message}");
    let held = held(&mut session, Kind::Address);
    assert_eq!(held.len(), 1000);
    assert!(held.contains(&("c//Pod/ns/w500".into(), old.version())), "the version in force is the old one");
}

#[test]
fn a_resource_that_was_never_accepted_is_not_held() {
    let mut session = session();
    session.open();
    let mut wave = response(Kind::Address, &[], &[]);
    wave.resources = vec![broken(Kind::Address, "x", "v1"), vec![0xff].into()];
    let step = session.receive(wave);
    assert_eq!(step.update.unwrap().changes, []);
    let message = step.reply.error_detail.unwrap().message;
    assert!(message.contains("x: ") && message.contains("; resource 1 of the response: "), "{message}");
    assert_eq!(held(&mut session, Kind::Address), []);
}

fn workload_with(tunnel: i32, last: u8, version: &str) -> bytes::Bytes {
    let workload = ambit_proto::istio::workload::Workload {
        uid: "c//Pod/ns/w".into(),
        name: "w".into(),
        namespace: "ns".into(),
        addresses: vec![vec![10, 0, 0, last]],
        tunnel_protocol: tunnel,
        ..Default::default()
    };
    let address = ambit_proto::istio::workload::Address {
        r#type: Some(ambit_proto::istio::workload::address::Type::Workload(workload)),
    };
    let any = Any { type_url: Kind::Address.type_url().into(), value: address.encode_to_vec().into() };
    Resource { version: version.into(), resource: Some(any), name: "c//Pod/ns/w".into() }
        .encode_to_vec()
        .into()
}

/// An unknown value of an enum: the workload is rejected, and its address is known to be somebody's.
#[test]
fn an_unreadable_workload_claims_its_address_until_a_good_version_or_its_removal() {
    let mut session = session();
    session.open();
    let mut snapshot = Snapshot::new("");
    let mut send = |session: &mut Session, resources: Vec<bytes::Bytes>, removed: &[&str]| {
        let mut wave = response(Kind::Address, &[], removed);
        wave.resources = resources;
        let step = session.receive(wave);
        snapshot.apply(step.update.into_iter().flat_map(|update| update.changes));
        let at = |last| std::net::IpAddr::from([10, 0, 0, last]);
        let claimed =
            |last| snapshot.unreadable_at(&"".into(), at(last)).map(|claim| claim.reason.to_string());
        let known = |last| snapshot.workload_at(&"".into(), at(last)).is_some();
        (step.reply.error_detail.is_some(), [claimed(1), claimed(2)], [known(1), known(2)])
    };
    let (rejected, [one, two], known) = send(&mut session, vec![workload_with(9, 1, "v1")], &[]);
    assert!(rejected && one.is_some_and(|reason| reason.contains("tunnel_protocol has value 9")));
    assert_eq!((two, known), (None, [false, false]));
    assert_eq!(held(&mut session, Kind::Address), [("c//Pod/ns/w".into(), NARROWED.into())]);

    let found = send(&mut session, vec![workload_with(1, 1, "v2")], &[]);
    assert_eq!(found, (false, [None, None], [true, false]));
    let (_, [one, two], known) = send(&mut session, vec![workload_with(9, 2, "v3")], &[]);
    assert_eq!((one, two.is_some(), known), (None, true, [true, false]), "the older version stays in force");
    assert_eq!(held(&mut session, Kind::Address), [("c//Pod/ns/w".into(), "v2".into())]);
    assert_eq!(send(&mut session, vec![], &["c//Pod/ns/w"]), (false, [None, None], [false, false]));
    assert_eq!(held(&mut session, Kind::Address), []);
}

#[test]
fn a_narrowed_policy_is_applied_rejected_and_asked_for_again() {
    let mut session = session();
    session.open();
    session.receive(response(Kind::Authorization, &[&policy("p", Action::Allow)], &[]));
    let mut wave = response(Kind::Authorization, &[], &[]);
    wave.resources = vec![broken(Kind::Authorization, "ns/p", "v2")];
    let step = session.receive(wave);
    let [Change::Policy(policy)] = &*step.update.unwrap().changes else { panic!("not applied") };
    assert!(policy.unusable.is_some());
    assert!(step.reply.error_detail.is_some());
    assert_eq!(held(&mut session, Kind::Authorization), [("ns/p".into(), NARROWED.into())]);
}

#[test]
fn a_policy_that_becomes_unreadable_keeps_its_scope() {
    let mut session = session();
    session.open();
    let mut scope_of = |key: &str, before: Option<Scope>| {
        let (namespace, _) = key.split_once('/').unwrap();
        let good = before.map(|scope| {
            let (key, namespace) = (key.into(), namespace.into());
            let (action, rules, dry_run, unusable) = (Action::Allow, Vec::new(), false, None);
            Published::policy(&Policy { key, namespace, scope, action, rules, dry_run, unusable })
        });
        session.receive(response(Kind::Authorization, good.iter().collect::<Vec<_>>().as_slice(), &[]));
        let mut scopes = Vec::new();
        for version in ["v2", "v3"] {
            let mut wave = response(Kind::Authorization, &[], &[]);
            wave.resources = vec![broken(Kind::Authorization, key, version)];
            let step = session.receive(wave);
            let [Change::Policy(policy)] = &*step.update.unwrap().changes else { panic!("not applied") };
            assert!(policy.unusable.is_some());
            scopes.push(policy.scope);
        }
        assert_eq!(scopes[0], scopes[1]);
        session.receive(response(Kind::Authorization, &[], &[key]));
        scopes[0]
    };
    for scope in [Scope::Global, Scope::Namespace, Scope::WorkloadSelector] {
        for key in ["root/p", "istio-system/p", "ns/p"] {
            assert_eq!(scope_of(key, Some(scope)), scope, "{key}");
        }
    }
    assert_eq!(scope_of("istio-system/p", None), Scope::Global);
    assert_eq!(scope_of("ns/p", None), Scope::Namespace, "what was removed is forgotten");
}

#[test]
fn content_of_another_type_is_refused() {
    let mut session = session();
    session.open();
    let step = session.receive(response(Kind::Authorization, &[&workload("w", "n")], &[]));
    let [Change::Policy(policy)] = &*step.update.unwrap().changes else { panic!("not applied") };
    assert!(policy.unusable.is_some());
    let step = session.receive(response(Kind::Address, &[&self::policy("p", Action::Allow)], &[]));
    assert_eq!(step.update.unwrap().changes, []);
    assert!(step.reply.error_detail.is_some());
}

#[test]
fn a_type_that_was_not_asked_for_is_rejected() {
    let mut session = session();
    session.open();
    let step = session.receive(Response { type_url: "x/y".into(), nonce: "7".into(), ..Response::default() });
    assert!(step.update.is_none() && step.kind.is_none());
    assert_eq!((step.reply.type_url.as_str(), step.reply.response_nonce.as_str()), ("x/y", "7"));
    assert!(step.reply.error_detail.is_some());
}

#[test]
fn is_synced_once_every_kind_was_complete() {
    let mut session = session();
    session.open();
    let mut partial = response(Kind::Address, &[&workload("one", "n")], &[]);
    partial.system_version_info = MORE.into();
    assert!(!session.receive(partial).update.unwrap().initial);
    session.receive(response(Kind::Authorization, &[], &[]));
    session.receive(response(Kind::L7, &[], &[]));
    assert!(!session.synced());
    assert!(session.receive(response(Kind::Address, &[], &[])).update.unwrap().initial);
    assert!(session.synced());
    assert!(session.receive(response(Kind::Address, &[], &[])).update.is_none(), "nothing changed");
    session.closed(None);
    session.open();
    assert!(session.synced(), "a lost stream takes nothing away");
}

#[test]
fn a_table_too_long_to_tell_is_read_again_and_what_is_missing_is_gone() {
    let mut session = session();
    session.open();
    let long = "x".repeat(250);
    let all: Vec<_> = (0..20_000).map(|at| workload(&format!("{long}{at}"), "n")).collect();
    let mut wave = response(Kind::Address, &all.iter().collect::<Vec<_>>(), &[]);
    wave.control_plane = Some(ControlPlane { identifier: IDENTIFIER.into() });
    session.receive(wave);
    assert_eq!(held(&mut session, Kind::Address).len(), 20_000, "our own server reads long requests");

    session.closed(Some(&Status::out_of_range("too long")));
    assert_eq!(held(&mut session, Kind::Address), [], "others do not");
    let mut first = response(Kind::Address, &all[..10_000].iter().collect::<Vec<_>>(), &[]);
    first.system_version_info = MORE.into();
    assert_eq!(session.receive(first).update.unwrap().changes.len(), 10_000);
    let rest = response(Kind::Address, &all[10_000..19_999].iter().collect::<Vec<_>>(), &[]);
    let update = session.receive(rest).update.unwrap();
    assert_eq!(update.changes.len(), 10_000);
    assert_eq!(update.changes.last(), Some(&Change::RemoveAddress(all[19_999].name().clone())));
}

#[test]
fn a_report_is_bounded() {
    let reason: Text = "r".repeat(1000).into();
    let rejections: Vec<_> =
        (0..100).map(|at| Rejection { name: at.to_string().into(), reason: reason.clone() }).collect();
    let text = report(&rejections).unwrap();
    assert!(text.len() < MAX_ERROR + 40 && text.ends_with(" more"), "{}", text.len());
    let endless = Rejection { name: "é".repeat(MAX_ERROR).into(), reason };
    assert!(report(&[endless]).unwrap().len() <= MAX_ERROR);
}

/// What a snapshot holds, in an order of its own.
fn content(snapshot: &Snapshot) -> (Vec<Workload>, Vec<Service>, Vec<Policy>) {
    let mut workloads: Vec<_> = snapshot.workloads().map(|workload| (**workload).clone()).collect();
    let mut services: Vec<_> = snapshot.services().map(|service| (**service).clone()).collect();
    let mut policies: Vec<_> = snapshot.policies().map(|policy| (**policy).clone()).collect();
    workloads.sort_by(|a, b| a.uid.cmp(&b.uid));
    services.sort_by(|a, b| a.key.cmp(&b.key));
    policies.sort_by(|a, b| a.key.cmp(&b.key));
    (workloads, services, policies)
}

/// One resource set to a state (`Some`), or removed.
#[derive(Debug, Clone)]
struct Delta {
    kind: Kind,
    name: String,
    resource: Option<Published>,
}

fn delta(which: u8, at: u8, state: Option<bool>) -> Delta {
    let name = at.to_string();
    let resource = match which {
        0 => workload(&name, if state == Some(true) { "n1" } else { "n2" }),
        1 => service(&name, if state == Some(true) { "a" } else { "b" }),
        _ => policy(&name, if state == Some(true) { Action::Allow } else { Action::Deny }),
    };
    let kind = if which == 2 { Kind::Authorization } else { Kind::Address };
    Delta { kind, name: resource.name().to_string(), resource: state.map(|_| resource) }
}

fn deliver(session: &mut Session, snapshot: &mut Snapshot, deltas: &[Delta], size: usize) {
    for wave in deltas.chunks(size) {
        for kind in Kind::ALL {
            let of_kind = || wave.iter().filter(|delta| delta.kind == kind);
            let set: Vec<&Published> = of_kind().filter_map(|delta| delta.resource.as_ref()).collect();
            let removed: Vec<&str> =
                of_kind().filter(|delta| delta.resource.is_none()).map(|delta| &*delta.name).collect();
            let step = session.receive(response(kind, &set, &removed));
            assert_eq!(step.reply.error_detail, None);
            snapshot.apply(step.update.into_iter().flat_map(|update| update.changes));
        }
    }
}

proptest! {
    /// F12: however the last deltas of each name are ordered, repeated and cut into responses, the state is the same.
    #[test]
    fn order_and_repetition_do_not_matter(
        before in prop::collection::vec((0u8..3, 0u8..6, any::<Option<bool>>()), 0..20),
        last in prop::collection::btree_map((0u8..3, 0u8..6), any::<Option<bool>>(), 0..18),
        order in any::<prop::sample::Index>(), repeat in 1usize..3, size in 1usize..8, seed: u64,
    ) {
        let before: Vec<Delta> = before.into_iter().map(|(which, at, state)| delta(which, at, state)).collect();
        let last: Vec<Delta> = last.into_iter().map(|((which, at), state)| delta(which, at, state)).collect();
        let (mut straight, mut shuffled) = (session(), session());
        straight.open();
        shuffled.open();
        let (mut expected, mut found) = (Snapshot::new(""), Snapshot::new(""));
        deliver(&mut straight, &mut expected, &before, 1);
        deliver(&mut straight, &mut expected, &last, 1);

        let mut mixed: Vec<Delta> = std::iter::repeat_n(last, repeat).flatten().collect();
        if !mixed.is_empty() {
            let at = order.index(mixed.len());
            mixed.rotate_left(at);
            mixed.sort_by_key(|delta| delta.name.bytes().fold(seed, |sum, byte| sum.rotate_left(9) ^ u64::from(byte)));
        }
        deliver(&mut shuffled, &mut found, &before, 1);
        deliver(&mut shuffled, &mut found, &mixed, size);
        prop_assert_eq!(content(&found), content(&expected));
        for kind in Kind::ALL {
            prop_assert_eq!(held(&mut shuffled, kind), held(&mut straight, kind));
        }
    }
}
