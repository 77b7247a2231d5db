//! Each refusal is one line that names the thing and the remedy, and changes nothing.

use ambit_netns::rules::{
    Action, Backend, Families, Iptables, Nftables, RedirectOptions, Renderer, Rule, RuleError, detect,
    redirection,
};
use ambit_netns::{Namespace, OpenError};

use crate::Test;
use crate::tools::{dump, tool_with};
use crate::worlds::role;

pub(crate) const TESTS: &[Test] = &[
    ("without_the_privilege_rules_are_refused", without_the_privilege_rules_are_refused),
    ("a_refused_transaction_changes_nothing", a_refused_transaction_changes_nothing),
    ("detection_changes_nothing", detection_changes_nothing),
    ("a_missing_tool_is_named", a_missing_tool_is_named),
    ("every_message_is_one_line", every_message_is_one_line),
];

/// A process in a user namespace of its own has no right in our network namespace.
fn without_the_privilege_rules_are_refused() {
    let output = role("powerless", &[]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words} {}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = words.lines().collect();
    assert_eq!(lines.len(), 5, "{words}");
    for line in lines {
        assert!(line.contains("CAP_NET_ADMIN is needed in the network namespace"), "{line}");
    }
}

/// Played by a child process that may do nothing here.
pub(crate) fn powerless() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).unwrap();
    let rules = redirection(&RedirectOptions::default());
    let iptables = Iptables::variant("-nft");
    for error in [
        Nftables.apply(&rules).unwrap_err(),
        Nftables.verify(&rules).unwrap_err(),
        Nftables.remove(&rules).unwrap_err(),
        iptables.apply(&rules).unwrap_err(),
        detect(None).unwrap_err(),
    ] {
        assert!(matches!(error, RuleError::Denied));
        println!("{error}");
    }
}

/// One bad rule in the middle: it is named, and the rules are as before.
fn a_refused_transaction_changes_nothing() {
    let namespace = Namespace::create().unwrap();
    let rules = redirection(&RedirectOptions::default());
    namespace.run(|| Nftables.apply(&rules)).unwrap().unwrap();
    let before = dump(&namespace);
    let mut bad = rules.clone();
    // The kernel redirects in nat chains only.
    bad.chains[0].rules.push(Rule {
        families: Families::Both,
        matches: Vec::new(),
        action: Action::Redirect(1),
        comment: "a redirection before tracking",
    });
    let error = namespace.run(|| Nftables.apply(&bad)).unwrap().unwrap_err();
    let words = error.to_string();
    assert!(words.contains("rule \"a redirection before tracking\" of chain raw-prerouting"), "{words}");
    assert_eq!(dump(&namespace), before);
    assert_eq!(namespace.run(|| Nftables.verify(&rules)).unwrap().unwrap(), []);
}

fn detection_changes_nothing() {
    let namespace = Namespace::create().unwrap();
    tool_with(&namespace, "nft -f -", "table inet foreign { chain c { }; }");
    let before = dump(&namespace);
    for (wanted, found) in [
        (None, Backend::Nftables),
        (Some(Backend::Nftables), Backend::Nftables),
        (Some(Backend::Iptables), Backend::Iptables),
    ] {
        let renderer = namespace.run(|| detect(wanted)).unwrap().unwrap();
        assert_eq!(renderer.backend(), found);
        assert_eq!(dump(&namespace), before);
    }
    assert_eq!("nftables".parse(), Ok(Backend::Nftables));
    assert_eq!(Backend::Iptables.to_string().parse(), Ok(Backend::Iptables));
    assert!("nft".parse::<Backend>().unwrap_err().to_string().contains("use nftables or iptables"));
}

fn a_missing_tool_is_named() {
    let namespace = Namespace::create().unwrap();
    let rules = redirection(&RedirectOptions::default());
    let error = namespace.run(|| Iptables::variant("-absent").verify(&rules)).unwrap().unwrap_err();
    assert!(
        error.to_string().starts_with("iptables-absent-save is not installed, or may not be run"),
        "{error}"
    );
}

fn every_message_is_one_line() {
    let errors: Vec<OpenError> = ["/absent", "/dev/null", "/proc/self/ns/user", "/proc/self/status"]
        .into_iter()
        .map(|path| Namespace::open(path).unwrap_err())
        .collect();
    for error in errors {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
