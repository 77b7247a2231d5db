//! The rules mean what Istio's node agent writes: its rules, written by hand here, pass our check, and `nft` reads ours.

use ambit_netns::Namespace;
use ambit_netns::rules::{Backend, Nftables, RedirectOptions, Renderer, redirection};

use crate::Test;
use crate::tools::{chosen, renderers, tool, tool_with};

pub(crate) const TESTS: &[Test] = &[
    ("istio_rules_in_nft_words_pass", istio_rules_in_nft_words_pass),
    ("istio_rules_in_iptables_words_pass", istio_rules_in_iptables_words_pass),
    ("nft_reads_its_own_listing_of_our_table", nft_reads_its_own_listing_of_our_table),
    ("the_policy_routing_is_istios", the_policy_routing_is_istios),
];

/// Istio's default in-pod rules with DNS, in one table.
const ISTIO_NFT: &str = include_str!("istio.nft");
/// The same for `iptables-restore`; `LOOPBACK` and `PROBE` stand for a family's addresses.
const ISTIO_IPTABLES: &str = include_str!("istio.iptables");

fn istio_rules_in_nft_words_pass() {
    let namespace = Namespace::create().unwrap();
    let rules = redirection(&RedirectOptions::default());
    namespace.run(|| Nftables.apply(&rules)).unwrap().unwrap();
    tool(&namespace, "nft delete table inet ambit");
    tool_with(&namespace, "nft -f -", ISTIO_NFT);
    assert_eq!(namespace.run(|| Nftables.verify(&rules)).unwrap().unwrap(), []);
}

fn istio_rules_in_iptables_words_pass() {
    for (variant, renderer) in renderers().into_iter().skip(1) {
        let namespace = Namespace::create().unwrap();
        let rules = redirection(&RedirectOptions::default());
        // For the policy routing.
        namespace.run(|| Nftables.apply(&rules)).unwrap().unwrap();
        tool(&namespace, "nft delete table inet ambit");
        let variant = variant.strip_prefix("iptables").unwrap();
        let v4 = ISTIO_IPTABLES.replace("LOOPBACK", "127.0.0.1/32").replace("PROBE", "169.254.7.127");
        let v6 = ISTIO_IPTABLES
            .replace("LOOPBACK", "::1/128")
            .replace("PROBE", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff");
        tool_with(&namespace, &format!("iptables{variant}-restore --noflush"), &v4);
        tool_with(&namespace, &format!("ip6tables{variant}-restore --noflush"), &v6);
        assert_eq!(namespace.run(|| renderer.verify(&rules)).unwrap().unwrap(), []);
    }
}

fn nft_reads_its_own_listing_of_our_table() {
    let options =
        RedirectOptions { virtual_interfaces: vec!["vm-0.1".parse().unwrap()], ..RedirectOptions::default() };
    let rules = redirection(&options);
    let (first, second) = (Namespace::create().unwrap(), Namespace::create().unwrap());
    let renderer = chosen(Backend::Nftables);
    for namespace in [&first, &second] {
        namespace.run(|| renderer.apply(&rules)).unwrap().unwrap();
    }
    let listing = tool(&first, "nft list ruleset");
    for chain in &rules.chains {
        for rule in &chain.rules {
            assert!(
                listing.contains(&format!("comment \"{}\"", rule.comment)),
                "{} is not listed",
                rule.comment
            );
        }
    }
    tool(&second, "nft delete table inet ambit");
    tool_with(&second, "nft -f -", &listing);
    assert_eq!(tool(&second, "nft list ruleset"), listing);
}

fn the_policy_routing_is_istios() {
    for (name, renderer) in renderers() {
        let namespace = Namespace::create().unwrap();
        let rules = redirection(&RedirectOptions::default());
        namespace.run(|| renderer.apply(&rules)).unwrap().unwrap();
        for version in ["-4", "-6"] {
            let listed = tool(&namespace, &format!("ip {version} rule"));
            let wanted = "32764:\tfrom all fwmark 0x111/0xfff lookup 100";
            assert!(listed.lines().any(|line| line.trim() == wanted), "{name}: {listed}");
            let listed = tool(&namespace, &format!("ip {version} route show table 100"));
            assert!(listed.starts_with("local default dev lo"), "{name}: {listed}");
        }
    }
}
