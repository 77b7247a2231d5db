//! Links, addresses and routes as nodes and pods need them.

use ambit_netns::Namespace;
use ambit_netns::links::{LinkError, Links, Route, forward};

use crate::Test;
use crate::pair::{PEER_V4, PEER_V6, POD_V4, POD_V6, Pair, address, lands, listen};

pub(crate) const TESTS: &[Test] = &[
    ("a_pair_talks_in_both_families", a_pair_talks_in_both_families),
    ("pods_of_two_nodes_reach_each_other", pods_of_two_nodes_reach_each_other),
    ("what_is_there_is_listed", what_is_there_is_listed),
    ("links_move_and_go", links_move_and_go),
    ("refusals_name_the_link", refusals_name_the_link),
];

fn a_pair_talks_in_both_families() {
    let pair = Pair::new();
    for (pod, peer) in [(POD_V4, PEER_V4), (POD_V6, PEER_V6)] {
        lands(&listen(&pair.peer, peer, 80), &pair.pod, address(peer, 80));
        lands(&listen(&pair.pod, pod, 80), &pair.peer, address(pod, 80));
    }
}

/// A node: a bridge with two pods on it. Two of them, joined by a link, with routes to each other's pods.
fn pods_of_two_nodes_reach_each_other() {
    let nodes = [Namespace::create().unwrap(), Namespace::create().unwrap()];
    Links::open(&nodes[0]).unwrap().veth("link0", &nodes[1], "link0").unwrap();
    let mut pods = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        let other = 1 - n;
        let mut links = Links::open(node).unwrap();
        links.up("link0").unwrap();
        links.bridge("pods0").unwrap();
        links.up("pods0").unwrap();
        for text in [format!("10.{n}.0.1/24"), format!("fd00:{n}::1/64")] {
            links.address("pods0", text.parse().unwrap()).unwrap();
        }
        for text in [format!("192.168.0.{}/24", n + 1), format!("fd99::{}/64", n + 1)] {
            links.address("link0", text.parse().unwrap()).unwrap();
        }
        forward(node).unwrap();
        for (destination, via) in [
            (format!("10.{other}.0.0/24"), format!("192.168.0.{}", other + 1)),
            (format!("fd00:{other}::/64"), format!("fd99::{}", other + 1)),
        ] {
            let via = Some(via.parse().unwrap());
            links.route(&Route { destination: destination.parse().unwrap(), via, interface: None }).unwrap();
        }
        for p in 2..4 {
            let pod = Namespace::create().unwrap();
            links.veth(&format!("pod{p}"), &pod, "eth0").unwrap();
            links.attach(&format!("pod{p}"), "pods0").unwrap();
            links.up(&format!("pod{p}")).unwrap();
            let mut inside = Links::open(&pod).unwrap();
            inside.up("eth0").unwrap();
            for (own, via, all) in [
                (format!("10.{n}.0.{p}/24"), format!("10.{n}.0.1"), "0.0.0.0/0"),
                (format!("fd00:{n}::{p}/64"), format!("fd00:{n}::1"), "::/0"),
            ] {
                inside.address("eth0", own.parse().unwrap()).unwrap();
                let via = Some(via.parse().unwrap());
                inside.route(&Route { destination: all.parse().unwrap(), via, interface: None }).unwrap();
            }
            pods.push((pod, [format!("10.{n}.0.{p}"), format!("fd00:{n}::{p}")]));
        }
    }
    for (client, _) in &pods {
        for (server, addresses) in &pods {
            for own in addresses {
                lands(&listen(server, own, 80), client, address(own, 80));
            }
        }
    }
}

fn what_is_there_is_listed() {
    let pair = Pair::new();
    let mut links = Links::open(&pair.pod).unwrap();
    let listed: Vec<_> = links.list().unwrap().into_iter().map(|link| (link.name, link.up)).collect();
    assert!(
        listed.contains(&("lo".to_owned(), true)) && listed.contains(&("eth0".to_owned(), true)),
        "{listed:?}"
    );
    let addresses: Vec<String> = links
        .addresses()
        .unwrap()
        .into_iter()
        .filter(|address| address.interface == "eth0")
        .map(|address| address.network.to_string())
        .collect();
    assert!(
        addresses.contains(&format!("{POD_V4}/24")) && addresses.contains(&format!("{POD_V6}/64")),
        "{addresses:?}"
    );
    links.mtu("eth0", 1400).unwrap();
    assert!(links.list().unwrap().iter().any(|link| link.name == "eth0" && link.mtu == 1400));
    links.down("eth0").unwrap();
    assert!(links.list().unwrap().iter().any(|link| link.name == "eth0" && !link.up));
}

fn links_move_and_go() {
    let pair = Pair::new();
    let third = Namespace::create().unwrap();
    Links::open(&pair.pod).unwrap().move_to("eth0", &third).unwrap();
    assert!(Links::open(&third).unwrap().index("eth0").is_ok());
    Links::open(&third).unwrap().delete("eth0").unwrap();
    // The other end goes with it.
    assert!(matches!(Links::open(&pair.peer).unwrap().index("eth0"), Err(LinkError::Missing(_))));
}

fn refusals_name_the_link() {
    let pair = Pair::new();
    let mut links = Links::open(&pair.pod).unwrap();
    let words = |result: Result<(), LinkError>| result.unwrap_err().to_string();
    assert_eq!(
        words(links.bridge("eth0")),
        "cannot create the bridge eth0: it exists already; delete it or choose another"
    );
    assert!(words(links.up("eth9")).starts_with("interface eth9 does not exist"));
    assert!(words(links.bridge("a/b")).contains("\"a/b\" is not an interface name"));
    assert!(words(links.address("eth0", "10.0.0.2/24".parse().unwrap())).contains("add 10.0.0.2/24 to eth0"));
    let via = Some("192.0.2.1".parse().unwrap());
    let route = Route { destination: "0.0.0.0/0".parse().unwrap(), via, interface: None };
    assert!(words(links.route(&route)).contains("add the route to 0.0.0.0/0 via 192.0.2.1"));
    assert!(words(links.mtu("eth0", 1)).contains("set the MTU of eth0 to 1"));
}
