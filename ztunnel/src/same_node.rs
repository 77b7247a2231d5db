//! May a connection be handed over inside this process? Only where all that a tunnel would prove is known to hold;
//! wherever anything is missing or in doubt, the tunnel decides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use ambit_identity::{Certificate, verify_pair};
use ambit_model::traffic::ports;
use ambit_model::workload::{NetworkMode, Tunnel};
use ambit_model::{Identity, Snapshot, Text, Workload};
use ambit_transport::Watch;
use parking_lot::Mutex;

use crate::network::Network;
use crate::pod::Pod;
use crate::proxy::Proxy;
use crate::settings::SameNode;

/// The next hop of a connection: one of `NextHop::Hbone`.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// Where its tunnel would end.
    pub gateway: SocketAddr,
    /// What it would ask for there.
    pub authority: SocketAddr,
    /// Who is there.
    pub workload: &'a Arc<Workload>,
    /// SPIFFE IDs of which the peer must prove one.
    pub expected: &'a [Text],
}

/// A destination that this process serves itself.
#[derive(Debug)]
pub struct Neighbour {
    /// The destination pod.
    pub pod: Arc<Pod>,
    /// Its workload.
    pub own: Arc<Workload>,
    /// The drain that its connections follow.
    pub drain: Watch,
    /// The client as its tunnel would show it.
    pub peer: SocketAddr,
}

/// The destination, if this process serves it and a tunnel there could only succeed: agent and controller agree on who the
/// pod is and that the address is its own, the client comes from an address of its own pod, and the current
/// certificates of the two accept each other.
pub fn neighbour<N: Network>(
    proxy: &Proxy<N>,
    snapshot: &Snapshot,
    own: &Workload,
    client: SocketAddr,
    hop: Hop<'_>,
) -> Option<Neighbour> {
    if proxy.settings.same_node != SameNode::Handover || !is_direct(own, hop) {
        return None;
    }
    let workload = hop.workload;
    let (pod, drain) = proxy.doors.of(&workload.namespace, &workload.name)?;
    // One snapshot, so one allocation: whom the client chose is whom the agent named, and alone at the address.
    let is_it = |found: &Arc<Workload>| Arc::ptr_eq(found, workload);
    let named = pod.workload(snapshot).is_ok_and(|found| is_it(&found));
    let there = snapshot.workload_at(&own.network, hop.gateway.ip()).is_some_and(is_it);
    let peer = shown(own, client, hop.gateway)?;
    if !named || !there || !is_expected(&workload.identity, hop.expected) {
        return None;
    }
    let certificate = |identity| proxy.certificates.current(identity);
    let accept = proxy.pairs.accept(&certificate(&own.identity)?, &certificate(&workload.identity)?);
    accept.then(|| Neighbour { pod, own: workload.clone(), drain, peer })
}

/// Whether the tunnel would end at the proxy of the very pod that is asked for: not at a waypoint, a gateway, a program
/// that speaks HBONE itself, or a pod on its node's network.
fn is_direct(own: &Workload, Hop { gateway, authority, workload, .. }: Hop<'_>) -> bool {
    gateway.port() == ports::HBONE
        && gateway.ip() == authority.ip()
        && workload.tunnel == Tunnel::Hbone
        && !workload.native_tunnel
        && workload.network_mode == NetworkMode::Standard
        && workload.network == own.network
        && workload.owns(gateway.ip())
}

/// The client's address as a tunnel to the destination would come from: the pod's own, of the destination's family.
/// Policies read it, and over the wire nobody gets an answer at an address that is not his.
fn shown(own: &Workload, client: SocketAddr, destination: SocketAddr) -> Option<SocketAddr> {
    if !own.owns(client.ip()) {
        return None;
    }
    if client.is_ipv4() == destination.is_ipv4() {
        return Some(client);
    }
    let other = own.addresses.iter().find(|ip| ip.is_ipv4() == destination.is_ipv4())?;
    Some(SocketAddr::new(*other, client.port()))
}

/// As TLS asks of the peer. A name that is no SPIFFE ID matches nobody.
fn is_expected(identity: &Identity, expected: &[Text]) -> bool {
    expected.iter().any(|name| name.parse().is_ok_and(|name: Identity| name == *identity))
}

/// Two certificates of the process, a client's and a server's, that do not keep them.
type Pair = (Weak<Certificate>, Weak<Certificate>);

