//! What the rules do to a pod's traffic, with each renderer and both families.

use std::net::{IpAddr, SocketAddr};

use ambit_netns::rules::{RedirectOptions, Renderer, redirection};

use crate::Test;
use crate::pair::{
    PEER_V4, PEER_V6, POD_V4, POD_V6, Pair, accept, address, connect_marked, lands, listen, original, talk,
};
use crate::tools::renderers;

pub(crate) const TESTS: &[Test] = &[
    ("outbound_lands_on_15001", outbound_lands_on_15001),
    ("inbound_lands_on_15006", inbound_lands_on_15006),
    ("hbone_is_not_redirected", hbone_is_not_redirected),
    ("the_mark_bypasses", the_mark_bypasses),
    ("loopback_is_not_redirected", loopback_is_not_redirected),
    ("transparent_dial_is_answered", transparent_dial_is_answered),
    ("traffic_is_direct_after_remove", traffic_is_direct_after_remove),
];

const FAMILIES: [(&str, &str); 2] = [(POD_V4, PEER_V4), (POD_V6, PEER_V6)];

/// Runs `check` in a fresh pod with `options` applied by each renderer, for each family's pod and peer address.
pub(crate) fn everywhere(options: &RedirectOptions, check: impl Fn(&Pair, &str, &str)) {
    for (name, renderer) in renderers() {
        let pair = Pair::new();
        apply(&pair, renderer.as_ref(), options);
        for (pod, peer) in FAMILIES {
            println!("  {name} {pod}");
            check(&pair, pod, peer);
        }
    }
}

pub(crate) fn apply(pair: &Pair, renderer: &dyn Renderer, options: &RedirectOptions) {
    let rules = redirection(options);
    let applied = pair.pod.run(|| renderer.apply(&rules)).unwrap().unwrap();
    assert_eq!(applied.skipped, []);
    assert_eq!(pair.pod.run(|| renderer.verify(&rules)).unwrap().unwrap(), []);
}

fn outbound_lands_on_15001() {
    everywhere(&RedirectOptions::default(), |pair, _, peer| {
        let proxy = listen(&pair.pod, "::", 15001);
        let (accepted, _) = lands(&proxy, &pair.pod, address(peer, 8080));
        assert_eq!(original(&accepted), address(peer, 8080));
    });
}

fn inbound_lands_on_15006() {
    everywhere(&RedirectOptions::default(), |pair, pod, peer| {
        let proxy = listen(&pair.pod, "::", 15006);
        let (accepted, from) = lands(&proxy, &pair.peer, address(pod, 9090));
        assert_eq!(original(&accepted), address(pod, 9090));
        assert_eq!(from.ip(), peer.parse::<IpAddr>().unwrap());
    });
}

fn hbone_is_not_redirected() {
    everywhere(&RedirectOptions::default(), |pair, pod, _| {
        // Were it redirected, nobody would listen on 15006.
        let proxy = listen(&pair.pod, "::", 15008);
        lands(&proxy, &pair.peer, address(pod, 15008));
    });
}

fn the_mark_bypasses() {
    everywhere(&RedirectOptions::default(), |pair, _, peer| {
        let server = listen(&pair.peer, peer, 8080);
        let mut client = connect_marked(&pair.pod, None, address(peer, 8080));
        talk(&mut client, &mut accept(&server).0);
    });
}

fn loopback_is_not_redirected() {
    everywhere(&RedirectOptions::default(), |pair, pod, _| {
        let loopback = if pod == POD_V4 { "127.0.0.1" } else { "::1" };
        for ip in [loopback, pod] {
            let server = listen(&pair.pod, ip, 0);
            lands(&server, &pair.pod, server.local_addr().unwrap());
        }
    });
}

/// The proxy dials the program from its client's address: the program sees the client, and its replies come back to
/// the proxy's socket instead of leaving by the link.
fn transparent_dial_is_answered() {
    everywhere(&RedirectOptions::default(), |pair, pod, peer| {
        let program = listen(&pair.pod, pod, 9090);
        let client: IpAddr = peer.parse().unwrap();
        let mut dialled = connect_marked(&pair.pod, Some(client), address(pod, 9090));
        let (mut accepted, from) = accept(&program);
        assert_eq!(from, SocketAddr::new(client, dialled.local_addr().unwrap().port()));
        talk(&mut dialled, &mut accepted);
    });
}

fn traffic_is_direct_after_remove() {
    for (name, renderer) in renderers() {
        println!("  {name}");
        let pair = Pair::new();
        apply(&pair, renderer.as_ref(), &RedirectOptions::default());
        let rules = redirection(&RedirectOptions::default());
        pair.pod.run(|| renderer.remove(&rules)).unwrap().unwrap();
        for (pod, peer) in FAMILIES {
            lands(&listen(&pair.peer, peer, 8080), &pair.pod, address(peer, 8080));
            lands(&listen(&pair.pod, pod, 9090), &pair.peer, address(pod, 9090));
        }
    }
}
