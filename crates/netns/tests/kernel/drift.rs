//! Verify notices every single missing, added or altered rule, chain, routing rule and route.

use ambit_netns::Namespace;
use ambit_netns::rules::{Drift, Nftables, RedirectOptions, Renderer, RuleSet, redirection};
use proptest::test_runner::{Config, TestRunner};

use crate::Test;
use crate::identity::any_options;
use crate::tools::{renderers, tool, tool_with};

pub(crate) const TESTS: &[Test] = &[
    ("every_missing_nft_rule_is_noticed", every_missing_nft_rule_is_noticed),
    ("every_missing_iptables_nft_rule_is_noticed", || every_missing_iptables_rule_is_noticed(1)),
    ("every_missing_iptables_legacy_rule_is_noticed", || every_missing_iptables_rule_is_noticed(2)),
    ("every_missing_route_is_noticed", every_missing_route_is_noticed),
    ("altered_routing_is_noticed", altered_routing_is_noticed),
    ("a_switch_that_is_off_is_noticed", a_switch_that_is_off_is_noticed),
    ("altered_nft_rules_are_noticed", altered_nft_rules_are_noticed),
    ("altered_iptables_rules_are_noticed", altered_iptables_rules_are_noticed),
];

fn drifts(namespace: &Namespace, renderer: &dyn Renderer, rules: &RuleSet) -> Vec<Drift> {
    namespace.run(|| renderer.verify(rules)).unwrap().unwrap()
}

fn apply(namespace: &Namespace, renderer: &dyn Renderer, rules: &RuleSet) {
    namespace.run(|| renderer.apply(rules)).unwrap().unwrap();
    assert_eq!(drifts(namespace, renderer, rules), []);
}

/// The only drift, which must be a missing part.
fn only_missing(namespace: &Namespace, renderer: &dyn Renderer, rules: &RuleSet, what: &str) {
    let found = drifts(namespace, renderer, rules);
    assert!(matches!(found.as_slice(), [Drift::Missing(_)]), "{what}: {found:?}");
}

/// Chain and handle of each rule in our table.
fn handles(namespace: &Namespace) -> Vec<(String, String)> {
    let listing = tool(namespace, "nft -a list table inet ambit");
    let (mut chain, mut found) = (String::new(), Vec::new());
    for line in listing.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("chain ") {
            chain = rest.split(' ').next().unwrap().to_owned();
        } else if let Some((rule, handle)) = line.rsplit_once("# handle ")
            && !rule.starts_with("table ")
        {
            found.push((chain.clone(), handle.to_owned()));
        }
    }
    found
}

fn every_missing_nft_rule_is_noticed() {
    let namespace = Namespace::create().unwrap();
    let config = Config { cases: 4, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&any_options(), |options| {
        let rules = redirection(&options);
        apply(&namespace, &Nftables, &rules);
        let count = rules.chains.iter().map(|chain| chain.rules.len()).sum();
        assert_eq!(handles(&namespace).len(), count);
        for index in 0..count {
            let (chain, handle) = &handles(&namespace)[index];
            tool(&namespace, &format!("nft delete rule inet ambit {chain} handle {handle}"));
            only_missing(&namespace, &Nftables, &rules, &format!("rule {index} of {options:?}"));
            apply(&namespace, &Nftables, &rules);
        }
        Ok(())
    });
    checked.unwrap();
    let rules = redirection(&RedirectOptions::default());
    for chain in
        ["raw-prerouting", "raw-output", "mangle-prerouting", "mangle-output", "nat-prerouting", "nat-output"]
    {
        apply(&namespace, &Nftables, &rules);
        tool(&namespace, &format!("nft flush chain inet ambit {chain}"));
        tool(&namespace, &format!("nft delete chain inet ambit {chain}"));
        only_missing(&namespace, &Nftables, &rules, chain);
    }
    tool(&namespace, "nft delete table inet ambit");
    only_missing(&namespace, &Nftables, &rules, "the table");
}

fn every_missing_iptables_rule_is_noticed(which: usize) {
    let (name, renderer) = renderers().remove(which);
    let variant = name.strip_prefix("iptables").unwrap();
    let namespace = Namespace::create().unwrap();
    let options =
        RedirectOptions { virtual_interfaces: vec!["vm0".parse().unwrap()], ..RedirectOptions::default() };
    let rules = redirection(&options);
    apply(&namespace, renderer.as_ref(), &rules);
    let mut checked = 0;
    for family in ["iptables", "ip6tables"] {
        let saved = tool(&namespace, &format!("{family}{variant}-save"));
        let mut table = String::new();
        for line in saved.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name.to_owned();
            } else if let Some(rule) = line.strip_prefix("-A ") {
                let delete = format!("*{table}\n-D {rule}\nCOMMIT\n");
                tool_with(&namespace, &format!("{family}{variant}-restore --noflush"), &delete);
                only_missing(&namespace, renderer.as_ref(), &rules, &format!("{family}: {rule}"));
                apply(&namespace, renderer.as_ref(), &rules);
                checked += 1;
            }
        }
    }
    let of_a_family = |v6: bool| {
        rules.chains.iter().map(move |chain| {
            let here = chain.rules.iter().filter(|r| if v6 { r.families.v6() } else { r.families.v4() });
            here.count() + 1
        })
    };
    assert_eq!(checked, of_a_family(false).sum::<usize>() + of_a_family(true).sum::<usize>());
}

