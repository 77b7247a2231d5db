//! Which pods does a worker take tunnels for? Whoever looks for a neighbour on the node finds it here by name.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Text;
use ambit_transport::Watch;
use parking_lot::Mutex;

use crate::pod::Pod;

/// A pod's namespace and name.
type Name = (Text, Text);

/// What is behind a door: the pod, and the drain that its connections follow.
type Behind = (Arc<Pod>, Watch);

/// The pods of a worker whose tunnel port is served, by namespace and name.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    open: Arc<Mutex<HashMap<Name, Behind>>>,
}

/// A pod's open door; dropping it closes the door.
#[derive(Debug)]
pub struct Door {
    doors: Doors,
    pod: Arc<Pod>,
}

impl Doors {
    /// Opens the pod's door until the result is dropped. It must not outlive the listener of the pod's tunnel port: the
    /// drain waits for it.
    pub fn open(&self, pod: &Arc<Pod>, drain: &Watch) -> Door {
        self.open.lock().insert(name(pod), (pod.clone(), drain.clone()));
        Door { doors: self.clone(), pod: pod.clone() }
    }

    /// The pod of this namespace and name that was opened last, unless it is leaving; and the drain that its connections
    /// follow.
    pub fn of(&self, namespace: &Text, name: &Text) -> Option<Behind> {
        let found = self.open.lock().get(&(namespace.clone(), name.clone())).cloned();
        found.filter(|(pod, drain)| !pod.has_left() && drain.mode().is_none())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let mut open = self.doors.open.lock();
        // Another pod may have taken the name meanwhile.
        if open.get(&name(&self.pod)).is_some_and(|(pod, _)| Arc::ptr_eq(pod, &self.pod)) {
            open.remove(&name(&self.pod));
        }
    }
}

fn name(pod: &Pod) -> Name {
    (pod.namespace.clone(), pod.name.clone())
}

#[cfg(test)]
mod tests {
    use ambit_netns::Namespace;
    use ambit_transport::{Mode, drain};

    use super::*;

    fn pod(uid: &str) -> Arc<Pod> {
        let netns = Namespace::current().unwrap();
        Arc::new(Pod::new(uid.into(), "ns".into(), "web".into(), "web".into(), netns))
    }

    #[tokio::test]
    async fn a_door_is_found_while_it_is_open_and_its_pod_stays() {
        let doors = Doors::default();
        let found = || doors.of(&"ns".into(), &"web".into()).map(|(pod, _)| pod.uid.clone());
        let (old, new) = (pod("old"), pod("new"));
        let (drain, watch) = drain::channel();
        let first = doors.open(&old, &watch);
        assert_eq!(found().as_deref(), Some("old"));
        assert!(doors.of(&"ns".into(), &"other".into()).is_none());
        let second = doors.open(&new, &watch);
        drop(first);
        assert_eq!(found().as_deref(), Some("new"), "the replaced pod's end closed its successor's door");
        new.leave();
        assert!(found().is_none(), "a pod that has left");
        drop(second);
        let third = doors.open(&old, &watch);
        drain.drain(Mode::Graceful);
        assert!(found().is_none(), "a pod that drains");
        drop((third, watch));
        drain.finished().await;
    }
}
