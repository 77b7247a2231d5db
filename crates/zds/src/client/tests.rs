//! The proxy's end over real sockets, against agents that behave and agents that do not.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::*;
use crate::registry::{PodStatus, Registry};
use crate::server::{Permissions, Server};
use crate::testing::{FakeAgent, identity, inode, namespace, null, plain, pod, within};

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zds.sock");
    (directory, path)
}

fn agent(path: &Path) -> (Registry, tokio::task::JoinHandle<()>) {
    let registry = Registry::new();
    let server = Server::bind(path, Permissions::default()).unwrap();
    let task = tokio::spawn(server.run(registry.clone()));
    (registry, task)
}

async fn stop(task: tokio::task::JoinHandle<()>) {
    task.abort();
    drop(task.await);
}

async fn next(client: &mut Client) -> Event {
    within(client.next()).await.unwrap()
}

/// Acks everything up to the snapshot's end; returns the stale pods.
async fn sync(client: &mut Client) -> Vec<String> {
    loop {
        let event = next(client).await;
        client.ack(Ok(()));
        if let Event::SnapshotSent { stale } = event {
            return stale;
        }
    }
}

#[tokio::test]
async fn receives_pods_from_the_agent() {
    let (_directory, path) = place();
    let (registry, _task) = agent(&path);
    let web = pod("web");
    registry.upsert(web.clone()).unwrap();
    let mut client = Client::new(&path);
    assert!(!client.is_synced());

    let Event::Add { uid, identity: named, netns } = next(&mut client).await else { panic!("not an add") };
    assert_eq!((uid.as_str(), named), ("web", identity("web")));
    assert_eq!(inode(&netns), inode(&web.netns));
    let flags = rustix::io::fcntl_getfd(&netns).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    client.ack(Ok(()));
    assert_eq!(plain(next(&mut client).await), Event::SnapshotSent { stale: vec![] });
    client.ack(Ok(()));
    assert!(client.is_synced());
    assert_eq!(registry.status("web"), Some(PodStatus::Accepted));

    registry.remove("web");
    assert_eq!(plain(next(&mut client).await), Event::Remove { uid: "web".into() });
    client.ack(Ok(()));
}

#[tokio::test]
async fn a_new_agent_drops_what_it_does_not_name() {
    let (_directory, path) = place();
    let (registry, task) = agent(&path);
    for uid in ["gone", "kept", "named"] {
        registry.upsert(pod(uid)).unwrap();
    }
    let mut client = Client::new(&path);
    assert_eq!(sync(&mut client).await, Vec::<String>::new());
    stop(task).await;
    assert!(matches!(within(client.next()).await, Err(ConnectionError::Closed { .. })));
    assert!(!client.is_synced());

    let (registry, _task) = agent(&path);
    registry.keep("kept");
    registry.upsert(pod("named")).unwrap();
    assert_eq!(sync(&mut client).await, ["gone"]);
    assert!(client.is_synced());
}

#[tokio::test]
async fn every_event_is_answered() {
    let (_directory, path) = place();
    let agent = FakeAgent::new(&path);
    let mut client = Client::new(&path);
    let dialogue = async {
        let peer = agent.accept().await;
        let mut answers = Vec::new();
        for _ in 0..3 {
            peer.send(&wire::remove("a"), &[]).await;
            answers.push(peer.response().await);
        }
        answers
    };
    let proxy = async {
        client.next().await.unwrap();
        client.ack(Ok(()));
        // A second answer to the same event is none.
        client.ack(Err("too late".into()));
        client.next().await.unwrap();
        client.ack(Err(String::new()));
        client.next().await.unwrap();
        // No answer at all.
        client.next().await.unwrap_err()
    };
    let answers = within(async {
        tokio::select! {
            answers = dialogue => answers,
            error = proxy => panic!("{error}"),
        }
    })
    .await;
    assert_eq!(answers[0], Ok(()));
    assert!(matches!(&answers[1], Err(reason) if !reason.is_empty()));
    assert_eq!(answers[2], Err("ztunnel gave no answer".into()));
}