fn every_missing_route_is_noticed() {
    for (name, renderer) in renderers() {
        let namespace = Namespace::create().unwrap();
        let rules = redirection(&RedirectOptions::default());
        apply(&namespace, renderer.as_ref(), &rules);
        for version in ["-4", "-6"] {
            for line in ["rule del pref 32764", "route del local default dev lo table 100"] {
                tool(&namespace, &format!("ip {version} {line}"));
                only_missing(&namespace, renderer.as_ref(), &rules, &format!("{name}: ip {version} {line}"));
                apply(&namespace, renderer.as_ref(), &rules);
            }
        }
    }
}

fn altered_routing_is_noticed() {
    let namespace = Namespace::create().unwrap();
    let rules = redirection(&RedirectOptions::default());
    apply(&namespace, &Nftables, &rules);
    for version in ["-4", "-6"] {
        let others = [
            "fwmark 0x111/0xffff lookup 100",
            "fwmark 0x112/0xfff lookup 100",
            "fwmark 0x111/0xfff lookup 101",
            "not fwmark 0x111/0xfff lookup 100",
            "iif lo fwmark 0x111/0xfff lookup 100",
            "fwmark 0x111/0xfff lookup 100 suppress_prefixlength 0",
            "fwmark 0x111/0xfff ipproto tcp lookup 100",
            "fwmark 0x111/0xfff blackhole",
        ];
        for other in others {
            tool(&namespace, &format!("ip {version} rule del pref 32764"));
            tool(&namespace, &format!("ip {version} rule add {other} pref 32764"));
            let found = drifts(&namespace, &Nftables, &rules);
            assert!(matches!(found.as_slice(), [Drift::Altered(_)]), "{other}: {found:?}");
            tool(&namespace, &format!("ip {version} rule del pref 32764"));
            apply(&namespace, &Nftables, &rules);
        }
        tool(&namespace, &format!("ip {version} route del local default dev lo table 100"));
        tool(&namespace, &format!("ip {version} route add unreachable default table 100"));
        let found = drifts(&namespace, &Nftables, &rules);
        assert!(matches!(found.as_slice(), [Drift::Altered(_)]), "{found:?}");
        tool(&namespace, &format!("ip {version} route flush table 100"));
        apply(&namespace, &Nftables, &rules);
    }
    let v4 = redirection(&RedirectOptions { ipv6: false, ..RedirectOptions::default() });
    let left = drifts(&namespace, &Nftables, &v4);
    assert!(
        left.iter().any(|d| matches!(d, Drift::Unexpected(what) if what.starts_with("IPv6 routing rule"))),
        "{left:?}"
    );
}

fn a_switch_that_is_off_is_noticed() {
    const SWITCH: &str = "/proc/sys/net/ipv4/tcp_migrate_req";
    let value = |namespace: &Namespace| namespace.run(|| std::fs::read_to_string(SWITCH)).unwrap().unwrap();
    let rules = redirection(&RedirectOptions::default());
    for (_, renderer) in renderers() {
        let namespace = Namespace::create().unwrap();
        assert_eq!(value(&namespace).trim(), "0");
        apply(&namespace, renderer.as_ref(), &rules);
        assert_eq!(value(&namespace).trim(), "1");
        namespace.run(|| std::fs::write(SWITCH, "0")).unwrap().unwrap();
        only_missing(&namespace, renderer.as_ref(), &rules, SWITCH);
        apply(&namespace, renderer.as_ref(), &rules);
        namespace.run(|| renderer.remove(&rules)).unwrap().unwrap();
        assert_eq!(value(&namespace).trim(), "1", "connections of a proxy that leaves would be lost");
    }
}

