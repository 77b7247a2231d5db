//! The independent witnesses: the machine's own tools, run inside a namespace.

use std::io::Write;
use std::process::{Command, Stdio};

use ambit_netns::Namespace;
use ambit_netns::rules::{Backend, Iptables, Nftables, Renderer, detect};

/// Runs a command line inside `namespace`; gives its output, or panics with its words.
pub(crate) fn tool(namespace: &Namespace, line: &str) -> String {
    tool_with(namespace, line, "")
}

/// The same with text on its input.
pub(crate) fn tool_with(namespace: &Namespace, line: &str, input: &str) -> String {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = namespace.spawn(&mut command).unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {words}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything that rules could change, in the tools' words.
///
/// Left out: counters, and the empty tables that the iptables programs make on first use and nobody can take away.
pub(crate) fn dump(namespace: &Namespace) -> String {
    let mut all = nft_tables(&tool(namespace, "nft list ruleset"));
    for line in ["ip -4 rule", "ip -6 rule", "ip -4 route show table all", "ip -6 route show table all"] {
        all.push_str(&format!("# {line}\n{}", tool(namespace, line)));
    }
    for line in ["iptables-legacy-save", "ip6tables-legacy-save"] {
        all.push_str(&format!("# {line}\n{}", legacy_tables(&tool(namespace, line))));
    }
    all
}

fn nft_tables(listing: &str) -> String {
    let lines: Vec<&str> = listing.lines().filter(|line| !line.starts_with('#')).collect();
    let tables = lines.split_inclusive(|line| *line == "}").filter(|table| {
        // A chain with a hook and nothing more is what the programs leave behind.
        let empty = table[1..].iter().map(|line| line.trim()).all(|line| {
            line.starts_with("type ") || line.starts_with("chain ") || line == "}" || line.is_empty()
        });
        let by_iptables = ["nat", "mangle", "raw", "filter"].iter().any(|name| {
            table[0] == format!("table ip {name} {{") || table[0] == format!("table ip6 {name} {{")
        });
        !(empty && by_iptables)
    });
    tables.flatten().flat_map(|line| [*line, "\n"]).collect()
}

fn legacy_tables(listing: &str) -> String {
    let lines: Vec<&str> = listing.lines().filter(|line| !line.starts_with('#')).collect();
    let tables = lines.split_inclusive(|line| *line == "COMMIT").filter(|table| {
        !table.iter().all(|line| line.starts_with('*') || *line == "COMMIT" || line.contains(" ACCEPT ["))
    });
    let without_counters = |line: &&str| line.split(" [").next().unwrap_or_default().to_owned() + "\n";
    tables.flatten().map(without_counters).collect()
}

/// Every renderer that must work here, and its name.
pub(crate) fn renderers() -> Vec<(&'static str, Box<dyn Renderer>)> {
    vec![
        ("nftables", Box::new(Nftables)),
        ("iptables-nft", Box::new(Iptables::variant("-nft"))),
        ("iptables-legacy", Box::new(Iptables::variant("-legacy"))),
    ]
}

/// The machine's default ones, as a user gets them.
pub(crate) fn chosen(backend: Backend) -> Box<dyn Renderer> {
    detect(Some(backend)).unwrap()
}
