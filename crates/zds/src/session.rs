//! What a proxy makes of the agent's requests: which order is allowed, and which pods are stale.

use std::collections::BTreeSet;

use crate::client::Event;
use crate::wire::Violation;

/// The pods a proxy has been given, across connections.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Added, in any connection, and not removed since.
    known: BTreeSet<String>,
    /// Named in this connection's snapshot.
    named: BTreeSet<String>,
    /// This connection's snapshot is complete.
    complete: bool,
}

impl Session {
    /// A new connection: a new snapshot follows.
    pub(crate) fn connected(&mut self) {
        self.named.clear();
        self.complete = false;
    }

    /// Whether this connection's snapshot is complete.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Takes note of a request. The snapshot's end comes back with the pods that were known and not named.
    pub(crate) fn admit<N>(&mut self, event: Event<N>) -> Result<Event<N>, Violation> {
        match &event {
            Event::Add { uid, .. } => {
                self.known.insert(uid.clone());
                self.name(uid);
            }
            Event::Keep { uid } if self.complete => return Err(Violation::KeepAfterSnapshot(uid.clone())),
            Event::Keep { uid } => self.name(uid),
            Event::Remove { uid } => {
                self.known.remove(uid);
                self.named.remove(uid);
            }
            Event::SnapshotSent { .. } if self.complete => return Err(Violation::SnapshotTwice),
            Event::SnapshotSent { .. } => return Ok(Event::SnapshotSent { stale: self.finish() }),
        }
        Ok(event)
    }

    fn name(&mut self, uid: &str) {
        if !self.complete {
            self.named.insert(uid.to_owned());
        }
    }

    fn finish(&mut self) -> Vec<String> {
        self.complete = true;
        let named = std::mem::take(&mut self.named);
        self.known.extract_if(.., |uid| !named.contains(uid)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::identity::WorkloadIdentity;

    fn add(uid: &str) -> Event<u32> {
        let identity =
            WorkloadIdentity { name: "n".into(), namespace: "s".into(), service_account: "a".into() };
        Event::Add { uid: uid.into(), identity, netns: 0 }
    }

    fn keep(uid: &str) -> Event<u32> {
        Event::Keep { uid: uid.into() }
    }

    fn remove(uid: &str) -> Event<u32> {
        Event::Remove { uid: uid.into() }
    }

    fn snapshot() -> Event<u32> {
        Event::SnapshotSent { stale: vec![] }
    }

    fn stale(session: &mut Session) -> Vec<String> {
        match session.admit(snapshot()) {
            Ok(Event::SnapshotSent { stale }) => stale,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_snapshot_drops_what_it_does_not_name() {
        let mut session = Session::default();
        session.connected();
        for uid in ["a", "b", "c", "d"] {
            session.admit(add(uid)).unwrap();
        }
        assert_eq!(stale(&mut session), Vec::<String>::new());
        session.admit(add("e")).unwrap();
        session.admit(remove("d")).unwrap();

        session.connected();
        assert!(!session.is_complete());
        session.admit(add("a")).unwrap();
        session.admit(keep("b")).unwrap();
        session.admit(keep("never-seen")).unwrap();
        assert_eq!(stale(&mut session), ["c", "e"]);

        session.connected();
        assert_eq!(stale(&mut session), ["a", "b"]);
    }

    #[test]
    fn removed_before_the_snapshot_is_complete() {
        let mut session = Session::default();
        session.connected();
        session.admit(add("a")).unwrap();
        assert_eq!(session.admit(remove("a")), Ok(remove("a")));
        assert_eq!(session.admit(remove("unknown")), Ok(remove("unknown")));
        assert_eq!(stale(&mut session), Vec::<String>::new());
    }

    #[test]
    fn order_is_enforced() {
        let mut session = Session::default();
        session.connected();
        stale(&mut session);
        assert_eq!(session.admit(keep("a")), Err(Violation::KeepAfterSnapshot("a".into())));
        assert_eq!(session.admit(snapshot()), Err(Violation::SnapshotTwice));
        session.connected();
        assert_eq!(session.admit(keep("a")), Ok(keep("a")));
    }

    proptest! {
        /// A naive evaluator: the proxy's pods, each with the connection that named it last.
        #[test]
        fn agrees_with_a_naive_evaluator(steps in proptest::collection::vec((0_u8..5, 0_u8..6), 0..80)) {
            let mut session = Session::default();
            let (mut pods, mut connection, mut complete) = (BTreeMap::<String, u32>::new(), 0, false);
            session.connected();
            for (kind, uid) in steps {
                let uid = uid.to_string();
                match kind {
                    0 => {
                        session.admit(add(&uid)).unwrap();
                        pods.insert(uid, connection);
                    }
                    1 => {
                        prop_assert_eq!(session.admit(keep(&uid)).is_ok(), !complete);
                        if !complete && let Some(named) = pods.get_mut(&uid) {
                            *named = connection;
                        }
                    }
                    2 => {
                        session.admit(remove(&uid)).unwrap();
                        pods.remove(&uid);
                    }
                    3 if !complete => {
                        let gone: Vec<String> =
                            pods.iter().filter(|(_, named)| **named != connection).map(|(uid, _)| uid.clone()).collect();
                        prop_assert_eq!(stale(&mut session), gone);
                        pods.retain(|_, named| *named == connection);
                        complete = true;
                    }
                    3 => prop_assert_eq!(session.admit(snapshot()), Err(Violation::SnapshotTwice)),
                    _ => {
                        session.connected();
                        connection += 1;
                        complete = false;
                    }
                }
            }
        }
    }
}
