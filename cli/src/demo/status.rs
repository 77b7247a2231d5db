//! `ambit demo status`: who is in the mesh, as whom, and do all parts run?

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use super::control::{self, Status};
use super::place::Place;

/// Prints the state of the running demo.
pub fn run(place: &Place, json: bool) -> anyhow::Result<ExitCode> {
    let status = control::status(place)?;
    let text = if json { format!("{}\n", serde_json::to_string_pretty(&status)?) } else { text(&status) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Status) -> String {
    let mut text = format!("{:10} {:8} {:30} IDENTITY\n", "POD", "NODE", "ADDRESSES");
    for pod in &status.pods {
        let addresses = pod.addresses.join(" ");
        let identity = pod.identity.as_deref().unwrap_or("not in the mesh");
        let _ = writeln!(text, "{:10} {:8} {addresses:30} {identity}", pod.name, pod.node);
    }
    let _ = writeln!(text, "\n{:16} {:>6} {:>7}  STATE", "PART", "PID", "STARTS");
    for part in &status.parts {
        let pid = part.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let state = part.ended.as_deref().map_or_else(|| "runs".to_owned(), |how| format!("ended: {how}"));
        let _ = writeln!(text, "{:16} {pid:>6} {:>7}  {state}", part.name, part.starts);
    }
    let word = if status.configuration_valid { "valid" } else { "REFUSED, what held before goes on" };
    let _ = writeln!(text, "\nConfiguration in {}/config: {word}", status.directory);
    for line in status.configuration.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::control::{PartStatus, PodStatus};
    use super::*;

    #[test]
    fn the_state_reads_well() {
        let status = Status {
            directory: "/tmp/ambit-demo-0".into(),
            configuration: "policies.yaml:3: unknown field".into(),
            configuration_valid: false,
            pods: vec![PodStatus {
                name: "web".into(),
                namespace: "shop".into(),
                node: "node-1".into(),
                addresses: vec!["10.244.1.10".into()],
                identity: None,
            }],
            parts: vec![PartStatus {
                name: "controller".into(),
                pid: None,
                starts: 2,
                ended: Some("exit code 1".into()),
            }],
        };
        let text = text(&status);
        assert!(
            text.contains("web        node-1   10.244.1.10                    not in the mesh\n"),
            "{text}"
        );
        assert!(text.contains("controller            -       2  ended: exit code 1\n"), "{text}");
        assert!(text.contains("REFUSED") && text.contains("  policies.yaml:3: unknown field\n"), "{text}");
    }
}
