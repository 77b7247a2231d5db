//! The open connections as operators see them: `workloadState.UID.connections` of `/config_dump`, which
//! `istioctl ztunnel-config connections` reads. Nothing is decided by this list.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ambit_model::Text;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::pod::Pod;

/// The open connections of one worker.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    listed: Arc<Mutex<Listed>>,
}

#[derive(Debug, Default)]
struct Listed {
    next: u64,
    open: HashMap<u64, (Text, Seen), foldhash::fast::RandomState>,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which way, and what was asked for.
    pub way: Way,
    /// Who connected.
    pub source: SocketAddr,
    /// Whom this proxy dialled; of a hand-over by its client, the tunnel that it stands for.
    pub actual: SocketAddr,
    /// How it is carried.
    pub carried: Carried,
}

/// How a connection is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// As it is.
    Plain,
    /// In a tunnel.
    Tunnel,
    /// Handed over to another pod of this node. Shown as a tunnel, with a mark of our own beside it.
    HandOver,
}

/// Which way a connection goes, seen from the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To the pod; the service that was named, if any.
    Inbound(Option<Text>),
    /// From the pod; where its application dialled.
    Outbound(SocketAddr),
}

/// A connection's line in the list; dropping it takes it out.
#[derive(Debug)]
pub struct Line {
    connections: Connections,
    number: u64,
}

impl Connections {
    /// Lists a connection of the pod.
    pub fn list(&self, pod: &Pod, seen: Seen) -> Line {
        let mut listed = self.listed.lock();
        let number = listed.next;
        listed.next += 1;
        listed.open.insert(number, (pod.instance.clone(), seen));
        Line { connections: self.clone(), number }
    }

    /// The pod's connections, oldest first.
    pub fn of(&self, pod: &Pod) -> Vec<Seen> {
        let listed = self.listed.lock();
        let of_pod = listed.open.iter().filter(|(_, (instance, _))| *instance == pod.instance);
        let mut found: Vec<(u64, Seen)> = of_pod.map(|(number, (_, seen))| (*number, seen.clone())).collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, seen)| seen).collect()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.connections.listed.lock().open.remove(&self.number);
    }
}

/// Connections under the names of Istio's ztunnel.
pub fn dump(connections: &[Seen]) -> Value {
    let line = |seen: &Seen, original: Value| {
        let mut line = json!({
            "src": seen.source,
            "originalDst": original,
            "actualDst": seen.actual,
            "protocol": if seen.carried == Carried::Plain { "TCP" } else { "HBONE" },
        });
        if seen.carried == Carried::HandOver {
            line["path"] = json!("same-node");
        }
        line
    };
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    for seen in connections {
        match &seen.way {
            Way::Inbound(service) => inbound.push(line(seen, json!(service.as_deref()))),
            Way::Outbound(original) => outbound.push(line(seen, json!(original))),
        }
    }
    json!({ "inbound": inbound, "outbound": outbound })
}