/// Each line changes one thing in the default rules; `CHAIN:N` stands for the handle of the Nth rule of a chain.
fn altered_nft_rules_are_noticed() {
    let lines = [
        "add rule inet ambit nat-output tcp dport 1 accept",
        "insert rule inet ambit nat-output accept",
        "add rule inet ambit nat-prerouting counter",
        "add chain inet ambit more",
        "add chain inet ambit more { type filter hook input priority 0; policy drop; }",
        "add chain inet ambit mangle-output { policy drop; }",
        "add table inet ambit { flags dormant; }",
        "replace rule inet ambit mangle-prerouting handle mangle-prerouting:0 meta mark & 0xfff == 0x53a counter ct mark set ct mark & 0xfffff000 | 0x111",
        "replace rule inet ambit mangle-prerouting handle mangle-prerouting:0 meta mark & 0xff == 0x539 counter ct mark set ct mark & 0xfffff000 | 0x111",
        "replace rule inet ambit mangle-prerouting handle mangle-prerouting:0 meta mark & 0xfff == 0x539 counter ct mark set 0x111",
        "replace rule inet ambit mangle-prerouting handle mangle-prerouting:0 meta mark & 0xfff == 0x539 ct mark set ct mark & 0xfffff000 | 0x111",
        "replace rule inet ambit mangle-output handle mangle-output:0 ct mark & 0xfff == 0x111 counter meta mark set 0x111",
        "replace rule inet ambit raw-output handle raw-output:0 meta l4proto udp meta mark & 0xfff == 0x539 udp dport 53 counter ct zone set 2",
        "replace rule inet ambit nat-output handle nat-output:LAST meta nfproto ipv6 ip6 daddr != ::1 meta l4proto tcp meta mark & 0xfff != 0x539 counter redirect to :15002",
        "replace rule inet ambit nat-output handle nat-output:LAST meta nfproto ipv6 ip6 daddr != ::1 meta l4proto tcp meta mark & 0xfff != 0x539 counter redirect to :15001 random",
        "replace rule inet ambit nat-output handle nat-output:LAST meta nfproto ipv6 ip6 daddr != ::1 meta l4proto tcp meta mark & 0xfff != 0x539 counter redirect to :15001-15009",
        "replace rule inet ambit nat-output handle nat-output:LAST meta nfproto ipv6 ip6 daddr != ::2 meta l4proto tcp meta mark & 0xfff != 0x539 counter redirect to :15001",
    ];
    let namespace = Namespace::create().unwrap();
    let rules = redirection(&RedirectOptions::default());
    for line in lines {
        apply(&namespace, &Nftables, &rules);
        let mut line = line.to_owned();
        for chain in ["mangle-prerouting", "mangle-output", "raw-output", "nat-output"] {
            let here: Vec<String> = handles(&namespace)
                .into_iter()
                .filter(|(name, _)| name == chain)
                .map(|(_, handle)| handle)
                .collect();
            line = line.replace(&format!("{chain}:0"), &here[0]);
            line = line.replace(&format!("{chain}:LAST"), here.last().unwrap());
        }
        tool_with(&namespace, "nft -f -", &line);
        assert_ne!(drifts(&namespace, &Nftables, &rules), [], "{line}");
    }
    // The same rules in another order.
    apply(&namespace, &Nftables, &rules);
    let mut shuffled = rules.clone();
    shuffled.chains.last_mut().unwrap().rules.reverse();
    let found = drifts(&namespace, &Nftables, &shuffled);
    assert!(matches!(found.as_slice(), [Drift::Altered(what)] if what.contains("order")), "{found:?}");
    // And what `nft` writes for the same rule in its own words is no drift.
    apply(&namespace, &Nftables, &rules);
    let (_, handle) = handles(&namespace).into_iter().rfind(|(chain, _)| chain == "nat-output").unwrap();
    let same = format!(
        "replace rule inet ambit nat-output handle {handle} meta nfproto ipv6 ip6 daddr != ::1 meta l4proto tcp meta mark & 0xfff != 0x539 counter redirect to :15001"
    );
    tool_with(&namespace, "nft -f -", &same);
    assert_eq!(drifts(&namespace, &Nftables, &rules), []);
}

fn altered_iptables_rules_are_noticed() {
    let (_, renderer) = renderers().remove(1);
    let lines = [
        ("nat", "-A AMBIT_OUTPUT -p tcp -j ACCEPT"),
        ("nat", "-I AMBIT_PRERT 1 -j RETURN"),
        ("nat", "-A OUTPUT -j AMBIT_OUTPUT"),
        ("mangle", "-R AMBIT_PRERT 1 -m mark --mark 0x539/0xff -j CONNMARK --set-xmark 0x111/0xfff"),
        ("mangle", "-R AMBIT_PRERT 1 -m mark ! --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff"),
        ("mangle", "-R AMBIT_PRERT 1 -p tcp -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff"),
        ("raw", "-R AMBIT_OUTPUT 1 -p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 2"),
    ];
    let namespace = Namespace::create().unwrap();
    let rules = redirection(&RedirectOptions::default());
    for (table, line) in lines {
        apply(&namespace, renderer.as_ref(), &rules);
        tool_with(&namespace, "ip6tables-nft-restore --noflush", &format!("*{table}\n{line}\nCOMMIT\n"));
        let found = drifts(&namespace, renderer.as_ref(), &rules);
        assert!(!found.is_empty(), "{line}");
        assert!(found.iter().all(|drift| drift.to_string().contains("ip6tables")), "{line}: {found:?}");
    }
    apply(&namespace, renderer.as_ref(), &rules);
    let bare = redirection(&RedirectOptions { dns: false, ..RedirectOptions::default() });
    let found = drifts(&namespace, renderer.as_ref(), &bare);
    assert!(
        found.iter().any(|d| matches!(d, Drift::Unexpected(what) if what.starts_with("chain iptables raw")))
    );
}
