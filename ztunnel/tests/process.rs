//! The program as a process: what it says, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

fn ztunnel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ztunnel"));
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_process_without_a_controller_ends_at_once_when_told_to() {
    let mut child = ztunnel()
        .envs([("NODE_NAME", "n1"), ("AUTH_TOKEN", "/nonexistent"), ("XDS_ROOT_CA", "/nonexistent")])
        .envs([("AMBIT_ADMIN_PORT", "0"), ("AMBIT_STATS_PORT", "0"), ("AMBIT_READINESS_PORT", "0")])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("ztunnel started")));
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("drained: Gracefully")), "{rest:#?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn wrong_settings_end_it_with_one_line_each() {
    let mut child = ztunnel().envs([("XDS_ADDRESS", "http://10.0.0.1:15010")]).spawn().unwrap();
    assert!(!child.wait().unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let lines: Vec<&str> = said.trim().lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].contains("XDS_ADDRESS") && lines[1].contains("NODE_NAME"), "{said}");
}
