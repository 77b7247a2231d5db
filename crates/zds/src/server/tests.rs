//! The agent's end over real sockets, against proxies that behave and proxies that do not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::client::Event;
use crate::registry::{Pod, PodStatus, UpsertError, WaitError};
use crate::testing::{Peer, identity, inode, null, plain, pod, within};

const LONG: Duration = Duration::from_secs(30);

/// A server that runs until dropped.
struct Agent {
    directory: TempDir,
    registry: Registry,
    task: tokio::task::JoinHandle<()>,
}

impl Agent {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::bind(directory.path().join("zds.sock"), Permissions::default()).unwrap();
        let registry = Registry::new();
        let task = tokio::spawn(server.run(registry.clone()));
        Self { directory, registry, task }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("zds.sock")
    }

    async fn until(&self, reached: impl Fn(&Registry) -> bool) {
        let mut changes = self.registry.changes();
        while !reached(&self.registry) {
            within(changes.changed()).await.unwrap();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn tells_a_proxy_of_every_pod_and_every_change() {
    let agent = Agent::start();
    let (first, second) = (pod("first"), pod("second"));
    agent.registry.upsert(first.clone()).unwrap();
    agent.registry.upsert(second).unwrap();
    agent.registry.keep("third");
    let proxy = Peer::hello(&agent.path()).await;

    let Event::Add { uid, identity: named, netns } = proxy.request().await else { panic!("not an add") };
    assert_eq!((uid.as_str(), named), ("first", identity("first")));
    assert_eq!(inode(&netns), inode(&first.netns));
    assert_eq!(agent.registry.status("first"), Some(PodStatus::Pending));
    proxy.ack().await;
    within(agent.registry.wait_acked("first", LONG)).await.unwrap();

    assert_eq!(proxy.added().await, "second");
    proxy.ack().await;
    assert_eq!(plain(proxy.request().await), Event::Keep { uid: "third".into() });
    proxy.ack().await;
    assert_eq!(plain(proxy.request().await), Event::SnapshotSent { stale: vec![] });
    proxy.ack().await;

    agent.registry.upsert(pod("fourth")).unwrap();
    assert_eq!(proxy.added().await, "fourth");
    proxy.ack().await;
    assert!(agent.registry.remove("first"));
    assert!(!agent.registry.remove("first"));
    assert_eq!(plain(proxy.request().await), Event::Remove { uid: "first".into() });
    proxy.ack().await;
    within(agent.registry.wait_acked("fourth", LONG)).await.unwrap();
    assert_eq!(agent.registry.wait_acked("first", LONG).await, Err(WaitError::Unknown("first".into())));
    let accepted = |uid: &str| (uid.to_owned(), PodStatus::Accepted);
    assert_eq!(agent.registry.statuses(), [accepted("fourth"), accepted("second"), accepted("third")]);
}

#[tokio::test]
async fn shows_why_a_pod_was_refused() {
    let agent = Agent::start();
    agent.registry.upsert(pod("a")).unwrap();
    let proxy = Peer::hello(&agent.path()).await;
    proxy.added().await;
    proxy.refuse("no such namespace").await;
    let failed = WaitError::Failed { uid: "a".into(), reason: "no such namespace".into() };
    assert_eq!(within(agent.registry.wait_acked("a", LONG)).await, Err(failed));
    assert_eq!(plain(proxy.request().await), Event::SnapshotSent { stale: vec![] });
    proxy.ack().await;
}

#[tokio::test(start_paused = true)]
async fn sends_a_refused_pod_again() {
    let agent = Agent::start();
    agent.registry.upsert(pod("a")).unwrap();
    let proxy = Peer::hello(&agent.path()).await;
    proxy.added().await;
    proxy.refuse("not yet").await;
    proxy.request().await;
    let before = Instant::now();
    proxy.ack().await;
    assert_eq!(proxy.added().await, "a");
    assert!(before.elapsed() >= Duration::from_secs(4), "{:?}", before.elapsed());
    proxy.ack().await;
    agent.until(|registry| registry.status("a") == Some(PodStatus::Accepted)).await;
}

#[tokio::test(start_paused = true)]
async fn says_that_no_proxy_answers() {
    let agent = Agent::start();
    agent.registry.upsert(pod("a")).unwrap();
    let limit = Duration::from_secs(1);
    assert_eq!(agent.registry.wait_acked("a", limit).await, Err(WaitError::NoProxy("a".into())));
    let proxy = Peer::hello(&agent.path()).await;
    proxy.added().await;
    assert_eq!(agent.registry.wait_acked("a", limit).await, Err(WaitError::Silent("a".into())));
}

#[tokio::test(start_paused = true)]
async fn closes_a_proxy_that_says_nothing() {
    let agent = Agent::start();
    let silent = Peer::connect(&agent.path());
    assert!(silent.receive().await.is_none());

    agent.registry.upsert(pod("a")).unwrap();
    let stalled = Peer::hello(&agent.path()).await;
    stalled.added().await;
    assert_eq!(agent.registry.proxies(), 1);
    assert!(stalled.receive().await.is_none());
    assert_eq!(agent.registry.proxies(), 0);
}

#[tokio::test]
async fn a27_hostile_peers_are_closed_and_harm_nobody() {
    let agent = Agent::start();
    agent.registry.upsert(pod("a")).unwrap();
    let good = Peer::hello(&agent.path()).await;
    assert_eq!(good.snapshot().await, ["a"]);

    let descriptor = null();
    let oversized = vec![8; MAX_RESPONSE + 1];
    for hello in [b"\xff\xff\xff".as_slice(), &[8, 0], &[8, 2], &oversized, b"GET / HTTP/1.1\r\n\r\n"] {
        let peer = Peer::connect(&agent.path());
        peer.send(hello, &[]).await;
        assert!(peer.receive().await.is_none(), "{hello:?}");
    }
    for count in [1, 2, 253] {
        let peer = Peer::connect(&agent.path());
        peer.send(&wire::hello(), &vec![descriptor.as_fd(); count]).await;
        assert!(peer.receive().await.is_none(), "{count} descriptors");
    }
    for answer in [b"\xff\xff".as_slice(), &[0x12, 0], &oversized] {
        let peer = Peer::hello(&agent.path()).await;
        peer.added().await;
        peer.send(answer, &[]).await;
        assert!(peer.receive().await.is_none(), "{answer:?}");
    }
    let unasked = Peer::hello(&agent.path()).await;
    unasked.snapshot().await;
    unasked.ack().await;
    assert!(unasked.receive().await.is_none());

    // The good one is the newest again, and is still told.
    agent.until(|registry| registry.proxies() == 1).await;
    agent.registry.upsert(pod("b")).unwrap();
    assert_eq!(good.added().await, "b");
    good.ack().await;
    within(agent.registry.wait_acked("b", LONG)).await.unwrap();
}

#[tokio::test]
async fn new_pods_go_to_the_newest_proxy_and_removals_to_all() {
    let agent = Agent::start();
    agent.registry.upsert(pod("a")).unwrap();
    let old = Peer::hello(&agent.path()).await;
    old.snapshot().await;
    let new = Peer::hello(&agent.path()).await;
    new.snapshot().await;
    assert_eq!(agent.registry.proxies(), 2);

    agent.registry.upsert(pod("b")).unwrap();
    assert_eq!(new.added().await, "b");
    new.ack().await;
    within(agent.registry.wait_acked("b", LONG)).await.unwrap();
    agent.registry.remove("a");
    for proxy in [&old, &new] {
        // To the old one this is the first request after its snapshot: it never heard of `b`.
        assert_eq!(plain(proxy.request().await), Event::Remove { uid: "a".into() });
        proxy.ack().await;
    }
    drop(new);
    assert_eq!(old.added().await, "b");
    old.ack().await;
}

#[tokio::test]
async fn connections_are_limited() {
    let agent = Agent::start();
    let mut proxies = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let proxy = Peer::hello(&agent.path()).await;
        proxy.snapshot().await;
        proxies.push(proxy);
    }
    let refused = Peer::connect(&agent.path());
    assert!(refused.receive().await.is_none());
    drop(proxies.pop());
    agent.until(|registry| registry.proxies() == MAX_CONNECTIONS - 1).await;
    Peer::hello(&agent.path()).await.snapshot().await;
}

#[tokio::test]
async fn the_socket_is_the_owners_alone() {
    let agent = Agent::start();
    assert_eq!(fs::metadata(agent.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let path = agent.directory.path().join("open.sock");
    let _open = Server::bind(&path, Permissions { mode: 0o660 }).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn only_root_and_the_agents_own_user_connect() {
    assert!(may_connect(0, 1000));
    assert!(may_connect(1000, 1000));
    assert!(may_connect(0, 0));
    assert!(!may_connect(1000, 0));
    assert!(!may_connect(1001, 1000));
    // The overflow user: a peer from a user namespace that is not mapped here.
    assert!(!may_connect(65_534, 0));
}

#[tokio::test]
async fn a_living_agents_socket_stays() {
    let agent = Agent::start();
    let second = Server::bind(agent.path(), Permissions::default());
    assert!(matches!(second, Err(BindError::InUse { .. })), "{second:?}");
    Peer::hello(&agent.path()).await.snapshot().await;
}

#[tokio::test]
async fn a_dead_agents_socket_is_replaced_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zds.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = Server::bind(&path, Permissions::default()).unwrap();
    drop(server);
    assert!(!path.exists(), "a server removes its socket");

    let server = Server::bind(&path, Permissions::default()).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    drop(server);
    assert!(path.exists(), "a server removes its own socket only");
    let refused = Server::bind(&path, Permissions::default());
    assert!(matches!(refused, Err(BindError::NotASocket { .. })), "{refused:?}");

    let missing = Server::bind(directory.path().join("none/zds.sock"), Permissions::default());
    assert!(matches!(missing, Err(BindError::Io { .. })), "{missing:?}");
    let long = Server::bind(directory.path().join("x".repeat(108)), Permissions::default());
    assert!(matches!(long, Err(BindError::Path { .. })), "{long:?}");
}

#[tokio::test]
async fn refuses_pods_that_cannot_be_told() {
    let registry = Registry::new();
    let incomplete = Pod { uid: String::new(), ..pod("a") };
    assert!(matches!(registry.upsert(incomplete), Err(UpsertError::Incomplete(_))));
    let long = Pod { uid: "u".repeat(1024), ..pod("a") };
    assert!(matches!(registry.upsert(long), Err(UpsertError::TooLong { bytes: 1025.., .. })));
    assert!(registry.statuses().is_empty());
}
