//! What each option changes in a pod's traffic.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use ambit_netns::Namespace;
use ambit_netns::links::{Links, Route, forward};
use ambit_netns::rules::{RedirectOptions, Skipped, redirection};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::Test;
use crate::behaviour::{apply, everywhere};
use crate::pair::{
    PATIENCE, PEER_V4, PEER_V6, POD_V4, POD_V6, Pair, address, lands, listen, original, unmapped,
};
use crate::tools::{dump, renderers, tool};

pub(crate) const TESTS: &[Test] = &[
    ("dns_lands_on_15053_and_is_answered", dns_lands_on_15053_and_is_answered),
    ("dns_is_left_alone_without_the_option", dns_is_left_alone_without_the_option),
    ("a_gateway_receives_inbound_itself", a_gateway_receives_inbound_itself),
    ("virtual_machines_are_outbound", virtual_machines_are_outbound),
    ("probes_pass_only_with_their_address", probes_pass_only_with_their_address),
    ("ipv6_is_not_touched_without_the_option", ipv6_is_not_touched_without_the_option),
    ("a_pod_without_ipv6_is_captured_for_ipv4", a_pod_without_ipv6_is_captured_for_ipv4),
    ("loopback_is_raised_when_down", loopback_is_raised_when_down),
];

fn datagrams(namespace: &Namespace, at: SocketAddr) -> UdpSocket {
    // A child that another test is starting holds a copy of the last socket until its exec.
    let deadline = Instant::now() + PATIENCE;
    let socket = loop {
        match namespace.run(|| UdpSocket::bind(at)).unwrap() {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            bound => break bound.unwrap(),
        }
    };
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A datagram and its sender. A signal to a process with a deadline on its socket ends the wait early (signal(7)).
fn received(socket: &UdpSocket, buffer: &mut [u8]) -> (usize, SocketAddr) {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done.unwrap(),
        }
    }
}

fn dns_lands_on_15053_and_is_answered() {
    everywhere(&RedirectOptions::default(), |pair, pod, peer| {
        let (any, loopback) = if pod == POD_V4 { ("0.0.0.0", "127.0.0.1") } else { ("::", "::1") };
        let resolver = datagrams(&pair.pod, address(loopback, 15053));
        let client = datagrams(&pair.pod, address(any, 0));
        client.send_to(b"question", address(peer, 53)).unwrap();
        let mut buffer = [0; 64];
        let (length, from) = received(&resolver, &mut buffer);
        assert_eq!(&buffer[..length], b"question");
        resolver.send_to(b"answer", from).unwrap();
        let (length, from) = received(&client, &mut buffer);
        assert_eq!(&buffer[..length], b"answer");
        assert_eq!(from, address(peer, 53), "the answer must seem to come from the server asked");
        let (accepted, _) = lands(&listen(&pair.pod, loopback, 15053), &pair.pod, address(peer, 53));
        assert_eq!(original(&accepted), address(peer, 53));
    });
}

fn dns_is_left_alone_without_the_option() {
    everywhere(&RedirectOptions { dns: false, ..RedirectOptions::default() }, |pair, pod, peer| {
        let any = if pod == POD_V4 { "0.0.0.0" } else { "::" };
        let server = datagrams(&pair.peer, address(any, 53));
        datagrams(&pair.pod, address(any, 0)).send_to(b"question", address(peer, 53)).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(received(&server, &mut buffer).1.ip(), pod.parse::<IpAddr>().unwrap());
        // Over TCP it is outbound like any other.
        lands(&listen(&pair.pod, any, 15001), &pair.pod, address(peer, 53));
    });
}

fn a_gateway_receives_inbound_itself() {
    everywhere(&RedirectOptions { ingress_mode: true, ..RedirectOptions::default() }, |pair, pod, peer| {
        lands(&listen(&pair.pod, pod, 9090), &pair.peer, address(pod, 9090));
        lands(&listen(&pair.pod, "::", 15001), &pair.pod, address(peer, 8080));
    });
}

/// A machine behind `vm0` of the pod: what it sends to the outside is the pod's outbound.
fn virtual_machines_are_outbound() {
    let options =
        RedirectOptions { virtual_interfaces: vec!["vm0".parse().unwrap()], ..RedirectOptions::default() };
    everywhere(&options, |pair, pod, peer| {
        let machine = Namespace::create().unwrap();
        let (gateway, inside, prefix, all) = if pod == POD_V4 {
            ("10.9.0.1", "10.9.0.2", 24, "0.0.0.0/0")
        } else {
            ("fd09::1", "fd09::2", 64, "::/0")
        };
        let mut links = Links::open(&pair.pod).unwrap();
        if links.index("vm0").is_ok() {
            links.delete("vm0").unwrap();
        }
        links.veth("vm0", &machine, "eth0").unwrap();
        links.up("vm0").unwrap();
        links.address("vm0", format!("{gateway}/{prefix}").parse().unwrap()).unwrap();
        forward(&pair.pod).unwrap();
        let mut links = Links::open(&machine).unwrap();
        links.up("eth0").unwrap();
        links.address("eth0", format!("{inside}/{prefix}").parse().unwrap()).unwrap();
        let via = Some(gateway.parse().unwrap());
        links.route(&Route { destination: all.parse().unwrap(), via, interface: None }).unwrap();
        let (accepted, from) = lands(&listen(&pair.pod, "::", 15001), &machine, address(peer, 8080));
        assert_eq!(original(&accepted), address(peer, 8080));
        assert_eq!(from.ip(), inside.parse::<IpAddr>().unwrap());
    });
}

