//! Agent and proxies without sockets or clock: whatever happens in whatever order, every proxy ends up right.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;

use proptest::prelude::*;

use super::*;
use crate::client::Event;
use crate::desired::ConnectionId;
use crate::identity::WorkloadIdentity;
use crate::registry::PodStatus;
use crate::session::Session;

type Namespaces = BTreeMap<String, NamespaceId>;

fn namespace(inode: u8) -> NamespaceId {
    NamespaceId { device: 1, inode: inode.into() }
}

fn pod(uid: &str, netns: &Arc<OwnedFd>) -> Pod {
    let identity = WorkloadIdentity { name: "n".into(), namespace: "s".into(), service_account: "a".into() };
    Pod { uid: uid.to_owned(), identity, netns: Arc::clone(netns) }
}

/// A proxy: across connections what it serves, and the connection if there is one.
#[derive(Default)]
struct Proxy {
    session: Session,
    serves: Namespaces,
    link: Option<(ConnectionId, Conversation)>,
}

struct World {
    desired: Desired,
    namespaces: Namespaces,
    proxies: Vec<Proxy>,
    now: Instant,
    netns: Arc<OwnedFd>,
}

impl World {
    fn new(proxies: usize) -> Self {
        Self {
            desired: Desired::default(),
            namespaces: BTreeMap::new(),
            proxies: std::iter::repeat_with(Proxy::default).take(proxies).collect(),
            now: Instant::now(),
            netns: Arc::new(File::open("/dev/null").unwrap().into()),
        }
    }

    fn upsert(&mut self, uid: &str, inode: u8) {
        self.desired.upsert(pod(uid, &self.netns), namespace(inode));
        self.namespaces.insert(uid.to_owned(), namespace(inode));
    }

    fn remove(&mut self, uid: &str) {
        self.desired.remove(uid);
        self.namespaces.remove(uid);
    }

    fn connect(&mut self, proxy: usize) {
        self.disconnect(proxy);
        self.proxies[proxy].session.connected();
        self.proxies[proxy].link = Some((self.desired.join(), Conversation::default()));
    }

    fn disconnect(&mut self, proxy: usize) {
        if let Some((id, ..)) = self.proxies[proxy].link.take() {
            self.desired.leave(id);
        }
    }

    /// One request and its answer; false when there was nothing to say.
    fn step(&mut self, proxy: usize, works: bool) -> bool {
        let Proxy { session, serves, link } = &mut self.proxies[proxy];
        let Some((id, conversation)) = link else { return false };
        let newest = self.desired.is_newest(*id);
        let step = conversation.next(&self.desired, newest, self.now);
        for answer in conversation.answers(self.desired.tenure(*id)) {
            let outcome = answer.outcome.as_ref().copied().map_err(String::as_str);
            self.desired.answered(*id, &answer.uid, answer.version, outcome);
        }
        let Some(step) = step else { return false };
        assert!(conversation.next(&self.desired, newest, self.now).is_none(), "two requests at once");

        let failure = || Err("does not work".to_owned());
        let outcome = match &step {
            Step::Add(pod) => {
                let netns = self.namespaces[&pod.uid];
                session
                    .admit(Event::Add { uid: pod.uid.clone(), identity: pod.identity.clone(), netns })
                    .unwrap();
                assert!(newest || !session.is_complete(), "an add to an older proxy");
                if works {
                    serves.insert(pod.uid.clone(), netns);
                    Ok(())
                } else {
                    // A proxy ends what it had in another namespace before it starts anew.
                    if serves.get(&pod.uid) != Some(&netns) {
                        serves.remove(&pod.uid);
                    }
                    failure()
                }
            }
            Step::Keep(uid) => {
                session.admit(Event::<()>::Keep { uid: uid.clone() }).unwrap();
                if serves.contains_key(uid) { Ok(()) } else { failure() }
            }
            Step::Remove(uid) => {
                assert!(session.is_complete(), "a removal inside the snapshot");
                session.admit(Event::<()>::Remove { uid: uid.clone() }).unwrap();
                serves.remove(uid);
                Ok(())
            }
            Step::SnapshotSent => {
                let Event::SnapshotSent { stale } =
                    session.admit(Event::<()>::SnapshotSent { stale: vec![] }).unwrap()
                else {
                    panic!("a snapshot's end became something else")
                };
                for uid in stale {
                    assert!(!self.desired.pods().contains_key(&uid), "pod {uid} lives and was dropped");
                    serves.remove(&uid);
                }
                Ok(())
            }
        };
        if let Some(answer) = conversation.answered(outcome, self.now).unwrap() {
            let outcome = answer.outcome.as_ref().copied().map_err(String::as_str);
            self.desired.answered(*id, &answer.uid, answer.version, outcome);
        }
        true
    }

    /// Lets everybody finish, retries included.
    fn settle(&mut self) {
        loop {
            let mut busy = false;
            for proxy in 0..self.proxies.len() {
                while self.step(proxy, true) {
                    busy = true;
                }
            }
            let retries = self.proxies.iter().filter_map(|proxy| {
                let (id, conversation) = proxy.link.as_ref()?;
                conversation.next_retry(&self.desired, self.desired.is_newest(*id))
            });
            match retries.min() {
                Some(at) => self.now = self.now.max(at),
                None if busy => {}
                None => return,
            }
        }
    }

