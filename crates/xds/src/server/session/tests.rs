//! The session by hand, and against a client that keeps a plain map.

use std::collections::BTreeMap;

use ambit_model::Text;
use ambit_proto::google::rpc;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::discovery;
use crate::server::Resource;

const KIND: Kind = Kind::Address;

fn resource(name: &str, content: &str) -> Resource {
    Resource::new(KIND, name.into(), content.as_bytes().to_vec())
}

fn session(view: ClientView, knows_more: bool) -> Session {
    let mut node = Node::default();
    if knows_more {
        node.metadata.insert(KNOWS_MORE.into(), "true".into());
    }
    Session::new(view, &node, Arc::new(()))
}

fn ours() -> Session {
    session(ClientView::everything("c"), true)
}

fn ask() -> Request {
    Request { type_url: KIND.type_url().into(), ..Request::default() }
}

fn ask_for(subscribe: &[&str], unsubscribe: &[&str]) -> Request {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Request {
        resource_names_subscribe: names(subscribe),
        resource_names_unsubscribe: names(unsubscribe),
        ..ask()
    }
}

/// A client: what it has, by name, with its version.
#[derive(Default)]
struct Peer {
    has: BTreeMap<String, String>,
    /// The change that it was sent last, by name.
    seen: BTreeMap<String, u64>,
    /// How many resources it was sent.
    sent: usize,
}

impl Peer {
    /// Applies a response. No change of a resource may come twice.
    fn apply(&mut self, response: &Response, store: &Store) {
        for name in &response.removed_resources {
            self.has.remove(name);
        }
        for bytes in &response.resources {
            let resource = discovery::Resource::decode(bytes.clone()).unwrap();
            let (sequence, _) = store.read(KIND).entry(&resource.name).unwrap();
            let seen = self.seen.insert(resource.name.clone(), sequence);
            assert_ne!(seen, Some(sequence), "{} was sent twice", resource.name);
            self.has.insert(resource.name, resource.version);
            self.sent += 1;
        }
    }

    /// Takes and accepts everything there is.
    fn drain(&mut self, session: &mut Session, store: &Store) -> usize {
        let mut responses = 0;
        while let Some((_, response)) = session.next(store).unwrap() {
            self.apply(&response, store);
            session.request(store, Request { response_nonce: response.nonce, ..ask() });
            responses += 1;
        }
        responses
    }
}

fn served(store: &Store, sees: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let table = store.read(KIND);
    let all = table.resources().filter(|resource| sees(resource.name()));
    all.map(|resource| (resource.name().to_string(), resource.version())).collect()
}

#[test]
fn the_first_state_is_answered_even_when_empty() {
    let (store, mut session) = (Store::default(), ours());
    assert!(session.next(&store).unwrap().is_none(), "nothing was asked");
    session.request(&store, ask());
    let (_, response) = session.next(&store).unwrap().unwrap();
    assert!(response.resources.is_empty() && !response.partial() && response.is_ours());
    assert!(session.next(&store).unwrap().is_none());
}

#[test]
fn one_response_is_under_way_and_changes_meanwhile_are_sent_once() {
    let (store, mut session, mut peer) = (Store::default(), ours(), Peer::default());
    store.publish(KIND, [resource("a", "1")]);
    session.request(&store, ask());
    let (_, first) = session.next(&store).unwrap().unwrap();
    peer.apply(&first, &store);
    for content in ["2", "3", "4"] {
        store.publish(KIND, [resource("a", content)]);
        assert!(session.next(&store).unwrap().is_none(), "the first was not answered");
    }
    session.request(&store, Request { response_nonce: "stale".into(), ..ask() });
    assert!(session.next(&store).unwrap().is_none(), "a stale answer says nothing");
    session.request(&store, Request { response_nonce: first.nonce, ..ask() });
    assert_eq!(peer.drain(&mut session, &store), 1);
    assert_eq!((peer.sent, &peer.has), (2, &served(&store, |_| true)));
}