/// The pairs of certificates that accept each other, found out once as by a handshake. Both end with their certificates.
#[derive(Debug, Default)]
pub struct Pairs {
    accepted: Mutex<HashMap<(usize, usize), Pair>>,
}

/// When there are more, those of replaced certificates are dropped.
const MANY: usize = 1024;

impl Pairs {
    /// Whether a handshake of the two would succeed. A refusal is not kept: the tunnel says it aloud.
    pub fn accept(&self, client: &Arc<Certificate>, server: &Arc<Certificate>) -> bool {
        // A weak reference keeps the address from being used again.
        let key = (Arc::as_ptr(client).addr(), Arc::as_ptr(server).addr());
        if self.accepted.lock().contains_key(&key) {
            return true;
        }
        let expected = server.identity().clone().into();
        if let Err(refusal) = verify_pair(client, server, &expected, SystemTime::now()) {
            tracing::debug!(client = %client.identity(), server = %server.identity(), %refusal, "no hand-over");
            return false;
        }
        let mut accepted = self.accepted.lock();
        if accepted.len() >= MANY {
            accepted.retain(|_, (client, server)| client.strong_count() > 0 && server.strong_count() > 0);
        }
        accepted.insert(key, (Arc::downgrade(client), Arc::downgrade(server)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Workload {
        let mut own = Workload::new("c//Pod/ns/a", "a", "ns").unwrap();
        own.addresses = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        own
    }

    #[test]
    fn a_client_is_shown_at_an_address_of_its_own_pod() {
        let at = |client: &str, to: &str| shown(&own(), client.parse().unwrap(), to.parse().unwrap());
        assert_eq!(at("10.0.0.1:5", "10.0.0.2:15008"), Some("10.0.0.1:5".parse().unwrap()));
        assert_eq!(at("[fd00::1]:5", "10.0.0.2:15008"), Some("10.0.0.1:5".parse().unwrap()));
        assert_eq!(at("10.0.0.1:5", "[fd00::2]:15008"), Some("[fd00::1]:5".parse().unwrap()));
        for foreign in ["10.0.0.9:5", "127.0.0.1:5", "[::1]:5"] {
            assert_eq!(at(foreign, "10.0.0.2:15008"), None, "{foreign}");
        }
        let mut four = own();
        four.addresses.truncate(1);
        assert_eq!(shown(&four, "10.0.0.1:5".parse().unwrap(), "[fd00::2]:15008".parse().unwrap()), None);
    }

    #[test]
    fn only_the_proxy_of_the_pod_itself_is_direct() {
        let mut workload = own();
        workload.tunnel = Tunnel::Hbone;
        let direct = |workload: &Workload, gateway: &str, authority: &str| {
            let workload = &Arc::new(workload.clone());
            let (gateway, authority) = (gateway.parse().unwrap(), authority.parse().unwrap());
            is_direct(&own(), Hop { gateway, authority, workload, expected: &[] })
        };
        assert!(direct(&workload, "10.0.0.1:15008", "10.0.0.1:80"));
        assert!(!direct(&workload, "10.0.0.1:15008", "10.0.0.7:80"), "a waypoint");
        assert!(!direct(&workload, "10.0.0.1:15009", "10.0.0.1:80"), "another port");
        assert!(!direct(&workload, "10.0.0.3:15008", "10.0.0.3:80"), "another address");
        for change in [
            |workload: &mut Workload| workload.tunnel = Tunnel::None,
            |workload: &mut Workload| workload.native_tunnel = true,
            |workload: &mut Workload| workload.network_mode = NetworkMode::HostNetwork,
            |workload: &mut Workload| workload.network = "far".into(),
        ] {
            let mut other = workload.clone();
            change(&mut other);
            assert!(!direct(&other, "10.0.0.1:15008", "10.0.0.1:80"), "{other:?}");
        }
    }

    #[test]
    fn whoever_is_not_expected_is_no_neighbour() {
        let identity = own().identity;
        let asked = |names: &[&str]| {
            let names: Vec<Text> = names.iter().map(|name| (*name).into()).collect();
            is_expected(&identity, &names)
        };
        assert!(asked(&["spiffe://x/ns/y/sa/z", &identity.to_string()]));
        assert!(!asked(&[]) && !asked(&["*", "", "a", "spiffe://cluster.local/ns/ns/sa/other"]));
    }
}
