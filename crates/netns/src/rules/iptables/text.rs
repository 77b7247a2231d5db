//! Which restore text installs or removes our rules?

use std::fmt::Write;
use std::net::IpAddr;

use super::super::{Action, Families, Hook, Match, Protocol, Rule, RuleSet, Stage};
use super::installed::Installed;

/// The tables we write to.
pub(super) const STAGES: [Stage; 3] = [Stage::Raw, Stage::Mangle, Stage::Nat];
pub(super) const HOOKS: [Hook; 2] = [Hook::Prerouting, Hook::Output];

/// The table of a stage.
pub(super) fn table(stage: Stage) -> &'static str {
    match stage {
        Stage::Raw => "raw",
        Stage::Mangle => "mangle",
        Stage::Nat => "nat",
    }
}

/// The kernel's own chain, which jumps to ours.
pub(super) fn built_in(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "PREROUTING",
        Hook::Output => "OUTPUT",
    }
}

/// Our chain.
pub(super) fn own(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "AMBIT_PRERT",
        Hook::Output => "AMBIT_OUTPUT",
    }
}

/// Text that brings all our chains of one family to `rules`, from what is installed now.
pub(super) fn apply(rules: &RuleSet, family: Families, installed: &Installed) -> String {
    let mut text = String::new();
    for stage in STAGES {
        let mut declared = String::new();
        let mut body = String::new();
        for hook in HOOKS {
            let (jump, chain) = (built_in(hook), own(hook));
            for _ in 0..installed.jumps(stage, hook) {
                let _ = writeln!(body, "-D {jump} -j {chain}");
            }
            let wanted = rules.chains.iter().find(|c| c.stage == stage && c.hook == hook);
            let Some(wanted) = wanted else {
                if installed.has_chain(stage, hook) {
                    let _ = write!(body, "-F {chain}\n-X {chain}\n");
                }
                continue;
            };
            // Declaring a chain empties it.
            let _ = writeln!(declared, ":{chain} - [0:0]");
            let _ = writeln!(body, "-A {jump} -j {chain}");
            for line in lines(&wanted.rules, family) {
                let _ = writeln!(body, "-A {chain} {line}");
            }
        }
        push_table(&mut text, stage, &declared, &body);
    }
    text
}

/// Text that removes our jumps and chains; empty when there are none.
pub(super) fn remove(installed: &Installed) -> String {
    let mut text = String::new();
    for stage in STAGES {
        let mut body = String::new();
        for hook in HOOKS {
            for _ in 0..installed.jumps(stage, hook) {
                let _ = writeln!(body, "-D {} -j {}", built_in(hook), own(hook));
            }
            if installed.has_chain(stage, hook) {
                let _ = write!(body, "-F {0}\n-X {0}\n", own(hook));
            }
        }
        push_table(&mut text, stage, "", &body);
    }
    text
}

fn push_table(text: &mut String, stage: Stage, declared: &str, body: &str) {
    if !declared.is_empty() || !body.is_empty() {
        let _ = write!(text, "*{}\n{declared}{body}COMMIT\n", table(stage));
    }
}

/// The rules of one family, in order, each without its chain.
pub(super) fn lines(rules: &[Rule], family: Families) -> Vec<String> {
    let here = |rule: &&Rule| if family == Families::V4 { rule.families.v4() } else { rule.families.v6() };
    rules.iter().filter(here).map(line).collect()
}

/// One rule, in the words that the save programs use for it.
fn line(rule: &Rule) -> String {
    let mut words = Vec::new();
    let mut protocol = None;
    for test in &rule.matches {
        match test {
            Match::Protocol(Protocol::Tcp) => protocol = Some("tcp"),
            Match::Protocol(Protocol::Udp) => protocol = Some("udp"),
            _ => {}
        }
    }
    // Options of the rule itself first: the port options need the protocol before them.
    for test in &rule.matches {
        match test {
            Match::Source(address) => words.push(format!("-s {}", whole(*address))),
            Match::Destination(address, is) => words.push(format!("{}-d {}", not(*is), whole(*address))),
            Match::Input(name) => words.push(format!("-i {name}")),
            Match::Output(name, is) => words.push(format!("{}-o {name}", not(*is))),
            _ => {}
        }
    }
    words.extend(protocol.map(|protocol| format!("-p {protocol}")));
    let module = protocol.map(|protocol| format!("-m {protocol} ")).unwrap_or_default();
    for test in &rule.matches {
        match test {
            Match::SourcePort(port) => words.push(format!("{module}--sport {port}")),
            Match::DestinationPort(port, is) => words.push(format!("{module}{}--dport {port}", not(*is))),
            Match::Mark(mark, is) => {
                words.push(format!("-m mark {}--mark {:#x}/{:#x}", not(*is), mark.value, mark.mask));
            }
            Match::ConnectionMark(mark) => {
                words.push(format!("-m connmark --mark {:#x}/{:#x}", mark.value, mark.mask));
            }
            _ => {}
        }
    }
    words.push(action(rule.action));
    words.join(" ")
}

fn action(action: Action) -> String {
    match action {
        Action::Accept => "-j ACCEPT".to_owned(),
        Action::Return => "-j RETURN".to_owned(),
        Action::Redirect(port) => format!("-j REDIRECT --to-ports {port}"),
        Action::SetConnectionMark(mark) => {
            format!("-j CONNMARK --set-xmark {:#x}/{:#x}", mark.value, mark.mask)
        }
        Action::RestoreMark => {
            "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff".to_owned()
        }
        Action::Zone(zone) => format!("-j CT --zone {zone}"),
    }
}

fn not(is: bool) -> &'static str {
    if is { "" } else { "! " }
}

fn whole(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}