#[test]
fn a_rejection_is_told_and_nothing_is_sent_again_before_it_changes() {
    let (store, mut session) = (Store::default(), ours());
    store.publish(KIND, [resource("a", "1"), resource("b", "1")]);
    session.request(&store, ask());
    let (_, response) = session.next(&store).unwrap().unwrap();
    let status = rpc::Status { message: "a: bad".into(), ..Default::default() };
    let nack = Request { response_nonce: response.nonce, error_detail: Some(status), ..ask() };
    assert_eq!(session.request(&store, nack.clone()), Some(Event::Rejected(KIND, "a: bad".into())));
    assert_eq!(session.request(&store, nack), None, "told once");
    assert!(session.next(&store).unwrap().is_none());
    store.publish(KIND, [resource("a", "2"), resource("b", "1")]);
    let (_, response) = session.next(&store).unwrap().unwrap();
    assert_eq!(response.resources, [resource("a", "2").encoded().clone()]);
}

#[test]
fn a_type_that_is_not_served_is_told_and_not_answered() {
    let (store, mut session) = (Store::default(), ours());
    let event = session.request(&store, Request { type_url: "x/y".into(), ..Request::default() });
    assert_eq!(event, Some(Event::Unserved("x/y".into())));
    assert!(session.next(&store).unwrap().is_none());
}

#[test]
fn resuming_sends_only_what_differs() {
    let store = Store::default();
    store.publish(KIND, [resource("same", "1"), resource("new", "1"), resource("changed", "2")]);
    let mut peer = Peer::default();
    for (name, content) in [("same", "1"), ("changed", "1"), ("gone", "1")] {
        peer.has.insert(name.into(), resource(name, content).version());
    }
    let mut session = ours();
    session.request(&store, Request { initial_resource_versions: peer.has.clone(), ..ask() });
    peer.drain(&mut session, &store);
    assert_eq!((peer.sent, &peer.has), (2, &served(&store, |_| true)));
}

#[test]
fn a_long_state_comes_in_parts_to_those_who_know_and_whole_to_others() {
    let store = Store::default();
    let content = "x".repeat(1 << 20);
    store.publish(KIND, (0..10).map(|at| resource(&at.to_string(), &content)));
    let mut session = ours();
    session.request(&store, ask());
    let (mut peer, mut partial) = (Peer::default(), Vec::new());
    while let Some((_, response)) = session.next(&store).unwrap() {
        assert!(response.encoded_len() <= 4 << 20, "{} bytes", response.encoded_len());
        partial.push(response.partial());
        peer.apply(&response, &store);
        session.request(&store, Request { response_nonce: response.nonce, ..ask() });
    }
    assert_eq!(partial, [true, true, true, false]);
    assert_eq!(peer.has.len(), 10);

    let mut foreign = self::session(ClientView::everything("c"), false);
    foreign.request(&store, ask());
    let (_, response) = foreign.next(&store).unwrap().unwrap();
    assert_eq!((response.resources.len(), response.partial()), (10, false));
}

#[test]
fn every_client_is_sent_the_same_bytes() {
    let store = Store::default();
    store.publish(KIND, [resource("a", "1")]);
    let published = store.resource(KIND, "a").unwrap().encoded().as_ptr();
    for names in [&[][..], &["a"]] {
        let mut session = ours();
        session.request(&store, ask_for(names, &[]));
        let (_, response) = session.next(&store).unwrap().unwrap();
        assert_eq!(response.resources[0].as_ptr(), published);
    }
}

#[test]
fn a_client_too_far_behind_is_sent_away() {
    let (store, mut session, mut peer) = (Store::default(), ours(), Peer::default());
    store.publish(KIND, (0..10_010).map(|at| resource(&at.to_string(), "1")));
    session.request(&store, ask());
    peer.drain(&mut session, &store);
    store.publish(KIND, []);
    assert_eq!(session.next(&store).unwrap_err().code(), tonic::Code::Aborted);
    let mut session = ours();
    session.request(&store, Request { initial_resource_versions: peer.has.clone(), ..ask() });
    peer.drain(&mut session, &store);
    assert_eq!(peer.has, BTreeMap::new());
}

