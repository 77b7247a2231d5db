//! What a result must say about where it was measured, so that it can be compared with another.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Model of the processors.
    pub processor: String,
    /// How many of them.
    pub processors: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Kernel release.
    pub kernel: String,
    /// Whether it is a guest of a hypervisor, which may steal time.
    pub virtualised: bool,
    /// TCP congestion control of new sockets.
    pub congestion_control: String,
}

impl Machine {
    /// This one.
    pub fn read() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let named = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let kilobytes = read("/proc/meminfo").split_whitespace().nth(1).and_then(|word| word.parse().ok());
        Self {
            processor: named("model name").unwrap_or_else(|| "unknown".to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory: kilobytes.unwrap_or(0_u64) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            virtualised: named("flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A program that took part.
#[derive(Debug, Clone, Serialize)]
pub struct Program {
    /// Its file name.
    pub name: String,
    /// The first line of `--version`, if it has one.
    pub version: Option<String>,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Bytes of the file.
    pub size: u64,
}

impl Program {
    /// Reads the file and asks it for its version.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let said = Command::new(path).arg("--version").output().ok().filter(|output| output.status.success());
        let version = said.and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            // Envoy begins with its own path.
            let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
            Some(line.replace(&path.display().to_string(), &name))
        });
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name, version, sha256, size: bytes.len() as u64 })
    }
}