/// The node's probes come from an address of their own; with the exception switched off they are like any other.
fn probes_pass_only_with_their_address() {
    let without =
        RedirectOptions { probe_source_v4: None, probe_source_v6: None, ..RedirectOptions::default() };
    for (options, passes) in [(RedirectOptions::default(), true), (without, false)] {
        everywhere(&options, |pair, pod, _| {
            let probe =
                if pod == POD_V4 { "169.254.7.127" } else { "fd16:9254:7127:1337:ffff:ffff:ffff:ffff" };
            let whole = if pod == POD_V4 { format!("{probe}/32") } else { format!("{probe}/128") };
            Links::open(&pair.peer).unwrap().address("eth0", whole.parse().unwrap()).unwrap();
            let interface = Some("eth0".to_owned());
            let route = Route { destination: whole.parse().unwrap(), via: None, interface };
            Links::open(&pair.pod).unwrap().route(&route).unwrap();
            let listener = listen(&pair.pod, "::", if passes { 9090 } else { 15006 });
            let client = pair.peer.run(|| {
                let to = address(pod, 9090);
                let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP)).unwrap();
                socket.bind(&SockAddr::from(address(probe, 0))).unwrap();
                socket.connect_timeout(&SockAddr::from(to), PATIENCE).unwrap();
                socket
            });
            let (_, from) = listener.accept().expect("the probe did not arrive");
            assert_eq!(unmapped(from), client.unwrap().local_addr().unwrap().as_socket().unwrap());
            // And what the pod sends to that address.
            let server =
                if passes { listen(&pair.peer, probe, 7070) } else { listen(&pair.pod, "::", 15001) };
            lands(&server, &pair.pod, address(probe, 7070));
        });
    }
}

fn ipv6_is_not_touched_without_the_option() {
    let options = RedirectOptions { ipv6: false, ..RedirectOptions::default() };
    for (name, renderer) in renderers() {
        println!("  {name}");
        let pair = Pair::new();
        apply(&pair, renderer.as_ref(), &options);
        lands(&listen(&pair.peer, PEER_V6, 8080), &pair.pod, address(PEER_V6, 8080));
        lands(&listen(&pair.pod, POD_V6, 9090), &pair.peer, address(POD_V6, 9090));
        let server = datagrams(&pair.peer, address("::", 53));
        datagrams(&pair.pod, address("::", 0)).send_to(b"question", address(PEER_V6, 53)).unwrap();
        server.recv_from(&mut [0; 64]).unwrap();
        lands(&listen(&pair.pod, "::", 15001), &pair.pod, address(PEER_V4, 8080));
    }
}

/// Istio's agent fails here (istio/ztunnel issue 1611).
fn a_pod_without_ipv6_is_captured_for_ipv4() {
    for (name, renderer) in renderers() {
        println!("  {name}");
        let pair = Pair::new();
        pair.pod
            .run(|| {
                for scope in ["all", "default", "lo", "eth0"] {
                    std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1").unwrap();
                }
            })
            .unwrap();
        let before = dump(&pair.pod);
        let rules = redirection(&RedirectOptions::default());
        let applied = pair.pod.run(|| renderer.apply(&rules)).unwrap().unwrap();
        assert_eq!(applied.skipped, [Skipped::Ipv6Disabled]);
        assert_eq!(pair.pod.run(|| renderer.verify(&rules)).unwrap().unwrap(), []);
        lands(&listen(&pair.pod, "0.0.0.0", 15001), &pair.pod, address(PEER_V4, 8080));
        pair.pod.run(|| renderer.remove(&rules)).unwrap().unwrap();
        assert_eq!(dump(&pair.pod), before);
    }
}

/// `ip netns add` leaves loopback down; the local route needs it.
fn loopback_is_raised_when_down() {
    let pod = Namespace::create().unwrap();
    tool(&pod, "ip link set lo down");
    for (name, renderer) in renderers() {
        let rules = redirection(&RedirectOptions::default());
        let applied = pod.run(|| renderer.apply(&rules)).unwrap().unwrap();
        assert_eq!(applied.loopback_raised, name == "nftables", "only the first has to raise it");
        assert_eq!(pod.run(|| renderer.verify(&rules)).unwrap().unwrap(), []);
        pod.run(|| renderer.remove(&rules)).unwrap().unwrap();
    }
}