#[test]
fn names_are_answered_also_when_they_are_nothing() {
    let (store, mut session, mut peer) = (Store::default(), ours(), Peer::default());
    store.publish(KIND, [resource("a", "1"), resource("b", "1")]);
    session.request(&store, ask_for(&["*"], &["*"]));
    assert_eq!(
        (peer.drain(&mut session, &store), peer.sent),
        (1, 0),
        "on demand: nothing yet, and it says so"
    );
    session.request(&store, ask_for(&["a", "none"], &[]));
    let (_, response) = session.next(&store).unwrap().unwrap();
    assert_eq!((response.resources.len(), &*response.removed_resources), (1, &["none".to_owned()][..]));
    session.request(&store, Request { response_nonce: response.nonce, ..ask() });
    store.publish(KIND, [resource("b", "2"), resource("none", "1")]);
    let (_, response) = session.next(&store).unwrap().unwrap();
    assert_eq!((response.resources.len(), &*response.removed_resources), (1, &["a".to_owned()][..]));
    session.request(&store, Request { response_nonce: response.nonce, ..ask() });
    session.request(&store, ask_for(&[], &["none"]));
    store.publish(KIND, []);
    assert!(session.next(&store).unwrap().is_none(), "none was unsubscribed, b never asked for");
}

#[test]
fn a_name_may_stand_for_several() {
    struct Hosts;
    impl Lookup for Hosts {
        fn resolve(&self, _: Kind, asked: &Text) -> Vec<Text> {
            if &**asked == "host" { vec!["s".into(), "w".into()] } else { vec![asked.clone()] }
        }
    }
    let (store, mut peer) = (Store::default(), Peer::default());
    store.publish(KIND, [resource("s", "1"), resource("w", "1"), resource("x", "1")]);
    let mut session = Session::new(ClientView::everything("c"), &Node::default(), Arc::new(Hosts));
    session.request(&store, ask_for(&["host"], &[]));
    peer.drain(&mut session, &store);
    assert_eq!(peer.has.keys().collect::<Vec<_>>(), ["s", "w"]);
    store.publish(KIND, [resource("s", "1")]);
    peer.drain(&mut session, &store);
    assert_eq!(peer.has.keys().collect::<Vec<_>>(), ["s"]);
}

/// `by-ip` stands for `pod`, `node` for whatever lives there.
struct Nodes;

impl Lookup for Nodes {
    fn resolve(&self, _: Kind, asked: &Text) -> Vec<Text> {
        match &**asked {
            "by-ip" => vec!["pod".into()],
            "node" => vec!["local-1".into(), "local-2".into()],
            _ => vec![asked.clone()],
        }
    }
}

fn node_session() -> Session {
    let view = ClientView::everything("c").with_unasked(KIND, "node");
    Session::new(view, &Node::default(), Arc::new(Nodes))
}

#[test]
fn who_waits_for_a_name_that_stands_for_another_hears_that_name() {
    let store = Store::default();
    store.publish(KIND, [resource("pod", "1")]);
    let mut session = Session::new(ClientView::everything("c"), &Node::default(), Arc::new(Nodes));
    session.request(&store, ask_for(&["*"], &["*"]));
    Peer::default().drain(&mut session, &store);
    session.request(&store, ask_for(&["by-ip"], &[]));
    let (_, response) = session.next(&store).unwrap().unwrap();
    assert_eq!(response.resources, [resource("pod", "1").encoded().clone()]);
    assert_eq!(response.removed_resources, ["by-ip"]);
    session.request(&store, Request { response_nonce: response.nonce, ..ask() });
    assert!(session.next(&store).unwrap().is_none());
    // What it stands for goes on being followed; the name itself is not told again.
    store.publish(KIND, [resource("pod", "2")]);
    let (_, response) = session.next(&store).unwrap().unwrap();
    assert_eq!(response.resources, [resource("pod", "2").encoded().clone()]);
    assert_eq!(response.removed_resources, Vec::<String>::new());
}