#[tokio::test(start_paused = true)]
async fn a27_hostile_agents_widen_nothing() {
    let (_directory, path) = place();
    let agent = FakeAgent::new(&path);
    let mut client = Client::new(&path);
    let (one, add) = (null(), wire::add("evil", &identity("evil")));
    let fd = one.as_fd();
    let random: Vec<u8> = (0..1000).map(|_| rand::random()).collect();
    let mut oversized = wire::add("evil", &identity(&"x".repeat(1024)));
    let cases: Vec<(&[u8], Vec<std::os::fd::BorrowedFd<'_>>)> = vec![
        (&add, vec![]),
        (&add, vec![fd; 2]),
        (&add, vec![fd; 3]),
        (&add, vec![fd; 253]),
        (b"\xff\xff\xff\xff", vec![]),
        (b"\x08\x01", vec![]),
        (b"\xfa\x01\x00", vec![]),
        (b"\x12\x00", vec![]),
        (&[0x0a, 0x03, 0x0a, 0x01, 0x75], vec![fd]),
        (&random, vec![fd; 2]),
    ];
    for (bytes, descriptors) in &cases {
        hostile(&agent, &mut client, bytes, descriptors).await;
    }
    hostile(&agent, &mut client, &oversized, &[fd]).await;
    oversized.truncate(MAX_REQUEST);
    hostile(&agent, &mut client, &oversized, &[fd]).await;
    for bytes in [wire::keep("a"), wire::remove("a"), wire::snapshot_sent()] {
        hostile(&agent, &mut client, &bytes, &[fd]).await;
    }
}

/// The agent adds a pod, then sends this: the client must refuse it, say why, and come back with its pod.
async fn hostile(
    agent: &FakeAgent,
    client: &mut Client,
    bytes: &[u8],
    descriptors: &[std::os::fd::BorrowedFd<'_>],
) {
    let peer = async {
        let peer = agent.accept().await;
        peer.send(&wire::add("good", &identity("good")), &[namespace().as_fd()]).await;
        peer.response().await.unwrap();
        peer.send(&wire::snapshot_sent(), &[]).await;
        peer.response().await.unwrap();
        peer.send(bytes, descriptors).await;
        let reason = peer.response().await.unwrap_err();
        assert!(peer.receive().await.is_none());
        reason
    };
    let proxy = async {
        assert_eq!(sync(client).await, Vec::<String>::new());
        client.next().await
    };
    let (reason, refused) = tokio::join!(peer, proxy);
    let Err(ConnectionError::Violation { violation, .. }) = refused else { panic!("{bytes:?}: {refused:?}") };
    assert_eq!(violation.to_string(), reason);
    assert!(client.session.is_complete() && !client.is_synced());
}

#[tokio::test(start_paused = true)]
async fn a_broken_order_is_refused() {
    let (_directory, path) = place();
    let agent = FakeAgent::new(&path);
    let mut client = Client::new(&path);
    hostile(&agent, &mut client, &wire::keep("good"), &[]).await;
    hostile(&agent, &mut client, &wire::snapshot_sent(), &[]).await;
    hostile(&agent, &mut client, &wire::remove(""), &[]).await;
}

#[tokio::test(start_paused = true)]
async fn waits_longer_and_longer_for_an_agent() {
    let (_directory, path) = place();
    let mut client = Client::new(&path);
    let mut waits = Vec::new();
    for _ in 0..14 {
        let before = Instant::now();
        let refused = client.next().await;
        assert!(matches!(refused, Err(ConnectionError::Connect { .. })), "{refused:?}");
        waits.push(before.elapsed());
    }
    assert_eq!(waits[0], Duration::ZERO);
    for (turn, wait) in waits[1..].iter().enumerate() {
        let longest = Duration::from_millis(10 << turn).min(Duration::from_secs(15));
        // The timer's grain is 1 ms.
        assert!(*wait >= longest / 2 && *wait <= longest + Duration::from_millis(1), "{turn}: {wait:?}");
    }

    let (registry, _task) = agent(&path);
    registry.upsert(pod("a")).unwrap();
    assert_eq!(sync(&mut client).await, Vec::<String>::new());
    assert_eq!(registry.status("a"), Some(PodStatus::Accepted));
}

#[tokio::test]
async fn giving_up_a_wait_loses_nothing() {
    let (_directory, path) = place();
    let (registry, _task) = agent(&path);
    for uid in 0..50 {
        registry.upsert(pod(&uid.to_string())).unwrap();
    }
    let mut client = Client::new(&path);
    let (mut added, mut given_up) = (Vec::new(), 0);
    within(async {
        loop {
            let polled_once = tokio::select! {
                biased;
                event = client.next() => Some(event),
                () = std::future::ready(()) => None,
            };
            match polled_once {
                None => {
                    given_up += 1;
                    tokio::task::yield_now().await;
                }
                Some(Ok(Event::Add { uid, .. })) => {
                    added.push(uid);
                    client.ack(Ok(()));
                }
                Some(Ok(Event::SnapshotSent { .. })) => return,
                Some(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert!(given_up > 0);
    assert_eq!(added, (0..50).map(|uid| uid.to_string()).collect::<Vec<_>>());
}
