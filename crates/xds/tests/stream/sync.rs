//! First states, differences, resumption and rejections over whole streams.

use ambit_model::policy::{Action, Scope};
use ambit_model::{Change, Policy};
use ambit_xds::client::Termination;
use ambit_xds::{Kind, Resource, Store};

use crate::network::{Network, Peer, service, set_by};

fn policy(name: &str) -> Resource {
    Resource::policy(&Policy {
        key: format!("ns/{name}").into(),
        namespace: "ns".into(),
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: Vec::new(),
        dry_run: false,
        unusable: None,
    })
}

fn services(count: usize, name: &str) -> Vec<Resource> {
    (0..count).map(|at| service(&format!("h{at}"), name)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_state_then_only_differences() {
    let (network, store) = (Network::default(), Store::default());
    store.publish(Kind::Address, services(100, "a"));
    store.publish(Kind::Authorization, [policy("p")]);
    let reports = network.up(&store);
    let mut peer = Peer::start(&network, "node");
    assert_eq!(set_by(&peer.first_state().await), 101);
    peer.synced.wait_for(|synced| *synced).await.unwrap();
    assert!(peer.snapshot.policy("ns/p").is_some());

    let mut changed = services(99, "a");
    changed[7] = service("h7", "b");
    store.publish(Kind::Address, changed);
    let update = peer.update().await;
    assert_eq!((update.kind, update.changes.len(), update.initial), (Kind::Address, 2, false));
    assert!(update.changes.contains(&Change::RemoveAddress("ns/h99".into())));
    assert_eq!(peer.services()["ns/h7"], "b");
    store.publish(Kind::Authorization, []);
    assert_eq!(peer.update().await.changes, [Change::RemovePolicy("ns/p".into())]);
    assert_eq!(*reports.resources.lock().unwrap(), 102);
}

/// F1: nothing that works stops while the controller is away, and afterwards only differences travel.
#[tokio::test(start_paused = true)]
async fn a_restarted_server_sends_only_what_differs() {
    let (network, store) = (Network::default(), Store::default());
    store.publish(Kind::Address, services(1000, "a"));
    store.publish(Kind::Authorization, [policy("p")]);
    let reports = network.up(&store);
    let mut peer = Peer::start(&network, "node");
    peer.first_state().await;
    network.down();
    reports.clients.subscribe().wait_for(|clients| *clients == 0).await.unwrap();
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    assert!(peer.nothing_came() && *peer.synced.borrow());
    assert_eq!(peer.services().len(), 1000);

    let store = Store::default();
    let mut resources = services(999, "a");
    resources[7] = service("h7", "b");
    resources.push(service("new", "a"));
    store.publish(Kind::Address, resources);
    store.publish(Kind::Authorization, [policy("p")]);
    let reports = network.up(&store);
    assert_eq!(set_by(&peer.first_state().await), 2);
    assert_eq!((*reports.resources.lock().unwrap(), *reports.removed.lock().unwrap()), (2, 1));
    let found = peer.services();
    assert_eq!((found.len(), &*found["ns/h7"], found.contains_key("ns/h999")), (1000, "b", false));
    assert!(peer.snapshot.policy("ns/p").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_resumes_where_it_was() {
    let (network, store) = (Network::default(), Store::default());
    store.publish(Kind::Address, services(10, "a"));
    let reports = network.up(&store);
    let mut peer = Peer::start(&network, "node");
    peer.first_state().await;
    for round in 1..=5 {
        network.cut();
        store.update(Kind::Address, [service("h0", &round.to_string())], []);
        peer.first_state().await;
        assert_eq!(peer.services()["ns/h0"], round.to_string());
    }
    // A change that met the old stream may have been sent on it in vain, hence not an exact number.
    assert!((15..=20).contains(&*reports.resources.lock().unwrap()));
    assert_eq!(peer.heard.terminations.lock().unwrap().len(), 5);
}

/// F11: one bad resource in a thousand.
#[tokio::test(start_paused = true)]
async fn one_bad_resource_is_reported_by_name_and_the_others_apply() {
    let (network, store) = (Network::default(), Store::default());
    let bad = |kind, name: &str| Resource::new(kind, name.into(), vec![0xff]);
    let mut resources = services(999, "a");
    resources.insert(500, bad(Kind::Address, "ns/bad"));
    store.publish(Kind::Address, resources);
    store.publish(Kind::Authorization, [policy("p"), bad(Kind::Authorization, "ns/bad")]);
    let reports = network.up(&store);
    let mut peer = Peer::start(&network, "node");
    assert_eq!(set_by(&peer.first_state().await), 999 + 2);
    assert!(peer.snapshot.policy("ns/bad").unwrap().unusable.is_some(), "a bad policy denies");
    assert_eq!(peer.heard.rejections.lock().unwrap().len(), 2);

    // The rejections have arrived once the corrections are answered.
    store.update(Kind::Address, [service("bad", "good")], []);
    store.update(Kind::Authorization, [policy("bad")], []);
    peer.update().await;
    peer.update().await;
    assert_eq!(peer.snapshot.policy("ns/bad").unwrap().unusable, None);
    assert_eq!(peer.services().len(), 1000);
    let rejected = reports.rejected.lock().unwrap().clone();
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    for (client, _, message) in rejected {
        assert_eq!(&*client, "node");
        assert!(message.starts_with("ns/bad: ") && !message.contains("; "), "{message}");
    }
    assert_eq!(*reports.resources.lock().unwrap(), 1002 + 2, "nothing was sent again");
}

#[tokio::test(start_paused = true)]
async fn a_long_first_state_is_complete_only_after_its_last_part() {
    let (network, store) = (Network::default(), Store::default());
    let long = "x".repeat(1 << 20);
    store.publish(Kind::Address, services(10, &long));
    network.up(&store);
    let mut peer = Peer::start(&network, "node");
    let mut seen = Vec::new();
    while !seen.iter().any(|(kind, initial)| *kind == Kind::Address && *initial) {
        let update = peer.update().await;
        seen.push((update.kind, update.initial));
    }
    assert_eq!(seen.iter().filter(|(kind, _)| *kind == Kind::Address).count(), 4);
    assert_eq!(peer.services().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn two_clients_get_the_same() {
    let (network, store) = (Network::default(), Store::default());
    store.publish(Kind::Address, services(10, "a"));
    let reports = network.up(&store);
    let mut peers = [Peer::start(&network, "one"), Peer::start(&network, "two")];
    for peer in &mut peers {
        peer.first_state().await;
    }
    assert_eq!(*reports.clients.borrow(), 2);
    store.publish(Kind::Address, services(11, "a"));
    for peer in &mut peers {
        assert_eq!(peer.update().await.changes.len(), 1);
        assert_eq!(peer.services().len(), 11);
    }
    drop(peers);
    reports.clients.subscribe().wait_for(|clients| *clients == 0).await.unwrap();
}

/// A11: a server that does not admit the client gives nothing, and takes nothing away.
#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_stream_with_its_reason() {
    let (network, store) = (Network::default(), Store::default());
    store.publish(Kind::Address, services(1, "a"));
    let reports = network.up(&store);
    let mut call = ambit_proto::envoy::discovery::aggregated_discovery_service_client
        ::AggregatedDiscoveryServiceClient::with_origin(network.clone(), "http://c".parse().unwrap());
    let request = ambit_proto::envoy::discovery::DeltaDiscoveryRequest {
        node: Some(Default::default()),
        type_url: Kind::Address.type_url().into(),
        ..Default::default()
    };
    let mut request = tonic::Request::new(tokio_stream::once(request));
    request.metadata_mut().insert("authorization", "Bearer bad".parse().unwrap());
    let mut responses = call.delta_aggregated_resources(request).await.unwrap().into_inner();
    assert_eq!(responses.message().await.unwrap_err().code(), tonic::Code::Unauthenticated);
    assert_eq!(*reports.resources.lock().unwrap(), 0);

    // The same for our client when nobody is there at all.
    network.down();
    let peer = Peer::start(&network, "node");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let terminations = peer.heard.terminations.lock().unwrap();
    assert!(terminations.len() > 1 && terminations.iter().all(|why| *why == Termination::ConnectionError));
    assert!(!*peer.synced.borrow());
}