#[test]
fn a_client_that_asks_by_name_is_sent_what_its_view_adds() {
    let store = Store::default();
    store.publish(KIND, [resource("local-1", "1"), resource("elsewhere", "1")]);
    let (mut session, mut peer) = (node_session(), Peer::default());
    session.request(&store, ask_for(&["*"], &["*"]));
    peer.drain(&mut session, &store);
    assert_eq!(peer.has.keys().collect::<Vec<_>>(), ["local-1"]);
    // Also what comes to the node later; what leaves it is removed, and nothing says that `node` is none.
    store.publish(KIND, [resource("local-2", "1"), resource("elsewhere", "2")]);
    let (_, response) = session.next(&store).unwrap().unwrap();
    assert_eq!(response.removed_resources, ["local-1"]);
    peer.apply(&response, &store);
    assert_eq!(peer.has.keys().collect::<Vec<_>>(), ["local-2"]);
}

#[test]
fn a_client_that_asks_for_everything_is_sent_nothing_twice() {
    let store = Store::default();
    store.publish(KIND, [resource("local-1", "1"), resource("elsewhere", "1")]);
    let (mut session, mut peer) = (node_session(), Peer::default());
    session.request(&store, ask());
    peer.drain(&mut session, &store);
    assert_eq!(peer.sent, 2);
}

#[derive(Debug, Clone)]
enum Step {
    Publish(BTreeMap<u8, u8>),
    Update(BTreeMap<u8, u8>, Vec<u8>),
    Drain,
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let set = || prop::collection::btree_map(0u8..6, 0u8..3, 0..6);
    prop_oneof![
        set().prop_map(Step::Publish),
        (set(), prop::collection::vec(0u8..6, 0..3)).prop_map(|(set, removed)| Step::Update(set, removed)),
        Just(Step::Drain),
        Just(Step::Reconnect),
    ]
}

fn resources(set: &BTreeMap<u8, u8>) -> Vec<Resource> {
    set.iter().map(|(name, content)| resource(&name.to_string(), &content.to_string())).collect()
}

proptest! {
    /// Whatever is published and whenever the stream is lost, a client ends with what it may see, and is never sent
    /// what it has.
    #[test]
    fn clients_converge_by_differences(
        steps in prop::collection::vec(step(), 1..30), by_name: bool, filtered: bool,
    ) {
        let sees = move |name: &str| !filtered || name != "1";
        let store = Store::default();
        let open = |peer: &Peer| {
            let view = ClientView::only("c", move |_, name| sees(name));
            let mut session = session(view, true);
            let names = if by_name { vec!["0", "1", "2", "3", "4", "5"] } else { Vec::new() };
            // A client that resumes by name wants what it has; asking by subscription would ask again.
            let fresh = peer.has.is_empty();
            let names = if fresh { names } else if by_name { vec!["*"] } else { names };
            let unsubscribe = if by_name && !fresh { vec!["*"] } else { Vec::new() };
            let request = ask_for(&names, &unsubscribe);
            session.request(&store, Request { initial_resource_versions: peer.has.clone(), ..request });
            session
        };
        let mut peer = Peer::default();
        let mut session = open(&peer);
        for step in &steps {
            match step {
                Step::Publish(set) => store.publish(KIND, resources(set)),
                Step::Update(set, removed) => {
                    store.update(KIND, resources(set), removed.iter().map(|name| name.to_string().into()));
                }
                Step::Drain => {
                    peer.drain(&mut session, &store);
                }
                Step::Reconnect => session = open(&peer),
            }
        }
        if by_name {
            // Names that came and went while the client was away are not known to it: ask for all once more.
            session.request(&store, ask_for(&["0", "1", "2", "3", "4", "5"], &[]));
            peer = Peer::default();
        }
        peer.drain(&mut session, &store);
        prop_assert_eq!(&peer.has, &served(&store, sees));
    }
}
