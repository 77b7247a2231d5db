//! Apply, then remove, is the identity; foreign rules survive all of it.

use std::net::{Ipv4Addr, Ipv6Addr};

use ambit_netns::rules::{RedirectOptions, Renderer, redirection};
use ambit_netns::{InterfaceName, Namespace};
use proptest::prelude::{Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};

use crate::Test;
use crate::tools::{dump, renderers, tool, tool_with};

pub(crate) const TESTS: &[Test] = &[
    ("apply_then_remove_is_the_identity_nftables", || identity(0, 32)),
    ("apply_then_remove_is_the_identity_iptables_nft", || identity(1, 5)),
    ("apply_then_remove_is_the_identity_iptables_legacy", || identity(2, 5)),
    ("apply_replaces_former_rules", apply_replaces_former_rules),
    ("remove_of_nothing_is_nothing", remove_of_nothing_is_nothing),
    ("a_foreign_default_route_in_our_table_is_refused", a_foreign_default_route_in_our_table_is_refused),
];

/// Any options a user can ask for.
pub(crate) fn any_options() -> impl Strategy<Value = RedirectOptions> {
    let interface = "[a-z][a-z0-9._-]{0,14}".prop_map(|name| name.parse::<InterfaceName>().unwrap());
    let v4 =
        prop::option::of((1..224u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d)));
    let v6 =
        prop::option::of(any::<u64>().prop_map(|low| Ipv6Addr::from(0xfd16 << 112 | u128::from(low) | 2)));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, prop::collection::vec(interface, 0..3), v4, v6).prop_map(
        |((ipv6, dns, ingress_mode), virtual_interfaces, probe_source_v4, probe_source_v6)| RedirectOptions {
            ipv6,
            dns,
            ingress_mode,
            virtual_interfaces,
            probe_source_v4,
            probe_source_v6,
        },
    )
}

/// Rules and routes of somebody else, near to ours in every respect.
fn furnish(namespace: &Namespace) {
    let ruleset =
        "table inet foreign { chain c { type nat hook output priority -100; tcp dport 1 redirect to :2; }; }
        table ip ambit { chain nat-output { }; }
        ";
    tool_with(namespace, "nft -f -", ruleset);
    let foreign = "*TABLE
:FOREIGN - [0:0]
-A PREROUTING -p tcp -m tcp --dport 1 -j FOREIGN
-A OUTPUT -p tcp -m tcp --dport 1 -j FOREIGN
-A FOREIGN -j RETURN
COMMIT
";
    for program in ["iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"] {
        for table in ["raw", "mangle", "nat"] {
            let text = foreign.replace("TABLE", table);
            tool_with(namespace, &format!("{program}-restore --noflush"), &text);
        }
    }
    for version in ["-4", "-6"] {
        tool(namespace, &format!("ip {version} rule add fwmark 0x111/0xfff pref 32763 lookup 100"));
        tool(namespace, &format!("ip {version} rule add fwmark 0x222/0xfff pref 32764 lookup 101"));
    }
    tool(namespace, "ip route add local 192.0.2.0/24 dev lo table 100");
    tool(namespace, "ip -6 route add local 2001:db8::/32 dev lo table 100");
}

fn identity(which: usize, cases: u32) {
    let (name, renderer) = renderers().remove(which);
    let namespace = Namespace::create().unwrap();
    furnish(&namespace);
    let before = dump(&namespace);
    assert!(before.contains("FOREIGN") && before.contains("192.0.2.0/24"));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&any_options(), |options| {
        let rules = redirection(&options);
        let applied = namespace.run(|| renderer.apply(&rules)).unwrap().unwrap();
        assert_eq!(applied, ambit_netns::rules::Applied::default());
        assert_eq!(verify(&namespace, renderer.as_ref(), &options), [] as [String; 0]);
        // Once more changes nothing.
        let once = dump(&namespace);
        assert_ne!(once, before);
        namespace.run(|| renderer.apply(&rules)).unwrap().unwrap();
        assert_eq!(dump(&namespace), once);
        namespace.run(|| renderer.remove(&rules)).unwrap().unwrap();
        assert_eq!(dump(&namespace), before);
        assert_ne!(verify(&namespace, renderer.as_ref(), &options), [] as [String; 0]);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{name}: {error}"));
}

fn verify(namespace: &Namespace, renderer: &dyn Renderer, options: &RedirectOptions) -> Vec<String> {
    let drifts = namespace.run(|| renderer.verify(&redirection(options))).unwrap().unwrap();
    drifts.iter().map(ToString::to_string).collect()
}

/// From any options to any others: no rule of the former stays.
fn apply_replaces_former_rules() {
    for (name, renderer) in renderers() {
        let namespace = Namespace::create().unwrap();
        let before = dump(&namespace);
        let full = RedirectOptions::default();
        let bare = RedirectOptions { dns: false, ingress_mode: true, ..RedirectOptions::default() };
        let v4 = RedirectOptions { ipv6: false, ..RedirectOptions::default() };
        for options in [&full, &bare, &v4, &full] {
            let rules = redirection(options);
            namespace.run(|| renderer.apply(&rules)).unwrap().unwrap();
            assert_eq!(
                verify(&namespace, renderer.as_ref(), options),
                [] as [String; 0],
                "{name} {options:?}"
            );
        }
        namespace.run(|| renderer.remove(&redirection(&full))).unwrap().unwrap();
        assert_eq!(dump(&namespace), before, "{name}");
    }
}

fn remove_of_nothing_is_nothing() {
    for (name, renderer) in renderers() {
        let namespace = Namespace::create().unwrap();
        let before = dump(&namespace);
        let rules = redirection(&RedirectOptions::default());
        for _ in 0..2 {
            namespace.run(|| renderer.remove(&rules)).unwrap().unwrap();
            assert_eq!(dump(&namespace), before, "{name}");
        }
    }
}

fn a_foreign_default_route_in_our_table_is_refused() {
    for (name, renderer) in renderers() {
        let namespace = Namespace::create().unwrap();
        tool(&namespace, "ip -6 route add unreachable default table 100");
        let before = tool(&namespace, "ip -6 route show table 100");
        let rules = redirection(&RedirectOptions::default());
        let error = namespace.run(|| renderer.apply(&rules)).unwrap().unwrap_err();
        assert!(
            error.to_string().contains("routing table 100 has another IPv6 default route"),
            "{name}: {error}"
        );
        assert_eq!(tool(&namespace, "ip -6 route show table 100"), before);
        assert!(!tool(&namespace, "nft list ruleset").contains("15001"), "no rule without its routes");
    }
}