    fn check(&self) {
        for proxy in &self.proxies {
            let Some((id, conversation)) = &proxy.link else { continue };
            for (uid, netns) in &proxy.serves {
                let entry = self.desired.pods().get(uid).expect("a connected proxy serves a pod that went");
                // What an older proxy was told to keep is nobody's to compare.
                let kept = conversation.told[uid].namespace.is_none() && !self.desired.is_newest(*id);
                if let Subject::Pod { namespace, .. } = &entry.subject
                    && !kept
                {
                    assert_eq!(
                        namespace, netns,
                        "a connected proxy serves pod {uid} in a namespace that went"
                    );
                }
            }
            if !self.desired.is_newest(*id) {
                continue;
            }
            for (uid, netns) in &self.namespaces {
                assert_eq!(proxy.serves.get(uid), Some(netns), "the newest proxy lacks pod {uid}");
                assert_eq!(self.desired.status(uid), Some(&PodStatus::Accepted), "pod {uid}");
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Upsert(u8, u8),
    Keep(u8),
    Remove(u8),
    Connect(usize),
    Disconnect(usize),
    Step(usize, bool),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u8..5, 0_u8..2).prop_map(|(uid, inode)| Act::Upsert(uid, inode)),
        1 => (0_u8..5).prop_map(Act::Keep),
        2 => (0_u8..5).prop_map(Act::Remove),
        2 => (0_usize..3).prop_map(Act::Connect),
        1 => (0_usize..3).prop_map(Act::Disconnect),
        8 => (0_usize..3, prop::bool::weighted(0.7)).prop_map(|(proxy, works)| Act::Step(proxy, works)),
        1 => (0_u64..10).prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_proxy_ends_up_right(acts in prop::collection::vec(act(), 0..120)) {
        let mut world = World::new(3);
        for act in acts {
            match act {
                Act::Upsert(uid, inode) => world.upsert(&uid.to_string(), inode),
                Act::Keep(uid) => drop(world.desired.keep(&uid.to_string())),
                Act::Remove(uid) => world.remove(&uid.to_string()),
                Act::Connect(proxy) => world.connect(proxy),
                Act::Disconnect(proxy) => world.disconnect(proxy),
                Act::Step(proxy, works) => drop(world.step(proxy, works)),
                Act::Pass(seconds) => world.now += Duration::from_secs(seconds),
            }
        }
        world.settle();
        world.check();
    }
}

#[test]
fn an_answer_is_due_before_the_next_request() {
    let mut world = World::new(1);
    world.upsert("a", 1);
    let mut conversation = Conversation::default();
    assert_eq!(conversation.answered(Ok(()), world.now), Err(Violation::Unasked));
    assert!(matches!(conversation.next(&world.desired, true, world.now), Some(Step::Add(_))));
    assert!(conversation.next(&world.desired, true, world.now).is_none());
    conversation.answered(Ok(()), world.now).unwrap();
    assert!(matches!(conversation.next(&world.desired, true, world.now), Some(Step::SnapshotSent)));
    conversation.answered(Ok(()), world.now).unwrap();
    assert!(conversation.next(&world.desired, true, world.now).is_none());
    assert_eq!(conversation.answered(Ok(()), world.now), Err(Violation::Unasked));
}

#[test]
fn what_failed_is_sent_again_after_a_rest() {
    let mut world = World::new(1);
    world.upsert("a", 1);
    world.connect(0);
    assert!(world.step(0, false));
    assert!(world.step(0, true), "the snapshot ends all the same");
    assert_eq!(world.desired.status("a"), Some(&PodStatus::Failed("does not work".into())));
    assert!(!world.step(0, true));
    world.now += RETRY_AFTER;
    assert!(world.step(0, true));
    assert_eq!(world.desired.status("a"), Some(&PodStatus::Accepted));
    assert!(!world.step(0, true));
}

#[test]
fn a_failed_pod_registered_again_is_sent_at_once() {
    let mut world = World::new(1);
    world.upsert("a", 1);
    world.connect(0);
    world.step(0, false);
    world.step(0, true);
    world.upsert("a", 1);
    assert_eq!(world.desired.status("a"), Some(&PodStatus::Pending));
    assert!(world.step(0, true));
    assert_eq!(world.desired.status("a"), Some(&PodStatus::Accepted));
}

#[test]
fn a_restarting_proxy_takes_nothing_back() {
    let mut world = World::new(2);
    world.upsert("a", 1);
    world.connect(0);
    world.settle();
    world.disconnect(0);
    assert_eq!(world.desired.status("a"), Some(&PodStatus::Accepted));
    world.connect(1);
    assert_eq!(world.desired.status("a"), Some(&PodStatus::Accepted));
    world.step(1, false);
    assert_eq!(world.desired.status("a"), Some(&PodStatus::Failed("does not work".into())));
}

#[test]
fn new_pods_go_to_the_newest_and_come_back_when_it_leaves() {
    let mut world = World::new(2);
    world.connect(0);
    world.settle();
    world.connect(1);
    world.settle();
    world.upsert("a", 1);
    assert!(!world.step(0, true));
    assert!(world.step(1, true));
    world.disconnect(1);
    assert!(world.step(0, true));
    world.check();
}

/// The older proxy accepts, the newer refuses and leaves: the older one, which never noticed, decides again.
#[test]
fn a_refusal_leaves_with_its_proxy() {
    let mut world = World::new(2);
    world.connect(0);
    world.upsert("a", 1);
    world.step(0, true);
    world.connect(1);
    world.step(1, false);
    world.disconnect(1);
    world.step(0, true);
    assert_eq!(world.desired.status("a"), Some(&PodStatus::Accepted));
}

/// Registered anew as one whose namespace is lost: a keep has no place after the snapshot.
#[test]
fn what_failed_and_was_lost_is_not_sent_again() {
    let mut world = World::new(1);
    world.upsert("a", 1);
    world.connect(0);
    world.step(0, false);
    world.step(0, true);
    world.remove("a");
    world.desired.keep("a");
    world.now += RETRY_AFTER;
    assert!(!world.step(0, true));
}
