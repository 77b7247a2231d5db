//! How are the iptables programs run?

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use super::super::RuleError;

/// Seconds to wait for the lock that all iptables programs share.
const LOCK_SECONDS: &str = "5";

/// The save and restore programs of one family. They run in the calling thread's network namespace.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    base: String,
}

impl Tool {
    /// `family` is `iptables` or `ip6tables`; `variant` is empty, `-legacy` or `-nft`.
    pub(super) fn new(family: &str, variant: &str) -> Self {
        Self { base: format!("{family}{variant}") }
    }

    /// All rules of all tables as text.
    pub(super) fn save(&self) -> Result<String, RuleError> {
        let program = format!("{}-save", self.base);
        let output = Command::new(&program).stdin(Stdio::null()).output();
        let output = finished(&program, output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies restore text; with `test` it is only checked.
    pub(super) fn restore(&self, text: &str, test: bool) -> Result<(), RuleError> {
        let program = format!("{}-restore", self.base);
        let mut command = Command::new(&program);
        command.args(["--noflush", "--wait", LOCK_SECONDS]);
        if test {
            command.arg("--test");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut run = || -> io::Result<Output> {
            let mut child = command.spawn()?;
            if let Some(mut input) = child.stdin.take() {
                // A program that fails early closes its input; its own words say more than a broken pipe.
                let _ = input.write_all(text.as_bytes());
            }
            child.wait_with_output()
        };
        finished(&program, run()).map(drop)
    }
}

fn finished(program: &str, output: io::Result<Output>) -> Result<Output, RuleError> {
    let output = output.map_err(|error| match error.kind() {
        // Also when a directory of PATH may not be read.
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            RuleError::MissingTool(program.to_owned())
        }
        _ => RuleError::Tool { tool: program.to_owned(), reason: error.to_string() },
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("Permission denied (you must be root)") || words.contains("Operation not permitted") {
        return Err(RuleError::Denied);
    }
    let lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
    let reason = lines.clone().find(|line| !line.starts_with("Try ")).unwrap_or("no reason given").to_owned();
    Err(RuleError::Tool { tool: program.to_owned(), reason })
}
