//! The program as a process: what it says, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

fn waypoint() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypoint"));
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_process_without_a_controller_ends_at_once_when_told_to() {
    let mut child = waypoint()
        .envs([
            ("POD_NAME", "w-1"),
            ("POD_NAMESPACE", "shop"),
            ("SERVICE_ACCOUNT", "w"),
            ("GATEWAY_NAME", "w"),
        ])
        .envs([("AUTH_TOKEN", "/nonexistent"), ("XDS_ROOT_CA", "/nonexistent"), ("AMBIT_HBONE_PORT", "0")])
        .envs([("AMBIT_ADMIN_PORT", "0"), ("AMBIT_STATS_PORT", "0"), ("AMBIT_READINESS_PORT", "0")])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("waypoint started")));
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("drained: Gracefully")), "{rest:#?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn wrong_settings_end_it_with_one_line_each() {
    let mut child = waypoint().envs([("XDS_ADDRESS", "http://10.0.0.1:15010")]).spawn().unwrap();
    assert!(!child.wait().unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    for name in ["XDS_ADDRESS", "POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT", "GATEWAY_NAME"] {
        assert!(said.lines().any(|line| line.contains(name)), "{name} is missing in {said}");
    }
}

#[test]
fn help_names_every_setting() {
    let said = waypoint().arg("--help").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    for name in ["GATEWAY_NAME", "AMBIT_CLIENT_IDENTITY_HEADER", "PROTOCOL_DETECTION_TIMEOUT"] {
        assert!(said.contains(name), "{name}");
    }
}
